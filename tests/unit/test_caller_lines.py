"""The traceback of a mistake ends in the line that made it."""

import asyncio
import logging
import traceback
from importlib.util import find_spec

import pytest

from canvas import Canvas, Workflow, chain, chord, group, signature
from canvas.caller_warnings import _EXPLAIN_THEMSELVES
from canvas.schedules import crontab
from canvas.testing.worker import start_worker

app = Canvas("own", broker="memory://own-frames", backend="memory://own-frames", set_as_current=False)
app.finalize()
away = Canvas(
    "away", broker="redis://localhost:1/0", backend="redis://localhost:1/1", set_as_current=False, task_publish_retry=False
)  # fmt: skip
unstored = Canvas("unstored", broker="memory://own-frames", backend="file:///dev/null/results", set_as_current=False)
handle, handles = unstored.AsyncResult("nope"), unstored.GroupResult("nope", [unstored.AsyncResult("nope")])


@app.task(name="own.add")
def add(a, b):
    return a + b


@app.task(name="own.fail")
def fail():
    raise ValueError("as asked")


def flow(*members):
    flow = Workflow("w", app)
    for one in members:
        flow.add(one)
    return flow


MISTAKES = {
    "delay": lambda: add.delay(1),
    "apply_async": lambda: add.apply_async((1,)),
    "adelay": lambda: asyncio.run(add.adelay(1)),
    "option": lambda: add.apply_async((1, 2), countdown="3"),
    "serializer": lambda: add.delay(object(), 1),
    "signature": lambda: add.s(1).delay(),
    "chain": lambda: chain(add.s(1), add.s(1)).delay(),
    "group": lambda: group(add.s(1), add.s(1)).apply_async(),
    "chord": lambda: chord([add.s(1)], add.s()).delay(),
    "chord's apply_async": lambda: chord([add.s(1)], add.s()).apply_async(),
    "setting": lambda: setattr(app.conf, "worker_concurrency", "four"),
    "settings": lambda: app.conf.update(worker_concurrency="four"),
    "item": lambda: app.conf.__setitem__("worker_concurrency", "four"),
    "step": lambda: chain(add, add.s(3)),
    "member": lambda: group([add]),
    "body": lambda: chord([add.s(1, 2)], add),
    "pipe": lambda: add.s(1, 2) | 3,
    "signature of nothing": lambda: signature(None),
    "option of a task": lambda: app.task(name="own.rated", rate_limit="10/x")(len),
    "argument of a method": lambda: Workflow("w", app).loop(begin=0),
    "argument of a query": lambda: app.runs(stat="FAILURE"),
    "unknown run": lambda: app.workflow("nope"),
    "crontab": lambda: crontab(minut=1),
    "node": lambda: flow(3),
    "node's arguments": lambda: flow(add.s(1)),
    "workflow": lambda: flow().apply_async(),
    "workflow's delay": lambda: flow().delay(),
    "result": lambda: add.AsyncResult("nope").get(timeout=0.01),
    "name": lambda: away.send_task("away.f"),
    "server": lambda: away.task(name="away.f")(lambda: 1).delay(),
    "schedule": away.schedule.list,
    "control": away.control.ping,
    "revoke": lambda: away.control.revoke("nope"),
    "inspect": lambda: away.control.inspect().active(),
    "pipe's result": lambda: ~away.signature("away.f"),
    "called group": group(away.signature("away.f"), app=away),
    "called chunks": away.task(name="away.g")(lambda x: x).chunks([(1,)], 1),
    "state": lambda: handle.state,
    "forget": handle.forget,
    "collect": lambda: list(handle.collect()),
    "members": handles.ready,
    "iterate": lambda: list(handles.iterate()),
    "restore": lambda: unstored.GroupResult.restore("nope"),
    "state in the backend": lambda: unstored.backend.get_state("nope"),
    "record in the backend": lambda: unstored.backend.store_result("nope", 1, "SUCCESS"),
    "success in the backend": lambda: unstored.backend.mark_as_done("nope", 1),
    "group in the backend": lambda: unstored.backend.restore_group("nope"),
    "key in the backend": lambda: unstored.backend.get("nope"),
    "event": lambda: away.events.Dispatcher(buffer_while_offline=False).send("task-own", uuid="1"),
    "events": lambda: away.events.Receiver(None, {}).capture(limit=1, timeout=1),
    "node of a run": lambda: flow(add.s(1, 1)).apply_async().again(from_node="nope"),
    "run on a loop": lambda: asyncio.run(flow(add.s(1, 1)).apply_async().aagain(from_node="nope")),
}


def frames(call):
    with pytest.raises(Exception) as caught:
        call()
    return traceback.extract_tb(caught.value.__traceback__)


def is_here(frame):
    return frame.filename == __file__ or "asyncio" in frame.filename


@pytest.mark.parametrize("call", MISTAKES.values(), ids=MISTAKES)
def test_it_ends_in_the_callers_line(call):
    assert all(map(is_here, frames(call)))


def test_failures_of_tasks_and_runs_end_in_the_line_that_asks_for_them():
    with start_worker(app, pool="threads"):
        for waiting in (fail.delay(), group(fail.s(), fail.s()).delay(), flow(fail.s()).apply_async()):
            assert all(map(is_here, frames(lambda waiting=waiting: waiting.get(timeout=20))))


def test_the_level_debug_keeps_all_frames(caplog):
    with caplog.at_level(logging.DEBUG, "canvas"):
        assert not is_here(frames(MISTAKES["delay"])[-1])


def test_frames_of_the_program_are_kept_with_all_others():
    def router(name, args, kwargs, options, task=None):
        raise RuntimeError("a mistake of the router")

    other = Canvas("other", broker="memory://own-frames", set_as_current=False, task_routes=(router,))
    found = [frame.name for frame in frames(lambda: other.send_task("x"))]
    assert found[-1] == "router"
    assert "send_task" in found


def test_an_error_within_canvas_keeps_its_frames(monkeypatch):
    def broken(*_args):
        return {}["a mistake of canvas"]

    monkeypatch.setattr("canvas.task.arguments.CheckedCalls.check_typing", broken)
    assert [frame.name for frame in frames(MISTAKES["delay"])][-1] == "broken"


@pytest.mark.parametrize("name", ["apply_async", "delay"])
def test_an_alias_is_named_as_its_method(name):
    with pytest.raises(TypeError, match=r"^Workflow\.apply_async\(\) takes"):
        getattr(flow(), name)(1, 2, 3)


def test_modules_whose_errors_are_for_the_caller_exist():
    assert [name for name in _EXPLAIN_THEMSELVES if find_spec(name) is None] == []
