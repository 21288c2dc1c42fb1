"""Redis restarts, stalls, refuses, is cut off, forgets: workers and waiting clients go on by themselves."""

import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
import redis

from canvas.testing.contract import eventually
from tests.chaos.conftest import Apart
from tests.chaos.workload import assert_nothing_is_left, assert_ran_once, workload
from tests.support.apps import make
from tests.support.process_signals import resume, suspend
from tests.support.processes import WorkerProcess
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.sentinel import MASTER, Watched
from tests.worker.commands import start, task

ROUNDS = 16
FLEET = {"solo": ("-P", "solo"), "threads": ("-P", "threads", "-c", "3"), "prefork": ("-P", "prefork", "-c", "2")}
KEEPS = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(scope="module")
def bench():
    with RedisServer(*KEEPS) as server, RedisServer() as ledger:
        yield Apart(server, ledger)


@contextmanager
def load(bench, app, workers, forgets=False):
    """Workers at work, and clients that wait for all of it, while the block does something to Redis.

    A server that ``forgets`` how tasks ended has them run again.
    """
    key = bench.new_key()
    with ThreadPoolExecutor(100) as clients:
        sent = workload(app, key, ROUNDS)
        waiting = [clients.submit(result.get, timeout=90) for result, _ in sent]
        bench.ledger(key, 20)
        yield workers
        assert [client.result() for client in waiting] == [value for _, value in sent]
    if not forgets:
        assert_ran_once(bench, key, ROUNDS, killed=set())


@pytest.fixture
def fleet(bench, app):
    with ExitStack() as stack:
        yield [stack.enter_context(start(bench, *pool, "-n", f"{name}@%h")) for name, pool in FLEET.items()]


def restart(bench, fleet):
    bench.server.stop()
    bench.server.start()


def be_away(bench, seconds):
    bench.server.stop()
    over = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > over, seconds + 5)
    bench.server.start()


def crash(bench, fleet):
    bench.server.stop(signal.SIGKILL)
    bench.server.start()


def pause(bench, fleet):
    bench.broker.execute_command("CLIENT", "PAUSE", 2000)


def stall(bench, fleet):
    suspend(bench.server.process.pid)
    with pytest.raises(redis.TimeoutError):
        bench.server.client(socket_timeout=2).ping()
    resume(bench.server.process.pid)


def fill_up(bench, fleet):
    bench.broker.config_set("maxmemory", 1)
    for client in _waiting_lists(bench):
        bench.broker.client_unblock(client["id"])
    for worker in fleet:
        worker.wait_for("maxmemory")
    bench.broker.config_set("maxmemory", 0)


def demote(bench, fleet):
    bench.broker.execute_command("REPLICAOF", "127.0.0.1", "1")
    for worker in fleet:
        worker.wait_for("read only replica")
    bench.broker.execute_command("REPLICAOF", "NO", "ONE")


FAULTS = [restart, crash, pause, stall, fill_up, demote]
SAMPLED = [crash]


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "fault", [pytest.param(f, marks=() if f in SAMPLED else pytest.mark.slow) for f in FAULTS], ids=lambda f: f.__name__
)
def test_nothing_is_lost_when_redis_fails(bench, app, fleet, fault):
    with load(bench, app, fleet):
        fault(bench, fleet)
    assert_nothing_is_left(bench, fleet)


@pytest.mark.parametrize(
    "fault", [fill_up, pytest.param(demote, marks=pytest.mark.slow)], ids=lambda f: getattr(f, "__name__", None)
)
def test_idle_workers_hear_of_what_comes_after_a_refusal(bench, app, fleet, fault):
    """Each list is waited for again, once by each node."""
    fault(bench, fleet)
    pids = [worker.process.pid for worker in fleet]
    eventually(lambda: len(_waiting_lists(bench)) == 4 * len(fleet))
    assert task(app, "add").delay(1, 1).get(timeout=20) == 2
    assert [worker.process.pid for worker in fleet] == pids


def test_an_outage_that_outlasts_all_heartbeats_is_no_death(bench, app):
    """Whoever is back first has not heard of the others yet."""
    key, env = bench.new_key(), {"CANVAS_WORKER_LEASE_TTL": "2", "CANVAS_WORKER_LEASE_HEARTBEAT": "0.5"}
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(start(bench, "-P", "threads", "-c", "2", "-n", f"w{number}@%h", env=env))
        results = [task(app, "slow_then").delay(9, key) for _ in range(6)]
        bench.ledger(key, 6)
        be_away(bench, 4)
        stack.enter_context(start(bench, "-P", "solo", "-n", "late@%h", env=env))
        assert [result.get(timeout=60) for result in results] == [key] * 6
    assert Counter(bench.ledger(key, 12)) == {"start": 6, "end": 6}


@pytest.mark.parametrize(
    "pool",
    [pytest.param(("-P", "solo"), marks=pytest.mark.slow), ("-P", "prefork", "-c", "1")],
    ids=lambda pool: pool[1],
)
def test_a_cold_stop_does_not_wait_for_a_server_that_is_away(bench, app, pool):
    worker = start(bench, *pool, "-n", "one@%h").ready()
    bench.server.stop()
    try:
        worker.signal(signal.SIGQUIT)
        assert worker.wait(20) == 1
    finally:
        bench.server.start()


