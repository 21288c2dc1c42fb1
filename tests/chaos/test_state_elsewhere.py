"""Nothing lost and nothing twice with messages in RabbitMQ, their state on one server and results on another."""

from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import redis

from canvas import chain
from canvas.testing.contract import eventually
from tests.chaos.storm import POOLS
from tests.chaos.test_kills import KILLS
from tests.chaos.test_rabbitmq import RabbitStorm, ran_in
from tests.chaos.test_rabbitmq_and_sql import Instant, another_takes_over
from tests.chaos.verdict import CALM, values_of
from tests.chaos.workload import assert_each_ran_once, assert_nothing_is_left, assert_ran_once, workload
from tests.support import sql_bench
from tests.support.apps import make
from tests.support.memcached import MemcachedServer
from tests.support.rabbit_bench import ByteProxy, RabbitBench, through
from tests.support.redis_server import RedisServer
from tests.support.seeds import seeds
from tests.worker.commands import start, task

pytestmark = pytest.mark.slow
_STEPS = "canvas.drivers.two_step:TwoStepSettler"
_RABBIT = "canvas.drivers.amqp.settler:AmqpSettler"
SERVERS = ["redis, postgresql", "redis, memcached", "postgresql, redis"]
"""Of the state, and of results."""
WITH_REPLIES = ["redis, rpc", "postgresql, rpc"]
INSTANTS = [
    Instant("before results", f"{_STEPS}._record", "before", 3),
    Instant("results stored, nothing settled", f"{_STEPS}._record", "after", 4),
    Instant("settled, its messages not sent", f"{_RABBIT}._transact", "before", 5),
    Instant("messages sent, before the next", f"{_RABBIT}._transact", "after", 5),
    Instant("before a chord's body", f"{_STEPS}.dispatch_chord", "before"),
    Instant("a chord's body is in the outbox", f"{_STEPS}.dispatch_chord", "after"),
]
WEATHER = {"kills": KILLS, "stalls": ("stall", "kill"), "connections": ("cut_broker", "cut_broker", "kill")}


class StateOnRedis(RabbitBench):
    """The state is in Redis, and results are at another URL."""

    def __init__(self, server, broker, ledger, backend):
        super().__init__(server, broker, ledger)
        self.settings = {"state": server.url(1)}
        self._backend = backend

    def urls(self):
        broker, _, ledger = super().urls()
        return broker, self._backend, ledger

    @contextmanager
    def client(self):
        with client_of(self) as app:
            yield app

    def assert_nothing_is_left(self, app):
        assert_nothing_is_left(self)


class StateOnPostgres(sql_bench.SqlBench):
    """The state is in PostgreSQL, and results are in Redis."""

    def __init__(self, broker, database, ledger, server, results):
        super().__init__(broker, database, ledger)
        self.settings = {"state": database}
        self._backend = "rpc://" if results == "rpc" else server.url(1)
        self.results = redis.Redis.from_url(server.url(1))

    def urls(self):
        broker, _, ledger = super().urls()
        return broker, self._backend, ledger

    @contextmanager
    def client(self):
        with client_of(self) as app:
            yield app

    def assert_nothing_is_left(self, app):
        sql_bench.assert_nothing_is_left(self, app)


def client_of(bench):
    broker, backend, ledger = bench.urls()
    return make("canvas", broker, backend, ledger=ledger, canvas_state=bench.settings["state"])


@pytest.fixture
def bench(request, rabbitmq, servers):
    state, results = servers.split(", ")
    database = request.getfixturevalue("postgres").new_database() if "postgresql" in servers else ""
    url = rabbitmq.url()
    with (
        RedisServer() as server, RedisServer() as ledger, MemcachedServer() as memcached,
        ByteProxy(urlsplit(url).port) as proxy,
    ):  # fmt: skip
        broker = through(url, proxy)
        if state == "redis":
            places = {"postgresql": database, "memcached": memcached.url, "rpc": "rpc://"}
            bench = StateOnRedis(server, broker, ledger, places[results])
        else:
            bench = StateOnPostgres(broker, database, ledger, server, results)
        bench.proxy = proxy
        yield bench


@pytest.mark.timeout(300)
@pytest.mark.parametrize("instant", INSTANTS, ids=lambda one: one.name)
@pytest.mark.parametrize("servers", SERVERS)
def test_a_worker_dies_and_another_takes_over(bench, app, instant):
    another_takes_over(bench, app, instant, POOLS[2])
    bench.assert_nothing_is_left(app)


def ends_with_its_values(bench, app, how, seed, compose, rounds, assert_once):
    """What ``compose`` sends has its values after a storm, and has run once, but for tasks that were cut off."""
    key = bench.new_key()
    with RabbitStorm(bench, seed, WEATHER[how], 0.3) as storm:
        sent = compose(app, key, rounds)
        values = values_of(sent, bench, key, storm, 200)
    assert values == [value for _, value in sent]
    assert storm.blows > 0
    with start(bench, "-P", "solo", "-n", "late@%h"):
        eventually(lambda: app.driver.admin.queue_length("celery") == 0)
    assert_once(bench, key, rounds, ran_in(bench, key) if "cut_broker" in WEATHER[how] else storm.killed)
    bench.assert_nothing_is_left(app)


@pytest.mark.random
@pytest.mark.timeout(400 + CALM)
@pytest.mark.parametrize("seed", seeds(1, 2))
@pytest.mark.parametrize("how", WEATHER)
@pytest.mark.parametrize("servers", SERVERS)
def test_every_workflow_ends_with_its_value(bench, app, how, seed):
    ends_with_its_values(bench, app, how, seed, workload, 12, assert_ran_once)


def lines(app, key, rounds):
    """Chains, delayed tasks and retries, each with the value it must have: results as messages know no chords."""
    traced, twice, sent = task(app, "traced"), task(app, "traced_twice"), []
    for base in range(rounds):
        sent.append((chain(traced.s(base, key), traced.s(key), traced.s(key), traced.s(key)).delay(), base + 4))
        sent.append((traced.apply_async((base, key), countdown=0.5), base + 1))
        sent.append((chain(twice.s(base, key), traced.s(key)).delay(), base + 2))
    return sent


def assert_lines_ran_once(bench, key, rounds, killed):
    assert_each_ran_once(bench, key, rounds * 9, killed)


@pytest.mark.random
@pytest.mark.timeout(400 + CALM)
@pytest.mark.parametrize("seed", seeds(1, 2))
@pytest.mark.parametrize("how", WEATHER)
@pytest.mark.parametrize("servers", WITH_REPLIES)
def test_results_that_are_messages_come(bench, app, how, seed):
    ends_with_its_values(bench, app, how, seed, lines, 30, assert_lines_ran_once)
