"""run.again by callers that are killed, and by two at once."""

import signal

import pytest

from canvas.testing.contract import eventually
from canvas.workflows.resume import run_again_from
from tests.support.dying import killed_at
from tests.worker.commands import served_app, task

app = served_app("-P", "threads", "-c", "4", short_leases=1)


def ran(bench, *keys):
    """How often each of these keys was noted."""
    return [bench.ledgers.llen(f"ledger:{key}") for key in keys]


def line(app, flow, *keys):
    """Nodes one after the other, each of which notes a key."""
    handle = 1
    for at, key in enumerate(keys):
        handle = flow.add(task(app, "noted").s(handle, key), name="abcdef"[at])
    return handle


INSTANTS = [
    ("runs", "begin_attempt", "before"),
    ("runs", "begin_attempt", "after"),
    ("settler", "dispatch_chord", "before"),
    ("settler", "dispatch_chord", "after"),
]


@pytest.mark.parametrize("instant", INSTANTS, ids=lambda one: f"{one[2]} {one[1]}")
def test_a_caller_that_is_killed_begins_one_attempt_or_none(bench, app, flow, instant):
    a, b, c = (bench.new_key() for _ in range(3))
    line(app, flow, a, b, c)
    run = flow.apply_async()
    run.get(timeout=20)
    assert killed_at(bench, instant, lambda other: other.workflow(run.id).again("b")) == -signal.SIGKILL
    if instant == INSTANTS[0]:
        assert run.status().state == "SUCCESS"
        assert run.again("b")
    eventually(lambda: run.status().state == "SUCCESS" and run.attempt == 1)
    assert run.get(timeout=20) == 1
    assert ran(bench, a, b, c) == [1, 2, 2]


def test_one_of_two_callers_begins_the_attempt(bench, app, flow):
    a, b = bench.new_key(), bench.new_key()
    line(app, flow, a, b)
    run = flow.apply_async()
    run.get(timeout=20)
    runs = [app.workflow(run.id) for _ in range(2)]
    looked = [one._look() for one in runs]
    begun = [
        one._begin_attempt(found, False, run_again_from(one, "b")) for one, found in zip(runs, looked, strict=True)
    ]
    assert begun == [True, False]
    assert run.get(timeout=20) == 1
    assert ran(bench, a, b) == [1, 2]
