"""Workflows where workers come and go: pools, kills, lost messages, lost runs."""

import random
import signal
import threading
import time
from collections import Counter

import pytest

from canvas import Workflow
from canvas.drivers.ports.values import Lease
from canvas.errors import RunLost, TimeoutError
from canvas.model.run_index import RunQuery
from canvas.testing.contract import eventually
from canvas.worker.options import WorkerOptions
from canvas.worker.process import WorkerProcess
from tests.support.apps import make
from tests.support.seeds import seeds
from tests.worker.commands import named, start, states, task

POOLS = [("solo",), ("threads", "-c", "4"), ("prefork", "-c", "2"), ("asyncio", "-c", "20")]


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


def test_a_task_ends_well_though_what_follows_cannot_be_built(bench):
    def route(name, *_, **__):
        if name == "t.rec":
            raise RuntimeError("no way")

    app = make("canvas", *bench.urls()[:2], ledger=bench.urls()[2], task_routes=(route,))
    flow = Workflow("flow", app)
    sides = [flow.add(task(app, "ident").s(1).set(queue="own"), name=side) for side in "ab"]
    flow.add(task(app, "rec").s("end"), after=sides)
    run = flow.apply_async()
    plan = WorkerOptions("here", ["celery"], 1, "solo", 0, False, None, None, None, False, False, None)
    line = WorkerProcess(app, plan, 1, "worker")._pipeline
    first, last = (line.do(delivery) for delivery in app.driver.broker.lease(Lease("worker", ["own"], 2)))
    assert [len(settlement.stores) for settlement in (first, last)] == [1, 1]
    assert (last.disposal, last.speculative) == ("ack", [])
    (ready,) = [one for v in app.driver.settler.settle([first, last]).verdicts for one in v.ready]
    ended = app.driver.settler.dispatch_chord(line.do(ready))
    assert (ended.held, ended.refused) == (True, "")
    assert states(run) == {"a": "SUCCESS", "b": "SUCCESS", "rec": "FAILURE"}
    app.close()


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
        worker.wait_for("is lost and cannot continue")
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


class Killers:
    """Workers of which one is killed, and another started, again and again while the block runs."""

    def __init__(self, bench, seed, key):
        self._random = random.Random(seed)
        self._bench = bench
        self._key = f"ledger:{key}"
        self._workers = [self._start() for _ in range(2)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill, daemon=True)
        self.killed = 0

    def _start(self):
        return start(self._bench, "-P", "threads", "-c", "3", short_leases=1)

    def _kill(self):
        while self._has_run_some():
            number = self._random.randrange(len(self._workers))
            self._workers[number].ready().signal(signal.SIGKILL)
            self._workers[number].wait()
            self._workers[number] = self._start()
            self.killed += 1

    def _has_run_some(self):
        """Wait until the workers have started a few more nodes, however slow the machine is."""
        enough = self._bench.ledgers.llen(self._key) + self._random.randint(4, 8)
        while not self._over.wait(0.02):
            if self._bench.ledgers.llen(self._key) >= enough:
                return True
        return False

    def __enter__(self):
        for worker in self._workers:
            worker.ready()
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join(30)
        for worker in self._workers:
            worker.ready().stop()


def layered(app, flow, bench, layers=4, wide=4):
    """Layers of slow nodes, each waiting for two of the layer before; the key of what ran."""
    key, before = bench.new_key(), []
    for layer in range(layers):
        now = []
        for place in range(wide):
            parents = [before[place], before[(place + 1) % wide]] if before else []
            args = (0.15, key, f"{layer}.{place}", *parents)
            now.append(flow.add(task(app, "slow_step").s(*args), name=f"{layer}.{place}"))
        before = now
    return key


def ran(bench, key):
    """How often each node began."""
    return Counter(bench.ledgers.lrange(f"ledger:{key}", 0, -1))


@pytest.mark.slow
@pytest.mark.random
@pytest.mark.parametrize("seed", seeds(*range(1, 21)))
def test_whoever_is_killed_every_node_runs_and_nothing_twice_without_a_kill(bench, app, flow, seed):
    key = layered(app, flow, bench)
    with Killers(bench, seed, key) as killers:
        run = flow.apply_async()
        run.get(timeout=100)
    assert set(states(run).values()) == {"SUCCESS"}
    counts = ran(bench, key)
    assert set(counts) == {entry.name for entry in flow.entries}
    assert killers.killed > 0
    # A kill takes along what runs then: three places, and never more.
    assert sum(counts.values()) - len(counts) <= 3 * killers.killed


def test_cancel_and_resume_while_workers_are_killed(bench, app, flow):
    key = layered(app, flow, bench)
    with Killers(bench, 3, key):
        run = flow.apply_async()
        bench.ledger(key, 3)
        run.cancel()
        eventually(lambda: run.status().over, 60)
        assert run.state == "CANCELLED"
        done = {name for name, state in states(run).items() if state == "SUCCESS"}
        before = ran(bench, key)
        assert run.resume() is True
        assert run.resume() is False
        run.get(timeout=100)
    assert set(states(run).values()) == {"SUCCESS"}
    after = ran(bench, key)
    # What had succeeded is not run again.
    assert {name: after[name] for name in done} == {name: before[name] for name in done}


@pytest.mark.parametrize("ends_in", ["success", "failure"])
def test_the_end_of_an_attempt_that_was_given_up_changes_nothing(bench, app, flow, ends_in):
    gate, undone = bench.new_key(), bench.new_key()
    first = flow.add(task(app, "ident").s(1), name="first", compensate=task(app, "noted").si(1, undone))
    flow.add(task(app, "until_open").s(gate), after=[first], name="slow")
    run = flow.apply_async()
    with start(bench, "-P", "prefork", "-c", "1"):
        bench.ledger(gate, 1)
        given_up = run["slow"].id
        assert run.resume(force=True)
        if ends_in == "failure":
            app.control.revoke(given_up, terminate=True)
            eventually(lambda: app.AsyncResult(given_up).state == "REVOKED")
        bench.open(gate)
        eventually(lambda: run.status().state == "SUCCESS")
        assert run.get(timeout=20) == gate
        assert [found.state for found in app.run_store.find(RunQuery(limit=1))] == ["SUCCESS"]
        assert task(app, "ident").delay(3).get(timeout=20) == 3
    assert bench.ledgers.lrange(f"ledger:{undone}", 0, -1) == []


def test_no_attempt_uses_values_that_are_being_undone(bench, app, flow):
    undone, gate = bench.new_key(), bench.new_key()
    first = flow.add(task(app, "ident").s(1), name="first", compensate=task(app, "noted").si(1, undone))
    flow.add(task(app, "gated").s(first, key=gate), name="gated")
    run = flow.apply_async()
    before = run._look()
    with start(bench, "-P", "threads", "-c", "2"):
        bench.ledger(undone, 1)
        assert run._begin_attempt(before, failed=False) is False
        assert run.attempt == 0
        bench.open(gate)
        assert run.resume()
        assert run.get(timeout=20) == [1]
    assert states(run) == {"first": "SUCCESS", "gated": "SUCCESS"}
