"""Lines that type checkers refuse: each line that ends in ``# wrong``, and no other."""

from canvas import AsyncResult, Canvas, shared_task

app = Canvas("typed", broker="memory://")


@app.task
def add(x: int, y: int = 1) -> int:
    return x + y


@app.task(bind=True)
def shown(self: object, number: int) -> str:
    return str(number)


@shared_task(queue="q")
def length(text: str) -> int:
    return len(text)


add.delay("1", 2)  # wrong
add.delay()  # wrong
add.delay(1, z=2)  # wrong
add(1, "2")  # wrong
add.si("1")  # wrong
shown.delay("text")  # wrong
length.delay(3)  # wrong
text: str = add.delay(1).get()  # wrong
result: AsyncResult[str] = add.delay(1)  # wrong
number: int = shown.s(1).delay().get()  # wrong
add.s(1, 2) | length.s()  # wrong
add.s(1, 2) | shown.s() | add.s()  # wrong
add.s("1", "2")  # wrong
add.s(1, z=2)  # wrong
shown.s("text")  # wrong
shown.s(1, wider=3)  # wrong
shown.si()  # wrong
length.s("a", "b")  # wrong
length.s(3)  # wrong
add.dealy(1)  # wrong
add.delay(1).gett()  # wrong
