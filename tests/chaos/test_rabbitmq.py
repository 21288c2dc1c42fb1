"""Nothing lost and nothing twice with RabbitMQ, whatever is killed when."""

import signal
import tempfile
from contextlib import contextmanager
from urllib.parse import urlsplit

import amqp
import pytest

from canvas.drivers.amqp.delays.delay_queue import DelayQueue
from canvas.testing.contract import eventually
from tests.chaos.storm import Storm
from tests.chaos.test_kills import KILLS
from tests.chaos.verdict import CALM, values_of
from tests.chaos.workload import assert_nothing_is_left, assert_ran_once, workload
from tests.support.rabbit_bench import ByteProxy, RabbitBench, through
from tests.support.rabbitmq import RabbitMQNode
from tests.support.redis_server import RedisServer
from tests.support.seeds import seeds
from tests.worker.commands import start

WEATHER = {
    "kills": KILLS,
    "stalls": ("stall", "kill"),
    "connections": ("cut", "cut_broker", "cut_broker"),
    "restarts": ("restart", "restart", "cut_broker"),
    "all": (*KILLS, "stall", "cut", "cut_broker", "restart"),
}
RUNS = [pytest.param(how, seed, marks=pytest.mark.slow) for how in WEATHER for seed in seeds(*range(1, 4))]


class RabbitStorm(Storm):
    """A storm that also hits the connections to RabbitMQ, and RabbitMQ itself."""

    def __init__(self, bench, seed, how, pause):
        super().__init__(bench, seed, how, pause, queue_type=bench.queue_type)
        self._proxy, self._node = bench.proxy, bench.node
        self._broker_kills = 0

    def _do_cut_broker(self, pool):
        """Cut every connection to RabbitMQ."""
        self._proxy.cut()

    def _do_kill_broker(self, pool):
        """Kill RabbitMQ and start it again, a few times: it takes some seconds to start."""
        if self._broker_kills < 3:
            self._broker_kills += 1
            self._node.stop(signal.SIGKILL)
            self._node.start()


@pytest.fixture
def bench(rabbitmq):
    url = rabbitmq.url()
    with RedisServer() as server, RedisServer() as ledger, ByteProxy(urlsplit(url).port) as proxy:
        bench = RabbitBench(server, through(url, proxy), ledger)
        bench.proxy = proxy
        yield bench


def weather(bench, app, how, seed, rounds, pause):
    key = bench.new_key()
    # A client that sends while there is no broker gets an error.
    before = workload(app, key, rounds) if "kill_broker" in how else []
    with RabbitStorm(bench, seed, how, pause) as storm:
        sent = before or workload(app, key, rounds)
        values = values_of(sent, bench, key, storm, 150)
    assert values == [value for _, value in sent]
    assert storm.blows > 0
    # Second copies of messages may still be there when the last result is: the next worker drops them.
    with start(bench, "-P", "solo", "-n", "late@%h"):
        eventually(lambda: app.driver.admin.queue_length("celery") == 0)
    # RabbitMQ delivers what runs again where a connection is lost: the task runs twice, and is settled once.
    interrupted = ran_in(bench, key) if {"cut_broker", "kill_broker"} & set(how) else storm.killed
    assert_ran_once(bench, key, rounds, interrupted)
    assert_nothing_is_left(bench)


def ran_in(bench, key):
    return {int(note.split()[1]) for note in bench.ledgers.lrange(f"ledger:{key}", 0, -1)}


@pytest.mark.random
@pytest.mark.timeout(300 + CALM)
@pytest.mark.parametrize(("how", "seed"), RUNS)
def test_every_workflow_ends_with_its_value(bench, app, how, seed):
    weather(bench, app, WEATHER[how], seed, 12, 0.3)


@contextmanager
def own_node():
    """A node that the test may kill."""
    with tempfile.TemporaryDirectory() as folder:
        node = RabbitMQNode(folder).start()
        yield node
        node.stop()


def make_quorum_queues(node):
    """The quorum queues of a storm, before it: RabbitMQ that is killed in the second after it has made one may lose it."""
    with amqp.Connection(f"127.0.0.1:{node.port}", virtual_host="t0") as connection:
        channel = connection.channel()
        channel.queue_declare("celery", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
        for milliseconds in range(50, 1050, 50):
            queue = DelayQueue(milliseconds, "", True)
            arguments = {key: value for key, value in queue.arguments.items() if key != "x-expires"}
            channel.exchange_declare(queue.name, "fanout", durable=True, auto_delete=False)
            channel.queue_declare(queue.name, durable=True, auto_delete=False, arguments=arguments)
            channel.queue_bind(queue.name, queue.name)
    node.stop()
    node.start()


@pytest.mark.slow
@pytest.mark.random
@pytest.mark.timeout(400 + CALM)
@pytest.mark.parametrize("seed", seeds(1, 2, 3))
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_a_broker_that_is_killed(queue_type, seed):
    with RedisServer() as server, RedisServer() as ledger, own_node() as node:
        bench = RabbitBench(server, node.url("t0"), ledger)
        bench.node, bench.queue_type = node, queue_type
        if queue_type == "quorum":
            make_quorum_queues(node)
        with bench.client() as app:
            weather(bench, app, ("kill_broker", "kill"), seed, 30, 3.0)
