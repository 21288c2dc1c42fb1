"""A worker that was stopped for longer than its leases last: others run its tasks, each is settled once, and what it
had not started it does not start."""

import os
import signal
from contextlib import ExitStack, contextmanager
from importlib import import_module

import pytest
import redis

from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.cluster_bench import ClusterBench
from tests.support.ledger import Bench
from tests.support.process_signals import resume, suspend
from tests.support.processes import members
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.worker.commands import start, task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
POOLS = [("-P", "threads", "-c", "3"), ("-P", "prefork", "-c", "3"), ("-P", "asyncio", "-c", "3")]
SERVERS = ["redis+redis", "two+servers", "cluster", "redis+sql", "amqp+redis", "amqp+sql"]


class Urls(Bench):
    """A bench of any broker and results. The ledger is on a server of its own."""

    def __init__(self, broker, results, ledger):
        super().__init__(ledger)
        self._urls = broker, results, ledger.url(2)

    def urls(self):
        return self._urls


@contextmanager
def servers(kind, ledger, request):
    """The URLs of a broker and of results."""
    with ExitStack() as stack:
        if kind == "cluster":
            cluster = stack.enter_context(RedisCluster())
            yield ClusterBench(cluster, ledger).urls()[:2]
            return
        broker, results = kind.split("+")
        server = stack.enter_context(RedisServer())
        urls = {"redis": server.url(0), "results": server.url(1)}
        if "amqp" in kind:
            # RabbitMQ delivers a stopped worker's messages again when it has missed its heartbeats.
            urls["amqp"] = request.getfixturevalue("rabbitmq").url() + "?heartbeat=2"
        if "sql" in kind:
            urls["sql"] = request.getfixturevalue("postgres").new_database()
        if broker == results == "redis":
            results = "results"
        if kind == "two+servers":
            second = stack.enter_context(RedisServer())
            yield urls["redis"], second.url(1)
            return
        yield urls[broker], urls["results" if results == "redis" else results]


@contextmanager
def bench_of(request, kind):
    with RedisServer() as ledger, servers(kind, ledger, request) as (broker, results):
        yield Urls(broker, results, ledger)


def cases(*pairs):
    """Servers, and the pool of the worker that is stopped."""
    return pytest.mark.parametrize(("kind", "pool"), pairs, ids=lambda one: one if isinstance(one, str) else one[1])


def wake(worker):
    resume(*members(worker.process.pid))


@cases(*((kind, pool) for kind in SERVERS for pool in POOLS[:2]), (SERVERS[0], POOLS[2]))
def test_a_task_that_ends_on_two_workers_is_settled_once(request, kind, pool):
    """Two members of a chord, which have links, and a node of a workflow's run."""
    with ExitStack() as stack:
        bench = stack.enter_context(bench_of(request, kind))
        keys, after, body = [bench.new_key() for _ in range(2)], bench.new_key(), bench.new_key()
        node, next_node = bench.new_key(), bench.new_key()
        broker, results, ledger = bench.urls()
        app = stack.enter_context(make("canvas", broker, results, ledger=ledger))
        starved = stack.enter_context(start(bench, *pool, "-n", "starved@%h", short_leases=1)).ready()
        noted = task(app, "noted")
        header = [task(app, "until_open").s(key).set(link=noted.si(key, after)) for key in keys]
        result = import_module("canvas").chord(header, noted.s(body)).delay()
        flow = import_module("canvas").Workflow("starved", app)
        flow.add(noted.s(flow.add(task(app, "until_open").s(node), name="held"), next_node), name="next")
        run = flow.apply_async()
        for key in (*keys, node):
            bench.ledger(key, 1)
        suspend(*members(starved.process.pid))
        stack.callback(wake, starved)
        stack.enter_context(start(bench, "-P", "threads", "-c", "4", "-n", "other@%h", short_leases=1))
        for key in (*keys, node):
            bench.ledger(key, 2, timeout=60)
        # The first task ends while its first worker is stopped, the second on both workers at once.
        bench.open(keys[0])
        bench.open(node)
        bench.ledger(after, 1, timeout=30)
        assert run.get(timeout=30) == node
        wake(starved)
        bench.ledger(node, 4)
        bench.ledger(keys[0], 4)
        bench.open(keys[1])
        bench.ledger(keys[1], 4)
        assert sorted(result.get(timeout=30)) == sorted(keys)
        eventually(lambda: app.driver.admin.in_flight().leased == 0, 30)
        eventually(lambda: app.driver.admin.queue_length("celery") == 0, 30)
        starved.stop()
        assert sorted(bench.notes(after)) == sorted(repr(key) for key in keys)
        assert len(bench.notes(body)) == len(bench.notes(next_node)) == 1


