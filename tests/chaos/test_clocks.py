"""Workers whose clocks are an hour off: what they do, and when, is as if they were right."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from canvas import Workflow
from canvas.errors import TaskRevokedError
from canvas.testing.contract import eventually
from tests.chaos.workload import assert_nothing_is_left, assert_ran_once, workload
from tests.worker.commands import start, task

OFF = [pytest.param(3600, id="ahead"), pytest.param(-3600, id="behind", marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("off", OFF)
def test_a_wrong_clock_neither_steals_nor_loses_leases(bench, app, off):
    key = bench.new_key()
    with ExitStack() as stack:
        wrong, right = (
            stack.enter_context(
                start(bench, "-P", "threads", "-c", "2", "-n", f"{name}@%h", short_leases=1, **settings)
            )
            for name, settings in (("wrong", {"clock_off": off}), ("right", {}))
        )
        # Longer than a lease lasts: whoever takes the other for dead runs it again.
        slow = [task(app, "slow_then").delay(5, key + "slow") for _ in range(4)]
        sent = workload(app, key, 3)
        assert [result.get(timeout=60) for result, _ in sent] == [value for _, value in sent]
        assert [result.get(timeout=60) for result in slow] == [key + "slow"] * 4
        wrong.wait_for("clock is off by")
    assert_ran_once(bench, key, 3, killed=set())
    assert len(bench.ledger(key + "slow", 8)) == 8
    assert_nothing_is_left(bench, [wrong, right])


@pytest.mark.timeout(120)
@pytest.mark.parametrize("off", OFF)
def test_times_are_the_brokers(bench, app, off):
    key = bench.new_key()
    clocked, ident = task(app, "clocked"), task(app, "ident")
    with start(bench, "-P", "solo", clock_off=off):
        assert ident.delay(1).get(timeout=20) == 1
        before = time.time()
        soon = ident.apply_async((2,), countdown=1)
        expires = ident.apply_async((3,), expires=600)
        retried = task(app, "traced_twice").delay(0, key)
        later = clocked.apply_async((key,), countdown=1800)
        expired = ident.apply_async((4,), expires=-1)
        assert [one.get(timeout=20) for one in (soon, expires, retried)] == [2, 3, 1]
        assert 1 <= time.time() - before < 600
        eventually(lambda: expired.state == "REVOKED")
        assert (
            abs(expires.date_done.timestamp() - time.time()) < 60 if hasattr(expires.date_done, "timestamp") else True
        )
        assert later.state == "PENDING"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("off", OFF)
def test_runs_wait_by_the_brokers_clock(bench, app, off):
    flow = Workflow("waits", app)
    nap = flow.sleep(1, name="nap")
    until = flow.sleep(until=datetime.now(UTC) + timedelta(seconds=2), name="until")
    answer = flow.wait_for("never", after=nap, timeout=1, default="nobody", name="answer")
    inner = Workflow("inner", app)
    inner.sleep(3600)
    limited = flow.timeout(flow.add(inner), 1, otherwise="late")
    flow.add(task(app, "rec").s(answer, limited), after=[until], name="end")
    with start(bench, "-P", "solo", clock_off=off):
        before = time.time()
        run, cut = flow.apply_async(timeout=600, expires=600), flow.apply_async(timeout=1)
        assert run.get(timeout=20) == ["nobody", ["late"], {}]
        assert 2 <= time.time() - before < 20
        with pytest.raises(TaskRevokedError, match="timeout of 1"):
            cut.get(timeout=20)
        assert abs((run.status().ended - datetime.now(UTC)).total_seconds()) < 60
