"""Runs that wait for longer than runs without progress are kept: a worker finds them. Their timers end with the wait."""

import json

import pytest

from canvas import Workflow
from canvas.testing.contract import eventually
from canvas.workflows.steps import waits
from tests.worker.commands import named, served_app, states, task

EVERY = 0.5
"""Seconds after which a worker looks for runs that wait, and timers look at their waits, here."""


app = served_app("-P", "threads", "-c", "2", env={"APP_RENEWED_EVERY": str(EVERY)})


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(waits, "TIMER_LASTS", EVERY)


def runs_expire_soon(bench, *runs):
    """As if these had waited for nearly as long as they are kept."""
    for run in runs:
        assert bench.results.expire(f"canvas:run:{run}", 100)
        assert bench.results.expire(f"celery-task-meta-{run}", 100)


def are_renewed(bench, *runs):
    keys = [f"{start}{run}" for run in runs for start in ("canvas:run:", "celery-task-meta-")]
    return all(bench.results.ttl(key) > 1_000 for key in keys)


def test_a_wait_without_a_timeout_keeps_its_run_and_the_runs_around_it(bench, app, flow):
    inner = Workflow("inner", app)
    inner.wait_for("answer")
    named(app, flow, "end", flow.add(inner, name="inner"))
    run = flow.apply_async()
    child = eventually(lambda: run.child("inner"))
    eventually(lambda: states(child)["answer"] == "AWAITING_SIGNAL")
    assert not bench.broker.zcard("canvas:delayed")  # a wait without an end needs no message
    for _ in range(2):
        runs_expire_soon(bench, run.id, child.id)
        eventually(lambda: are_renewed(bench, run.id, child.id))
    child.signal("answer", 42)
    assert run.get(timeout=20) == ["end", [42], {}]


def test_all_that_a_waiting_run_needs_is_kept(bench, app, flow):
    """The rest of its joins, the runs inside that have ended, and the pages that a generator has yielded."""
    bench.results.flushdb()
    inner, work = Workflow("inner", app), Workflow("work", app)
    inner.add(task(app, "ident").s(1))
    work.add(task(app, "ident").s(work.input("items")), after=work.wait_for("go"))
    done = flow.add(inner, name="done")
    paged = flow.pages(task(app, "yields").s(6, 2), work, name="paged", after=done)
    named(app, flow, "end", done, paged)
    run = flow.apply_async()
    page = eventually(lambda: run.child("paged", 0))
    eventually(lambda: states(page)["go"] == "AWAITING_SIGNAL")

    def kept():
        return [key for key in bench.results.keys() if key.startswith((b"celery-task", b"canvas:run:"))]

    # The first page may wait while the task that yields the pages still runs.
    eventually(lambda: len([key for key in kept() if key.endswith(b".j")]) == 3)
    mine = kept()
    assert len([key for key in mine if b".w" in key and key.startswith(b"canvas:run:")]) == 2
    for key in mine:
        bench.results.expire(key, 100)
    eventually(lambda: [key for key in mine if bench.results.ttl(key) < 1_000] == [])
    for number in range(3):
        eventually(lambda number=number: run.child("paged", number)).signal("go")
    assert run.get(timeout=20) == ["end", [1, 6], {}]


def test_a_run_that_waits_takes_few_bytes(bench, app, flow):
    named(app, flow, "end", flow.wait_for("answer"))
    run = flow.apply_async()
    eventually(lambda: states(run)["answer"] == "AWAITING_SIGNAL")
    keys = list(bench.results.scan_iter(f"*{run.id}*"))
    assert sum(bench.results.memory_usage(key) for key in keys) < 760
    run.signal("answer", 42)
    assert run.get(timeout=20) == ["end", [42], {}]


def test_a_run_that_has_ended_is_not_kept_though_a_node_waits(bench, app, flow):
    flow.wait_for("answer")
    run = flow.apply_async()
    eventually(lambda: states(run)["answer"] == "AWAITING_SIGNAL")
    end = {"status": "SUCCESS", "result": None, "task_id": run.id, "attempt": 0}
    bench.results.set(f"celery-task-meta-{run.id}", json.dumps(end), ex=100)
    bench.results.expire(f"canvas:run:{run.id}", 100)
    later = flow.apply_async()
    eventually(lambda: states(later)["answer"] == "AWAITING_SIGNAL")
    runs_expire_soon(bench, later.id)
    eventually(lambda: are_renewed(bench, later.id))
    runs_expire_soon(bench, later.id)
    eventually(lambda: are_renewed(bench, later.id))
    assert bench.results.ttl(f"canvas:run:{run.id}") <= 100


def test_the_timer_of_a_wait_that_is_over_is_not_set_again(bench, app, flow):
    flow.wait_for("answer", timeout=3600)
    run = flow.apply_async()
    eventually(lambda: bench.broker.zcard("canvas:delayed"))
    run.signal("answer", 1)
    assert run.get(timeout=20) == 1
    eventually(lambda: not bench.broker.zcard("canvas:delayed"))


def test_the_timer_of_a_run_that_is_cancelled_ends(bench, app, flow):
    flow.wait_for("answer", timeout=3600)
    run = flow.apply_async()
    eventually(lambda: states(run)["answer"] == "AWAITING_SIGNAL")
    run.cancel()
    eventually(lambda: not bench.broker.zcard("canvas:delayed"))
