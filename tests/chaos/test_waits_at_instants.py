"""Processes die at the named instants of what runs do when they wait, race, repeat, nest, grow and end."""

import signal

import pytest

from canvas import Workflow
from canvas.remote.revocation_entries import revoked_ids
from canvas.testing.contract import eventually
from tests.chaos.instants import Instant
from tests.chaos.test_waits import (
    FLOWS,
    assert_results_expire,
    die_and_be_replaced,
    ran_once,
    states_of,
    waiting_flow,
)
from tests.support.dying import killed_at
from tests.worker.commands import named, reached, start, task


@pytest.fixture
def flow(app):
    return Workflow("flow", app)


pytestmark = pytest.mark.timeout(180)
STEPS = "canvas.workflows.steps"
TRANSITIONS = {
    "a wait begins": f"{STEPS}.waits:WaitingAttempt._take:before:1",
    "a wait has begun, and is not stored": f"{STEPS}.waits:WaitingAttempt._take:after:2",
    "a timer is set": f"{STEPS}.waits:WaitingAttempt._timer:after:1",
    "a timer is due": f"{STEPS}.waits:WaitingAttempt.on_timer:before:1",
    "a timer has ended its wait, and the end is not stored": f"{STEPS}.waits:WaitingAttempt.on_timer:after:1",
    "a wait is over": f"{STEPS}.waits:WaitingAttempt._woken:before:2",
    "a node with a limit has ended in time": f"{STEPS}.waits:WaitingAttempt._end_once:before:1",
    "a race is won, and the rest is not cancelled": f"{STEPS}.waits:WaitingAttempt._cancel_nodes:before:1",
    "the rest of a race is being cancelled": "canvas.workflows.store:RunStore.node:after:40",
    "a graft is half written": "canvas.workflows.store:RunStore.new_inside:before:3",
    "a graft is written, and not stored": "canvas.workflows.store:RunStore.new_inside:after:3",
    "a run inside ends": f"{STEPS}.engine:RunEngine._succeed_around:before:2",
    "a run inside has ended the node around": f"{STEPS}.engine:RunEngine._succeed_around:after:1",
    "a round is over": f"{STEPS}.loops:LoopAttempt._round_over:before:2",
    "a round has begun the next": f"{STEPS}.loops:LoopAttempt._round_over:after:1",
    "an item is passed on in its line": f"{STEPS}.spread.lines:LineAttempt._feed:after:2",
    "a page is worked on": f"{STEPS}.pages:PagesAttempt._work_on:after:1",
    "a run ends": f"{STEPS}.engine:RunEngine._finish:before:1",
    "the last run ends, and its end is not stored": f"{STEPS}.engine:RunEngine._finish:after:5",
}
SAMPLED = ["a timer is due", "a race is won, and the rest is not cancelled", "a graft is written, and not stored"]
PROMOTIONS = [Instant(f"{when} promotion", "enqueue_due", when) for when in ("before", "after")]


@pytest.mark.parametrize(
    "name", [name if name in SAMPLED else pytest.param(name, marks=pytest.mark.slow) for name in TRANSITIONS]
)
def test_a_worker_dies_in_a_transition(bench, app, name):
    key, once = bench.new_key(), bench.new_key()
    worker = start(bench, "-P", "threads", "-c", "2", short_leases=1, die_in=TRANSITIONS[name])
    killed = {worker.process.pid}
    with worker:
        runs = [waiting_flow(app, key, once).apply_async() for _ in range(FLOWS)]
        for run in runs:
            run.signal("go", 5, key="only")
        assert worker.wait(40) == -signal.SIGKILL
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        for run in runs:
            assert [run[one].get(timeout=60) for one in ("end", "after all", "line")] == [14, 11, [3, 4, 5]]
            assert [run[one].get(timeout=60) for one in ("each", "paged", "yielded")] == [[2, 3, 4], 4, 4]
            run.result.get(timeout=60, propagate=False)
            eventually(lambda run=run: states_of(run)["late"] == "REVOKED")
            assert (states_of(run)["clean"], run.signals()) == ("SUCCESS", {})
        eventually(lambda: not bench.results.exists("canvas:chords:ready"))
    ran_once(bench, key, killed)
    assert_results_expire(bench)


@pytest.mark.slow
@pytest.mark.parametrize("instant", PROMOTIONS, ids=lambda instant: instant.name)
def test_a_worker_dies_as_a_timer_is_promoted(bench, app, instant):
    die_and_be_replaced(bench, app, instant, "solo")


