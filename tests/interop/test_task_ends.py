"""Hooks, signals and error callbacks around a task's end: Celery's, in every pool, with functions and coroutines."""

import json
import time
from contextlib import ExitStack

import pytest

from tests.support.hooked import make
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer

POOLS = {"prefork": "1", "solo": "1", "threads": "1", "asyncio": "1"}
ENDS = ("value", "fail", "retry", "autoretry", "ignore", "reject", "replace")
RAISING = [("value", "before_start"), ("value", "on_success"), ("value", "after_return"), ("fail", "after_return")]
ERRBACKS = [
    ("by_id", (), {}), ("by_id_with_label", (), {"label": "x"}), ("by_id_with_label", ("x",), {}),
    ("by_request", (), {}), ("any_args", (), {}), ("any_args", ("x",), {}), ("any_kwargs", (), {"label": "x"}),
    ("bound", (), {"label": "x"}), ("bound", ("x",), {}), ("by_class", (), {"label": "x"}), ("by_class", ("x",), {}),
]  # fmt: skip


class Bench:
    """A worker of one library and pool, with databases of its own on the module's server."""

    def __init__(self, server, number):
        self.urls = [server.url(3 * number + index) for index in range(3)]
        self.ledgers = server.client(3 * number + 2, decode_responses=True)
        self.keys = 0

    def worker(self, library, *arguments):
        broker, backend, ledger = self.urls
        return WorkerProcess(library, broker, backend, *arguments, app="tests.support.hooked:app", ledger=ledger)

    def open(self, library):
        self.app = make(library, *self.urls)
        return self

    def new_key(self):
        self.keys += 1
        return f"k{self.keys}"

    def notes(self, key, last, times=1, timeout=20):
        """What was noted under a key, once ``last`` was, so many times."""
        deadline = time.monotonic() + timeout
        while True:
            found = [json.loads(note) for note in self.ledgers.lrange(f"ledger:{key}", 0, -1)]
            if sum(note[0] == last for note in found) >= times:
                return found
            assert time.monotonic() < deadline, f"{key}: {last} was not noted {times} times; noted: {found}"
            time.sleep(0.01)

    def run(self, end, raises=None, kind="error", task="work"):
        """A task's state and notes."""
        key = self.new_key()
        result = self.app.tasks[task].delay(end, raises=raises, kind=kind, key=key)
        notes = self.notes(key, "task_postrun", 2 if end in ("retry", "autoretry") else 1)
        if end not in ("ignore", "reject"):
            result.get(timeout=10, propagate=False)
        # The main process of a Celery worker sends task_failure for a rejected task, some time later.
        return notes[: 1 + max(index for index, note in enumerate(notes) if note[0] == "task_postrun")]

    def errback(self, name, args, kwargs, failing="fail"):
        key = self.new_key()
        self.app.tasks[failing].s().on_error(self.app.tasks[name].s(*args, **kwargs, key=key)).apply_async()
        return [note for note in self.notes(key, name) if note[0] in (name, "task_prerun")]


@pytest.fixture(scope="module")
def server():
    with RedisServer("--databases", "32") as server:
        yield server


@pytest.fixture(scope="module")
def celery(server):
    """What Celery's worker does, once for each call."""
    with ExitStack() as stack:
        bench = Bench(server, 0)
        stack.enter_context(bench.worker("celery", "-P", "threads", "-c", "1"))
        bench.open("celery")
        stack.callback(bench.app.close)
        calls = [(end, None) for end in ENDS] + RAISING
        yield {
            "runs": {call: bench.run(*call) for call in calls},
            "errbacks": [bench.errback(*errback) for errback in ERRBACKS],
            "current app": in_another_app(bench),
        }


def in_another_app(bench):
    """What tasks of a worker find where the program has made another app last."""
    app, first = bench.app, bench.app.tasks["add"].delay(1, 1)

    def get(result):
        return result.get(timeout=20)

    get(first)
    return [
        get(app.tasks["which"].delay()),
        get(app.tasks["state_of"].delay(first.id)),
        get(app.AsyncResult(get(app.tasks["send_shared"].delay(7)))),
        get(app.AsyncResult(get(app.tasks["send_by_name"].delay(7)))),
        get(app.tasks["total"].map([[1, 2]]).apply_async()),
        get(app.tasks["add"].chunks([(1, 2), (3, 4)], 1).apply_async()),
    ]


