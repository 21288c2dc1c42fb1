"""The types of tasks. A comment behind ``reveal_type`` has the type that is revealed there."""

from typing import Any, reveal_type

from canvas import AsyncResult, Canvas, EagerResult, Signature, Task, chain, group, shared_task
from canvas.integrations.django import DjangoTask

app = Canvas("typed", broker="memory://")


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


@app.task(queue="slow", bind=True)
def shown(self: Any, number: int, *, wide: bool = False) -> str:
    return f"{self.name} {number}"


@shared_task
def length(text: str) -> int:
    return len(text)


@app.task
async def fetched(url: str) -> bytes:
    return url.encode()


@app.task
def mixed(a: str, b: int, c: bytes, *, d: float) -> int:
    return b


options: dict[str, Any] = {"c": b""}
numbers: dict[str, float] = {"d": 1.0}
words: list[str] = ["a"]


class Mine(Task[[int], int]):
    def double(self, number: int) -> int:
        return 2 * number


@app.task(base=Mine)
def of_mine(number: int) -> int:
    return number


@app.task
def untyped(*args, **kwargs):  # type: ignore[no-untyped-def]
    return args


async def awaited() -> None:
    reveal_type(await add.adelay(1, 2))  # AsyncResult[int]
    reveal_type(await add.delay(1))  # int
    reveal_type(await fetched.delay("a").aget())  # bytes


def kept(result: AsyncResult[int], sig: Signature[int], task: Task[[int, int], int]) -> EagerResult[int]:
    return add.apply((1, 2))


reveal_type(add)
reveal_type(add(1))  # int
reveal_type(add.delay(1, y=2))  # AsyncResult[int]
reveal_type(add.delay(1).get(timeout=3))  # int
reveal_type(add.apply_async((1, 2), countdown=3).get())  # int
reveal_type(add.apply((1, 2)).get())  # int
reveal_type(shown.delay(3, wide=True).get())  # str
reveal_type(length.delay("abc").get())  # int
reveal_type(fetched.delay("http://a").get())  # bytes
reveal_type(of_mine.double(3))  # int
reveal_type(add.s(1, 2).delay().get())  # int
reveal_type(add.s(y=2).delay(1).get())  # int
reveal_type((add.s(1, 2) | shown.s(wide=True)).delay().get())  # str
untyped.s(1, two=2).delay()
any_task_call: Signature[Any] = length.signature(kwargs={"text": "a"})
reveal_type(add.si(1, 2).apply_async().get())  # int
reveal_type((add.s(1, 2) | shown.s()).delay().get())  # str
reveal_type((add.s(1, 2) | shown.s() | length.s()).delay().get())  # int
reveal_type((add.s(1, 2) | add.s(3)).delay().get())  # int
kept(add.delay(1), add.s(1, 2), add)
chain(add.s(1, 2), add.s()).delay().get()
(add.s(1) | group(add.s(1), add.s(2))).delay()
group(add.s(n, n) for n in range(3)).delay().get()
untyped.delay(1, 2, three=3).get()
any_task: Task[Any] = add
bare: Task = add  # type: ignore[type-arg, unused-ignore]
on_commit: DjangoTask[[int], int] = DjangoTask()
on_commit.delay_on_commit(1)
mixed.s().delay("a", 1, b"", d=1.0)
mixed.s().clone(("a", 1, b""), {"d": 1.0}).delay()
mixed.s(d=1.0).delay("a", 1, b"")
mixed.s(b"", d=1.0).apply_async(("a", 1))
mixed.s(1, b"", d=1.0).delay("a")
mixed.s("a").delay(b=1, c=b"", d=1.0)
mixed.s("a", 1).apply_async(kwargs={"c": b"", "d": 1.0})
mixed.s("a", 1, b"").delay(d=1.0)
mixed.s(a="a", c=b"").delay(b=1, d=1.0)
mixed.s(**options).delay("a", 1, d=1.0)
mixed.s("a", **options)
mixed.s(**numbers)
mixed.s(*words)
length.si(*words, **options)
mixed.s("a").set(queue="q").delay(1, b"", d=1.0)
chain(add.s(1), mixed.s(c=b"", d=1.0)).apply_async((1,))
(add.s(1, 2) | mixed.s(c=b"", d=1.0).clone(("a",))).delay()
group(mixed.s(d=n) for n in (1.0, 2.0))(("a", 1, b""))
add.s(1, 2).on_error(mixed.s(d=1.0))
mixed.apply_async(("a", 1, b""), {"d": 1.0}, link=mixed.s(c=b"", d=1.0), link_error=mixed.s(d=1.0))