@pytest.mark.parametrize("waits", ["before the signal", "after it"])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_caller_dies_as_it_sends_a_signal(bench, app, flow, when, call, waits):
    """It is sent again with its key, and counts once."""
    gate = bench.new_key()
    first = flow.wait_for("go", after=flow.add(task(app, "until_open").s(gate), name="gate"), name="first")
    named(app, flow, "end", first, flow.wait_for("go", after=first, name="second"))
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        run = flow.apply_async()
        bench.ledger(gate, 1)
        if waits == "before the signal":
            bench.open(gate)
            reached(run, "first", "AWAITING_SIGNAL")
        code = killed_at(bench, ("settler", "settle", when), lambda other: send(other, run.id, 7, "a"), call)
        assert code == (-signal.SIGKILL if call == 1 or waits == "after it" else 0)
        bench.open(gate)
        run.signal("go", 7, key="a")
        run.signal("go", 8, key="b")
        assert run.get(timeout=60) == ["end", [7, 8], {}]
        assert run.signals() == {}


def send(app, run, payload, key):
    app.workflow(run).signal("go", payload, key=key)


def test_the_loser_of_a_race_finishes_after_the_winner_on_a_worker_that_dies(bench, app, flow):
    """Its task runs to its end, is killed before that is stored, and has no further effect."""
    gate, below, key = bench.new_key(), bench.new_key(), bench.new_key()
    quick = flow.add(task(app, "ident").s("quick"), after=flow.wait_for("go"), name="quick")
    slow = flow.add(task(app, "until_open").s(gate), name="slow")
    loser = flow.add(task(app, "noted").s(slow, below), name="loser")
    flow.add(task(app, "noted").s(flow.first(quick, loser, name="winner"), key), name="end")
    with start(bench, "-P", "threads", "-c", "3", short_leases=1) as worker:
        run = flow.apply_async()
        bench.ledger(gate, 1)
        run.signal("go")
        assert run.get(timeout=60) == "quick"
        # The race cancels by a task of its own; until that has run, what is cancelled may still succeed.
        eventually(lambda: run["slow"].id in revoked_ids(app.driver.coordination.revoked()[1]))
        worker.signal(signal.SIGKILL)
        worker.wait()
    bench.open(gate)
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        for name in ("slow", "loser"):
            eventually(lambda name=name: states_of(run)[name] in ("REVOKED", "UPSTREAM_FAILED"))
        assert task(app, "ident").delay(1).get(timeout=20) == 1
    assert (run.status().state, run.get(timeout=20)) == ("SUCCESS", "quick")
    assert (bench.ledgers.llen(f"ledger:{below}"), bench.ledger(key, 1)) == (0, ["'quick'"])


@pytest.mark.parametrize("kind", ["cancelled", "failed"])
def test_a_worker_dies_while_finally_runs(bench, app, flow, kind):
    """It runs again, to its end; the run is what it was."""
    gate = bench.new_key()
    flow.wait_for("never") if kind == "cancelled" else flow.add(task(app, "fail").s())
    flow.finally_(task(app, "until_open").s(gate), name="clean")
    with start(bench, "-P", "threads", "-c", "3", short_leases=1) as worker:
        run = flow.apply_async()
        if kind == "cancelled":
            reached(run, "never", "AWAITING_SIGNAL")
            assert run.cancel()
        assert bench.ledger(gate, 1) == ["start"]
        assert not run.cancel()
        worker.signal(signal.SIGKILL)
        worker.wait()
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        assert bench.ledger(gate, 2) == ["start", "start"]
        bench.open(gate)
        eventually(lambda: run.status().over)
    assert bench.ledger(gate, 3) == ["start", "start", "end"]
    assert (run.status().state, states_of(run)["clean"]) == (
        "CANCELLED" if kind == "cancelled" else "FAILURE", "SUCCESS",
    )  # fmt: skip


def test_a_caller_dies_as_it_resumes_a_run_that_waits(bench, app, flow):
    """It is resumed again; the signal reaches the wait of the attempt that goes on."""
    gate = bench.new_key()
    answer = flow.wait_for("answer")
    gated = flow.add(task(app, "gated").s(1, key=gate), name="gated")
    named(app, flow, "end", answer, gated)
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        run = flow.apply_async()
        reached(run, "gated", "FAILURE")
        bench.open(gate)
        instant = ("settler", "dispatch_chord", "before")
        assert killed_at(bench, instant, lambda other: other.workflow(run.id).resume(force=True)) == -signal.SIGKILL
        reached(run, "gated", "SUCCESS")
        run.signal("answer", "yes")
        assert run.get(timeout=60) == ["end", ["yes", [1]], {}]
        assert (run.attempt, run.signals()) == (1, {})