@contextmanager
def stopped(worker):
    """Within, no process of a worker goes on."""
    suspend(*members(worker.process.pid))
    try:
        yield
    finally:
        wake(worker)


MANY = 400


@cases(*((SERVERS[0], pool) for pool in (*POOLS, ("-P", "solo"))), *((kind, POOLS[0]) for kind in SERVERS[2:]))
def test_tasks_that_had_not_started_do_not_start(request, kind, pool):
    """The worker is stopped among short tasks, some of which it has leased ahead."""
    with ExitStack() as stack:
        bench = stack.enter_context(bench_of(request, kind))
        key, (broker, results, ledger) = bench.new_key(), bench.urls()
        app = stack.enter_context(make("canvas", broker, results, ledger=ledger))
        traced, group = task(app, "traced"), import_module("canvas").group
        starved = stack.enter_context(start(bench, *pool, "-n", "starved@%h", "-Q", "celery,own", short_leases=1))
        starved.ready()
        sent = group(traced.s(number, key) for number in range(MANY)).delay()
        bench.ledger(key, MANY // 8)
        with stopped(starved):
            own = task(app, "ident").apply_async((1,), queue="own")
            stack.enter_context(start(bench, "-P", "threads", "-c", "4", "-n", "other@%h", short_leases=1))
            assert sent.get(timeout=60) == [number + 1 for number in range(MANY)]
            ran = bench.notes(key)
            before, begun = {note.split()[0] for note in ran}, "".join(starved.log)
        assert own.get(timeout=30) == 1
        starved.wait_for("Lost the lease")
        eventually(lambda: app.driver.admin.in_flight().leased == 0, 30)
        eventually(lambda: app.driver.admin.queue_length("celery") == 0, 30)
        starved.stop()
        assert len(before) == MANY
        # A task may have begun before the worker was stopped, and note that it ran after it.
        late = [note.split()[0] for note in bench.notes(key)[len(ran) :]]
        assert [one for one in late if f"[{one}] received" not in begun] == []


@pytest.mark.parametrize("pool", POOLS[:2], ids=lambda one: one[1])
def test_a_message_that_is_moved_aside_for_a_worker_which_counts_as_dead_is_not_lost(request, pool):
    """The worker is stopped while it waits at Redis, and is killed before it goes on."""
    with ExitStack() as stack:
        bench = stack.enter_context(bench_of(request, SERVERS[0]))
        broker, results, ledger = bench.urls()
        app = stack.enter_context(make("canvas", broker, results, ledger=ledger))
        server, ident = redis.Redis.from_url(broker), task(app, "ident")
        starved = start(bench, *pool, "-n", "starved@%h", "-Q", "own", short_leases=1)
        stack.callback(lambda: starved.process.poll() is None and starved.stop())
        assert ident.apply_async((1,), queue="own").get(timeout=30) == 1
        eventually(lambda: any(one["cmd"] == "blmove" and "b" in one["flags"] for one in server.client_list()))
        suspend(*members(starved.process.pid))
        stack.enter_context(start(bench, "-P", "solo", "-n", "other@%h", short_leases=1))
        eventually(lambda: not any(name.startswith(b"starved@") for name in server.hkeys("canvas:workers")))
        sent = ident.apply_async((2,), queue="own")
        os.killpg(starved.process.pid, signal.SIGKILL)
        stack.enter_context(start(bench, "-P", "solo", "-n", "next@%h", "-Q", "own", short_leases=1))
        assert sent.get(timeout=40) == 2
