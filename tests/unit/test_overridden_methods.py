"""Methods that a subclass or a test overrides: they send and run the calls of tasks and signatures too."""

import asyncio
from unittest.mock import patch

import pytest

from canvas import Canvas, Task, chain, chord, group
from canvas.result import AsyncResult
from tests.support.messages import sent


@pytest.fixture
def app(request):
    return Canvas("api", broker=f"memory://{request.node.name}", backend=f"memory://{request.node.name}")


class Counting(Canvas):
    seen: list = []

    def send_task(self, name, args=None, kwargs=None, **options):
        self.seen.append((name, tuple(args or ()), options.get("queue"), options.get("countdown")))
        options["headers"] = {"tenant": "t1"}
        return super().send_task(name, args, kwargs, **options)


def test_an_overridden_send_task_sends_tasks_and_signatures(request):
    app = Counting("own", broker=f"memory://{request.node.name}", backend=f"memory://{request.node.name}")
    app.seen = []

    @app.task(queue="q")
    def add(x, y=0):
        return x + y

    name = add.name
    result = add.delay(1)
    assert isinstance(result, AsyncResult)
    add.apply_async((2,), countdown=0.5)
    add.s(3).delay(4)
    app.signature(name, (4,)).apply_async()
    asyncio.run(add.adelay(5))
    assert [call[1] for call in app.seen] == [(1,), (2,), (4, 3), (4,), (5,)]
    assert {call[2] for call in app.seen} == {"q"}
    assert app.seen[1][3] == 0.5
    app.seen.clear()
    group(add.s(1), add.s(2)).apply_async()
    chord([add.s(6), add.s(7)], add.si(8)).apply_async()
    first = chain(add.s(9), add.s(10)).apply_async()
    add.map([1, 2]).apply_async()
    assert [call[:2] for call in app.seen] == [
        (name, (1,)), (name, (2,)), (name, (6,)), (name, (7,)), (name, (9,)), ("celery.map", ())
    ]  # fmt: skip
    messages = sent(app, "q")
    assert {message.headers.get("tenant") for message in messages} == {"t1"}
    assert next(m for m in messages if m.args == [9]).id == first.parent.id
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        add.delay()


def test_a_patched_send_task_and_a_patched_apply_async(app):
    @app.task
    def add(x):
        return x

    with patch.object(app, "send_task") as send:
        add.delay(1)
        add.s(2).apply_async()
        add.apply_async([3], task_id="mine")
        add.s(4).set(task_id="own").apply_async()
    assert [call.args[1:] for call in send.call_args_list] == [((1,), {}), ((2,), {}), ([3], None), ((4,), {})]
    assert [call.kwargs["task_id"] for call in send.call_args_list] == [None, None, "mine", "own"]
    assert {call.kwargs["producer"] for call in send.call_args_list} == {None}
    with patch.object(add, "apply_async") as apply:
        add.delay(1)
        add.s(2).delay()
        group(add.s(3), add.s(4)).apply_async()
    assert [call.args[0] for call in apply.call_args_list] == [(1,), (2,), (3,), (4,)]
    assert sent(app) == []


class Based(Task):
    """A project's base of tasks."""


@pytest.mark.parametrize("patched", [Task, Based])
def test_a_patched_method_of_a_class(app, patched):
    """As tests and tracers patch it: ``mock.patch("celery.app.task.Task.apply_async")``, after the tasks are made."""

    @app.task(base=Based)
    def add(x):
        return x

    with patch.object(patched, "apply_async", autospec=True, side_effect=patched.apply_async) as apply:
        add.delay(1)
        add.s(2).delay()
        group(add.s(3), add.s(4)).apply_async()
    add.s(5).delay()
    assert [call.args[:2] for call in apply.call_args_list] == [(add, (1,)), (add, (2,)), (add, (3,)), (add, (4,))]
    assert [message.args for message in sent(app)] == [[1], [2], [3], [4], [5]]
    with patch.object(patched, "AsyncResult") as made:
        assert add.s(6).delay() is made.return_value
    assert isinstance(add.delay(7), AsyncResult)
