"""Workflows where workers come and go: pools, kills, lost messages, lost runs."""

import signal
import time

import pytest

from canvas import Workflow
from canvas.errors import RunLost, TimeoutError
from tests.worker.commands import start, task

POOLS = [("solo",), ("threads", "-c", "4"), ("prefork", "-c", "2"), ("asyncio", "-c", "20")]


@pytest.fixture
def flow(app):
    return Workflow("flow", app)


def named(app, flow, name, *args, **options):
    """A node whose value shows what it was given."""
    return flow.add(task(app, "rec").s(name, *args), name=name, **options)


def states(run):
    return {node.name: node.state for node in run.status().nodes}


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool[0])
def test_results_go_where_handles_stood(bench, app, flow, pool):
    parts = flow.add(task(app, "parts").s(1))
    total = flow.add(task(app, "add").s(parts["x"], y=parts["pair"][1]), name="total")
    flow.add(task(app, "rec").s("end", total, [parts["pair"], {"deep": total}], key=parts), after=[total])
    with start(bench, "-P", *pool):
        run = flow.apply_async()
        assert run.get(timeout=20) == ["end", [3, [[1, 2], {"deep": 3}]], {"key": {"x": 1, "pair": [1, 2]}}]
        assert run["total"].get() == 3
        assert run.results() == {"parts": {"x": 1, "pair": [1, 2]}, "total": 3, "rec": run["rec"].get()}
        assert run.status().state == "SUCCESS"


def test_cancel_ends_what_runs(bench, app, flow):
    key = bench.new_key()
    slow = flow.add(task(app, "slow_then").s(30, key), name="slow")
    named(app, flow, "after", slow)
    with start(bench, "-P", "prefork", "-c", "1"):
        run = flow.apply_async()
        bench.ledger(key, 1)
        began = time.monotonic()
        run.cancel(terminate=True)
        with pytest.raises(Exception, match="terminated"):
            run.get(timeout=20)
        assert time.monotonic() - began < 15
        assert states(run) == {"slow": "REVOKED", "after": "UPSTREAM_FAILED"}


def test_waiting_ends_in_time(app, flow):
    flow.add(task(app, "ident").s(1))
    run = flow.apply_async()
    with pytest.raises(TimeoutError):
        run.get(timeout=0.1)
    assert run.state == "STARTED"
    assert states(run) == {"ident": "PENDING"}


def test_a_run_outlives_its_workers(bench, app, flow):
    key = bench.new_key()
    ends = []
    for n in range(6):
        slow = flow.add(task(app, "slow_then").s(0.5, key), name=f"slow{n}")
        ends.append(flow.add(task(app, "rec").s(str(n), slow), name=f"end{n}"))
    flow.add(task(app, "rec").s("all", *ends), name="all")
    run = flow.apply_async()
    first = start(bench, "-P", "threads", "-c", "3", short_leases=1).ready()
    bench.ledger(key, 3)
    first.signal(signal.SIGKILL)
    first.wait()
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        assert run.get(timeout=60)[0] == "all"
    assert set(states(run).values()) == {"SUCCESS"}
    assert len(bench.ledgers.lrange(f"ledger:{key}", 0, -1)) <= 6 * 2 + 3


def test_a_lost_run_says_so(bench, app, flow):
    flow.add(task(app, "ident").s(1), name="first")
    flow.add(task(app, "ident").s(flow["first"]), name="second")
    run = flow.apply_async()
    bench.results.delete(f"canvas:run:{run.id}")
    with pytest.raises(RunLost, match="there is no run"):
        app.workflow(run.id)
    with start(bench, "-P", "solo") as worker:
        worker.wait_for("is lost, and does not go on")
        assert run["first"].get(timeout=10) == 1
        assert run["second"].state == "PENDING"
        # The worker goes on.
        assert task(app, "ident").delay(3).get(timeout=10) == 3


def test_a_run_that_lost_its_messages_is_resumed_by_force(bench, app, flow):
    flow.add(task(app, "ident").s(1), name="one")
    run = flow.apply_async()
    bench.broker.flushdb()
    assert run.resume() is False
    assert run.resume(force=True) is True
    with start(bench, "-P", "solo"):
        assert run.get(timeout=20) == 1
