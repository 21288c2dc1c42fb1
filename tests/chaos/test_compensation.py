"""A worker dies while a run with a workflow inside is undone: each step is undone once."""

import signal

import pytest

from canvas import Workflow
from canvas.testing.contract import eventually
from tests.chaos.instants import Instant
from tests.chaos.test_instants import POOLS, condemned
from tests.chaos.workload import assert_each_ran_once
from tests.worker.commands import start, task

FLOWS = 2
STEPS = 4


def failing(app, key):
    traced = task(app, "traced")
    inner, deepest = Workflow("inner", app), Workflow("deepest", app)
    deepest.add(traced.s(deepest.input("x"), key), compensate=traced.s(key), name="d")
    inner.add(deepest, inputs={"x": inner.add(traced.s(1, key), compensate=traced.s(key), name="b")}, name="deep")
    flow = Workflow("failing", app)
    a = flow.add(traced.s(1, key), compensate=traced.s(key), name="a")
    grown = flow.add(task(app, "builds_traced").si(key), after=flow.add(inner, after=a, name="inside"), name="grown")
    flow.add(task(app, "fail").s(grown), name="bad")
    return flow


@pytest.mark.timeout(180)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "count", [14, *(pytest.param(count, marks=pytest.mark.slow) for count in (6, 9, 12, 16, 18, 20, 22))]
)
def test_at_any_request(bench, app, count, when):
    key, pool = bench.new_key(), list(POOLS)[count % len(POOLS)]
    with condemned(bench, Instant("any", None, when, answered=bool, count=count), pool) as (worker, executioner):
        executioner.victim = worker.process.pid
        runs = [failing(app, key).apply_async() for _ in range(FLOWS)]
        assert worker.wait(40) == -signal.SIGKILL
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        for run in runs:
            assert isinstance(run.result.get(timeout=60, propagate=False), Exception)
            eventually(lambda run=run: app.AsyncResult(f"{run.id}.0.undo").state == "SUCCESS", 60)
            names = [node.name for node in app.workflow(f"{run.id}.0.undo").status().nodes]
            assert names == ["undo grown/g", "undo inside/deep/d", "undo inside/b", "undo a"]
    assert_each_ran_once(bench, key, FLOWS * STEPS * 2, executioner.killed)
