"""Workers die while workflows wait, race, repeat and nest: each node runs once, each wait ends once."""

import random
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas import Workflow
from canvas.testing.contract import eventually
from tests.chaos.instants import INSIDE, TWO_SERVERS, Instant
from tests.chaos.test_instants import POOLS, condemned
from tests.chaos.workload import assert_each_ran_once
from tests.worker.commands import start, task

FLOWS = 2
TRACED = 25
"""Tasks of one workflow that note where they ran."""


def waiting_flow(app, key, once):
    """A workflow with a node of each kind that waits; its value is 14."""
    traced = task(app, "traced")
    flow = Workflow("waits", app)
    first = flow.add(traced.s(1, key), name="first")
    answer = flow.wait_for("go", after=flow.sleep(0.3, after=first))
    rounds = flow.loop(traced.s(key), answer, until=task(app, "above").s(7), at_most=10, name="rounds")
    inner = Workflow("inner", app)
    inner.add(traced.s(inner.input("x"), key))
    inside = flow.add(inner, inputs={"x": rounds})
    timed = flow.timeout(flow.add(traced.s(inside, key), name="timed"), 120, otherwise=0)
    raced = flow.first(timed, flow.sleep(3600, name="late"))
    grown = flow.call(task(app, "builds").s(1, once), name="grown")
    rows = flow.add(task(app, "ident").s([1, 2, 3]), name="rows")
    rows.map(traced.s(key), name="mapped").map(traced.s(key), name="line", concurrency=2)
    flow.pages(task(app, "page_of").s(4, 2, f"{once}-pages"), traced.s(key), name="paged")
    flow.pages(task(app, "yields").s(4, 2), traced.s(key), name="yielded")
    flow.map(inner, over=rows, concurrency=2, name="each")
    bad = flow.add(task(app, "fail").s(), name="bad")
    flow.add(traced.s(raced, key), after=bad, when="all_done", name="after all")
    flow.add(traced.s([raced, first, grown], key), name="end")
    flow.finally_(task(app, "noted").s("clean", f"{once}-clean"), name="clean")
    return flow


def ran_once(bench, key, killed):
    """Each task of that key ran, and at most once in processes that nothing happened to."""
    assert_each_ran_once(bench, key, FLOWS * TRACED, killed)


def die_and_be_replaced(bench, app, instant, pool):
    key, once = bench.new_key(), bench.new_key()
    with condemned(bench, instant, pool) as (worker, executioner):
        executioner.victim = worker.process.pid
        runs = [waiting_flow(app, key, once).apply_async() for _ in range(FLOWS)]
        for run in runs:
            run.signal("go", 5, key="only")
            run.signal("go", 5, key="only")
        assert worker.wait(40) == -signal.SIGKILL
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        for run in runs:
            assert run["end"].get(timeout=60) == 14
            assert run["after all"].get(timeout=60) == 11
            assert run["line"].get(timeout=60) == [3, 4, 5]
            assert run["each"].get(timeout=60) == [2, 3, 4]
            assert [run[name].get(timeout=60) for name in ("paged", "yielded")] == [4, 4]
            assert list(run.pages("paged")) == [[1, 2], [3, 4]] == list(run.pages("yielded"))
            assert run.result.get(timeout=60, propagate=False) is None
            assert run.signals() == {}
            eventually(lambda run=run: states_of(run)["late"] == "REVOKED")
        assert len(bench.ledger(f"{once}-clean", FLOWS)) >= FLOWS
        eventually(lambda: not bench.results.exists("canvas:chords:ready"))
    ran_once(bench, key, executioner.killed)
    assert_results_expire(bench)


def states_of(run):
    return {node.name: node.state for node in run.status().nodes}


def assert_results_expire(bench):
    left = [name for name in bench.results.keys() if bench.results.ttl(name) == -1]
    assert not left, left
    stays = [name for name in bench.broker.keys() if name in (b"unacked", b"celery")]
    assert not stays, stays


@pytest.mark.timeout(180)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "count",
    [9, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 4, 6, 12, 15, 18, 21, 24, 27, 30, 34, 38))],
)
def test_at_any_request(bench, app, count, when):
    pool = list(POOLS)[count % len(POOLS)]
    die_and_be_replaced(bench, app, Instant("any", None, when, answered=bool, count=count), pool)


@pytest.mark.timeout(180)
@pytest.mark.slow
@pytest.mark.parametrize("pool", ["solo", "threads"])
@pytest.mark.parametrize("instant", INSIDE, ids=lambda instant: instant.name)
def test_inside(bench, app, instant, pool):
    die_and_be_replaced(bench, app, instant, pool)


@pytest.mark.timeout(120)
@pytest.mark.slow
@pytest.mark.parametrize("instant", TWO_SERVERS, ids=lambda instant: instant.name)
def test_runs_inside_on_two_servers(two_servers, client, instant):
    """The end of a run inside goes on around it once, though results and messages are not written in one step."""
    key, traced = two_servers.new_key(), task(client, "traced")
    inner = Workflow("inner", client)
    first = inner.add(traced.s(inner.input("x"), key))
    inner.add(traced.s(first, key), name="one")
    inner.add(traced.s(first, key), name="two")
    flow = Workflow("outer", client)
    last = {"two": 0}
    for number in range(6):
        last = flow.add(inner, inputs={"x": last["two"]}, name=f"inside{number}")
    flow.add(traced.s(last["one"], key), name="end")
    with condemned(two_servers, instant, "solo") as (worker, executioner):
        executioner.victim = worker.process.pid
        runs = [flow.apply_async() for _ in range(FLOWS)]
        assert worker.wait(40) == -signal.SIGKILL
    with start(two_servers, "-P", "threads", "-c", "3", short_leases=1):
        assert [run.get(timeout=60) for run in runs] == [13] * FLOWS
        eventually(lambda: not two_servers.results.exists("canvas:chords:ready"))
    assert_each_ran_once(two_servers, key, FLOWS * 19, executioner.killed)


@pytest.mark.timeout(120)
def test_signals_of_many_clients_at_one_moment_reach_one_wait_each(bench, app):
    flow = Workflow("many", app)
    waits = [flow.wait_for("go", name=f"wait{number}") for number in range(20)]
    flow.add(task(app, "ident").s(waits), name="all")
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        run = flow.apply_async()
        sent = [(number, f"key {number}") for number in range(20)] * 2
        random.Random(1).shuffle(sent)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda one: run.signal("go", one[0], key=one[1]), sent))
        assert sorted(run.get(timeout=60)) == list(range(20))
        assert run.signals() == {}


@pytest.mark.timeout(120)
def test_a_client_dies_between_a_signal_and_the_next_step(bench, app, monkeypatch):
    """The wait is over at the store, and no process has gone on: a worker does."""
    flow = Workflow("left", app)
    flow.add(task(app, "ident").s(flow.wait_for("go")), name="end")
    with start(bench, "-P", "solo", short_leases=1):
        run = flow.apply_async()
        eventually(lambda: states_of(run)["go"] == "AWAITING_SIGNAL")
        monkeypatch.setattr("canvas.workflows.steps.chord_callbacks.go_on_here", lambda *args: None)
        run.signal("go", 7)
        assert run.get(timeout=60) == 7
