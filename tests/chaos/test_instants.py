"""A worker dies at each instant that matters; what it left is finished by another, once."""

import signal
from contextlib import ExitStack, contextmanager

import pytest

from canvas import chord
from canvas.errors import ChordError
from canvas.testing.contract import eventually
from tests.chaos.instants import INSIDE, ONE_SERVER, REAPER, TWO_SERVERS, Executioner, Instant
from tests.chaos.workload import assert_nothing_is_left, assert_ran_once, workload
from tests.support.processes import WorkerProcess, members
from tests.worker.commands import start, task

POOLS = {
    "solo": ("-P", "solo"),
    "threads": ("-P", "threads", "-c", "3"),
    "prefork": ("-P", "prefork", "-c", "2"),
    "asyncio": ("-P", "asyncio", "-c", "10"),
}
ROUNDS = 2
SAMPLED = {
    ("settled, not answered", "threads"),
    ("the body sent, its chord not forgotten", "solo"),
}


def cases(instants, pools=tuple(POOLS)):
    return [
        pytest.param(instant, pool, id=f"{instant.name}-{pool}",
                     marks=() if (instant.name, pool) in SAMPLED else pytest.mark.slow)
        for instant in instants
        for pool in pools
    ]  # fmt: skip


@contextmanager
def condemned(bench, instant, pool):
    """A worker that is killed at ``instant``, once ``victim`` is set, and its executioner."""
    executioner = Executioner(instant)
    broker, backend, ledger = bench.urls()
    with ExitStack() as stack:
        proxies = {port: stack.enter_context(executioner.proxy(port)) for port in map(_port, (broker, backend))}
        urls = proxies[_port(broker)].url(0), proxies[_port(backend)].url(1)
        worker = WorkerProcess("canvas", *urls, *POOLS[pool], ledger=ledger, short_leases=1, **executioner.settings)
        stack.callback(lambda: worker.process.poll() is None and worker.stop())
        executioner.killed.update(members(worker.ready().process.pid))
        yield worker, executioner


def _port(url):
    return int(url.rpartition(":")[2].partition("/")[0])


def die_and_be_replaced(bench, app, instant, pool):
    """A workload whose worker dies at ``instant``; another takes over."""
    key = bench.new_key()
    with condemned(bench, instant, pool) as (worker, executioner):
        executioner.victim = worker.process.pid
        sent = workload(app, key, ROUNDS)
        assert worker.wait(30) == -signal.SIGKILL
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        values = [result.get(timeout=60) for result, _ in sent]
    assert values == [value for _, value in sent]
    assert_ran_once(bench, key, ROUNDS, executioner.killed)
    assert_nothing_is_left(bench)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("instant", "pool"), [*cases(ONE_SERVER), *cases(INSIDE)])
def test_on_one_server(bench, app, instant, pool):
    die_and_be_replaced(bench, app, instant, pool)


@pytest.mark.timeout(120)
@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("count", range(3, 60, 4))
def test_at_any_request(bench, app, count, when):
    pools = list(POOLS)
    die_and_be_replaced(
        bench, app, Instant("any", None, when, answered=bool, count=count), pools[count // 4 % len(pools)]
    )


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("instant", "pool"), cases(TWO_SERVERS))
def test_on_two_servers(two_servers, client, instant, pool):
    die_and_be_replaced(two_servers, client, instant, pool)


@pytest.mark.timeout(120)
def test_the_failure_of_an_inner_chord_reaches_the_outer(two_servers, client):
    instant = Instant("messages of the inner's end sent", "publish_guarded", "after")
    with condemned(two_servers, instant, "solo") as (worker, executioner):
        executioner.victim = worker.process.pid
        inner = chord([task(client, "fail").s(), task(client, "add").s(1, 1)], task(client, "tsum").s())
        outer = chord([inner, task(client, "add").s(1, 1)], task(client, "tsum").s()).delay()
        assert worker.wait(30) == -signal.SIGKILL
    with start(two_servers, "-P", "threads", "-c", "3", short_leases=1):
        eventually(lambda: outer.state == "FAILURE")
    assert isinstance(outer.result, ChordError)
    assert_nothing_is_left(two_servers)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("instant", "pool"), cases(REAPER, ["solo"]))
def test_while_it_gives_back_what_another_held(bench, app, instant, pool):
    key = bench.new_key()
    with start(bench, "-P", "solo", short_leases=1) as first, condemned(bench, instant, pool) as (worker, executioner):
        executioner.killed.add(first.process.pid)
        sent = [task(app, "slow_step").delay(0.3, key, number) for number in range(8)]
        bench.ledger(key, 2)
        first.signal(signal.SIGKILL)
        first.wait()
        executioner.victim = worker.process.pid
        assert worker.wait(30) == -signal.SIGKILL
    with start(bench, "-P", "threads", "-c", "3", short_leases=1):
        assert [result.get(timeout=60) for result in sent] == list(range(8))
    assert_nothing_is_left(bench)