@pytest.mark.parametrize("pool", ["threads", pytest.param("solo", marks=pytest.mark.slow)])
def test_tasks_that_tell_of_their_start_run_though_nobody_can_be_told(bench, app, pool):
    key = bench.new_key()
    with start(bench, *FLEET[pool], "-n", "one@%h", env={"CANVAS_TASK_TRACK_STARTED": "1"}):
        results = [task(app, "slow_then").delay(0.02, key) for _ in range(300)]
        bench.ledger(key, 20)
        be_away(bench, 7)
        assert [result.get(timeout=60) for result in results] == [key] * 300


def _waiting_lists(bench):
    return [client for client in bench.server.client().client_list() if client["cmd"] == "blmove"]


@contextmanager
def behind(bench, proxy, **settings):
    """A worker and a client that reach the server through a proxy."""
    urls = proxy.url(0), proxy.url(1)
    ledger = bench.urls()[2]
    with WorkerProcess("canvas", *urls, "-P", "threads", "-c", "3", ledger=ledger) as worker:
        client = make("canvas", *urls, ledger=ledger)
        yield worker, client
        client.close()


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("times", [5])
def test_connections_that_are_reset_are_made_again(bench, app, times):
    with Proxy(bench.server.port) as proxy, behind(bench, proxy) as (worker, client):
        with load(bench, client, [worker]):
            for _ in range(times):
                seen = proxy.seen
                eventually(lambda seen=seen: proxy.seen > seen + 20)
                proxy.cut()
        assert_nothing_is_left(bench, [worker])


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_slow_network_is_only_slow(bench, app):
    with Proxy(bench.server.port) as proxy, behind(bench, proxy) as (worker, client):
        proxy.delay = 0.02
        with load(bench, client, [worker]):
            pass
        assert_nothing_is_left(bench, [worker])


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_connections_that_lead_nowhere_are_given_up(bench, app):
    with Proxy(bench.server.port) as proxy, behind(bench, proxy) as (worker, client):
        with ThreadPoolExecutor(1) as waiting:
            result = task(app, "slow_then").delay(40, bench.new_key())
            value = waiting.submit(result.__class__(result.id, app=client).get, timeout=100)
            eventually(lambda: client.control.inspect(timeout=2).active())
            proxy.silence()
            assert value.result(timeout=100) == result.get(timeout=1)
        assert task(app, "add").delay(1, 1).get(timeout=10) == 2
        eventually(lambda: client.control.ping(timeout=2), 60)
        eventually(lambda: len(_waiting_lists(bench)) == 4, 60)
        assert_nothing_is_left(bench, [worker])


@pytest.mark.timeout(120)
def test_workers_live_through_an_emptied_server(bench, app):
    celery = make("celery", *bench.urls()[:2])
    with start(bench, "-P", "threads", "-c", "3", short_leases=1) as worker:
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        bench.server.client().flushall()
        worker.wait_for("no longer knew worker")
        eventually(lambda: bench.broker.smembers("_kombu.binding.celery"))
        for client in app, celery:
            assert task(client, "add").delay(2, 2).get(timeout=20) == 4
        key = bench.new_key()
        lost = task(app, "until_open").delay(key)
        eventually(lambda: bench.broker.hlen("unacked") == 1)
        bench.server.client().flushall()
        bench.open(key)
        worker.wait_for("Lost the lease")
        assert lost.state == "PENDING"
        assert task(app, "add").delay(3, 3).get(timeout=20) == 6
    assert_nothing_is_left(bench)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "pool",
    [pytest.param(FLEET["solo"], id="solo"), pytest.param(FLEET["threads"], id="threads", marks=pytest.mark.slow)],
)
def test_a_task_whose_end_the_server_has_forgotten_runs_again(bench, app, pool):
    """As after a failover to a copy that had not got it."""
    key, broker = bench.new_key(), bench.broker
    with start(bench, *pool) as worker:
        result = task(app, "until_open").delay(key)
        bench.ledger(key, 1)
        ((tag, record),) = broker.hgetall("unacked").items()
        bench.open(key)
        assert result.get(timeout=20) == key
        eventually(lambda: not broker.exists("unacked"))
        broker.hset("unacked", tag, record)
        broker.zadd("unacked_index", {tag: broker.time()[0]})
        broker.sadd(f"canvas:leases:{tag.decode().removeprefix('canvas:').rpartition(':')[0]}", tag)
        broker.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert bench.ledger(key, 4) == ["start", "end"] * 2
        assert_nothing_is_left(bench, [worker])


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_copy_takes_over_when_the_master_dies():
    with Watched() as watched, RedisServer() as ledger:
        urls, options = (watched.url(0), watched.url(1)), {"master_name": MASTER}
        client = make("canvas", *urls, ledger=ledger.url(0), broker_transport_options=options,
                      result_backend_transport_options=options)  # fmt: skip
        bench = Apart(watched.servers[1], ledger)
        with WorkerProcess(
            "canvas", *urls, "-P", "threads", "-c", "3", ledger=ledger.url(0), master=MASTER, short_leases=1
        ) as worker:
            with load(bench, client, [worker], forgets=True):
                watched.until_copied()
                watched.servers[0].stop(signal.SIGKILL)
            eventually(lambda: watched.master() == watched.servers[1].port)
            assert task(client, "add").delay(1, 1).get(timeout=20) == 2
        client.close()
        assert_nothing_is_left(bench)