@pytest.fixture(scope="module", params=POOLS)
def bench(request, server):
    bench = Bench(server, 1 + list(POOLS).index(request.param))
    arguments = () if request.param == "solo" else ("-c", POOLS[request.param])
    with bench.worker("canvas", "-P", request.param, *arguments):
        yield bench.open("canvas")
        bench.app.close()


def of_celery(celery, end, raises=None, task="work"):
    return json.loads(json.dumps(celery["runs"][end, raises]).replace('"work"', f'"{task}"'))


@pytest.mark.parametrize("task", ["work", "awork"])
def test_hooks_and_signals_come_in_celerys_order_with_its_arguments(bench, celery, task):
    for end in ENDS:
        assert bench.run(end, task=task) == of_celery(celery, end, task=task), end


@pytest.mark.parametrize("task", ["work", "awork"])
def test_hooks_that_raise_change_nothing_of_the_end(bench, celery, task):
    for end, raises in RAISING:
        assert bench.run(end, raises, task=task) == of_celery(celery, end, raises, task), (end, raises)
    # Celery's worker fails on these itself, after it has kept the outcome.
    for end, raises in (("fail", "on_failure"), ("retry", "on_retry")):
        assert bench.run(end, raises, task=task) == of_celery(celery, end, task=task), (end, raises)
    for kind in ("exit", "ignore"):
        assert bench.run("value", "on_success", kind, task) == of_celery(celery, "value", task=task), kind


def test_what_follows_a_task_with_a_raising_hook_goes_on(bench):
    from canvas import chord

    work, add, total = (bench.app.tasks[name] for name in ("work", "add", "total"))
    for end, hook in (("value", "on_success"), ("value", "after_return"), ("retry", "on_retry")):
        raising = work.s(end, raises=hook)
        assert raising.delay().get(timeout=20) == 1
        assert (raising | add.s(1)).delay().get(timeout=20) == 2
        assert chord([raising, work.s()], total.s()).delay().get(timeout=20) == 2
    failed = work.delay("fail", raises="on_failure")
    with pytest.raises(ValueError, match="root cause"):
        failed.get(timeout=20)


def test_a_result_that_cannot_be_written_is_a_failure_to_hooks_too(bench):
    names = [note[0] for note in bench.run("unwritable")]
    assert names == ["task_prerun", "before_start", "on_failure", "task_failure", "after_return", "task_postrun"]


@pytest.mark.parametrize("failing", ["fail", "afail"])
def test_error_callbacks_are_called_as_celery_calls_them(bench, celery, failing):
    assert [bench.errback(*errback, failing) for errback in ERRBACKS] == celery["errbacks"]


def test_maps_of_coroutine_tasks(bench):
    adouble, aadd, loop_of = (bench.app.tasks[name] for name in ("adouble", "aadd", "loop_of"))
    assert adouble.map([1, 2]).delay().get(timeout=20) == [2, 4]
    assert aadd.starmap([(1, 2)]).delay().get(timeout=20) == [3]
    assert aadd.chunks([(1, 2), (3, 4)], 1).apply_async().get(timeout=20) == [[3], [7]]
    # What a coroutine keeps open on its loop is of use to those that are mapped.
    assert loop_of.map([1, 2]).delay().get(timeout=20) == [loop_of.delay(0).get(timeout=20)] * 2


@pytest.mark.parametrize("failing", ["fail", "afail"])
def test_error_callbacks_that_are_coroutines(bench, failing):
    key = bench.new_key()
    bench.app.tasks[failing].s().on_error(bench.app.tasks["on_error"].s(key=key)).apply_async()
    ((_, name, place),) = bench.notes(key, "root cause")
    assert (name, place) == ("on_error", bench.app.tasks["loop_of"].delay(0).get(timeout=20))


def test_a_workers_app_is_the_current_one(bench, celery):
    assert in_another_app(bench) == celery["current app"]
    assert celery["current app"] == [["hooked", True], "SUCCESS", 7, 8, [3], [[3], [7]]]
