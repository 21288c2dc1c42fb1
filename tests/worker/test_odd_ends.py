"""Tasks that end in what is no Exception, and values and exceptions that break whoever looks at them: each is a failure
that is told, and its slot and its process go on."""

import json

import pytest

from canvas import chord, group
from canvas.errors import RemoteError
from canvas.testing.contract import eventually
from tests.support.odd import BREAKS_OFF, COROUTINES, FAILS
from tests.worker.commands import start, task

POOLS = [("solo",), ("threads", "-c", "2"), ("prefork", "-c", "2"), ("asyncio", "-c", "4")]


def failures(bench, app, results):
    """What is stored of each."""
    assert {bench.wait_state(app, result.id) for result in results} == {"FAILURE"}
    records = [json.loads(bench.results.get(f"celery-task-meta-{result.id}"))["result"] for result in results]
    return [(one["exc_type"], one["exc_message"]) for one in records]


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool[0])
def test_neither_slots_nor_processes_end_with_a_task(bench, app, pool):
    with start(bench, "-P", *pool) as worker:
        broken_off = [task(app, name).delay(kind) for kind in BREAKS_OFF for name in ("odd", "a_odd")]
        broken_off += [task(app, "a_odd").delay(kind) for kind in COROUTINES]
        names = {"WorkerLostError", "CancelledError", "GeneratorExit", "NoException", "BaseExceptionGroup"}
        assert {kind for kind, _ in failures(bench, app, broken_off)} <= names
        failures(bench, app, [task(app, name).delay(kind) for kind in FAILS for name in ("odd", "a_odd")])
        whole = chord([task(app, "odd").s("exit"), task(app, "odd").s("unwritable at all")], task(app, "tsum").s())
        ((kind, (text,)),) = failures(bench, app, [whole.delay()])
        assert (kind, "exitcode 3" in text) == ("ChordError", True)
        errback = task(app, "fail").s().on_error(task(app, "exit_as_errback").s())
        assert failures(bench, app, [errback.delay()]) == [("ValueError", ["boom", 42])]
        assert group(task(app, "a_ident").s(n) for n in range(9)).delay().get(timeout=20) == list(range(9))
        worker.stop()
        assert worker.wait() == 0
    assert bench.broker.hlen("unacked") == 0


def test_celery_says_the_same_of_them(bench, app):
    """Its prefork pool: in its others a result never comes."""
    told = []
    for library in ("canvas", "celery"):
        with start(bench, "-P", "prefork", "-c", "2", library=library):
            told.append(failures(bench, app, [task(app, "odd").delay(kind) for kind in BREAKS_OFF]))
    assert told[0] == told[1]


def test_a_value_that_cannot_be_written_is_told_as_a_failure(bench, app):
    with start(bench, "-P", "solo") as worker:
        result = task(app, "odd").delay("unwritable")
        with pytest.raises(Exception, match="__json__ raised KeyError"):
            result.get(timeout=20)
        lost = task(app, "odd").delay("cancelled")
        with pytest.raises(RemoteError, match="its own"):
            lost.get(timeout=20)
    text = "".join(worker.log)
    assert f"Task t.odd[{result.id}] raised unexpected: EncodeError(" in text
    assert "succeeded" not in text


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool[0])
def test_a_coroutine_knows_its_own_call(bench, app, pool):
    with start(bench, "-P", *pool):
        results = [task(app, "a_own").delay() for _ in range(5)]
        found = [result.get(timeout=20) for result in results]
        assert [own for own, _ in found] == [result.id for result in results]
        for (_, child), result in zip(found, results, strict=True):
            eventually(lambda child=child: bench.results.get(f"celery-task-meta-{child}"))
            assert json.loads(bench.results.get(f"celery-task-meta-{child}"))["parent_id"] == result.id


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool[0])
def test_what_a_coroutine_left_is_not_resumed_by_the_next(bench, app, pool):
    """Nor does an exit beside it end what others do on the same loop."""
    with start(bench, "-P", *pool):
        along = task(app, "a_slow").delay(1.0)
        broken_off = [task(app, "a_odd").delay(kind) for kind in COROUTINES]
        after = [task(app, "a_ident").delay(n) for n in range(4)]
        assert [result.get(timeout=20) for result in after] == [0, 1, 2, 3]
        assert along.get(timeout=20) == 1.0
        failures(bench, app, broken_off)
