"""A RabbitMQ cluster of three nodes with quorum queues that loses nodes: nothing is lost and nothing is twice."""

import signal
import tempfile
import time
from contextlib import ExitStack, contextmanager

import pytest

from canvas.testing.contract import eventually
from tests.chaos import test_rabbitmq as with_redis
from tests.chaos import test_rabbitmq_and_sql as with_sql
from tests.chaos.verdict import CALM
from tests.support.rabbit_bench import RabbitBench
from tests.support.rabbitmq import RabbitMQNode
from tests.support.redis_server import RedisServer
from tests.support.sql_bench import SqlBench

pytestmark = [pytest.mark.slow, pytest.mark.random, pytest.mark.timeout(400 + CALM)]


class Victims:
    """Nodes of a cluster that a storm kills as it kills one node. The first node is asked what the cluster does."""

    def __init__(self, nodes):
        self.control = nodes[0].control
        self.kills = 0


class Leader(Victims):
    """The node, of a cluster, that leads the queue ``celery``: it stops and starts as one node does."""

    def __init__(self, nodes, vhost):
        super().__init__(nodes)
        self._nodes, self._vhost = nodes, vhost
        self._stopped = None

    def _name(self):
        rows = self._nodes[0].control("list_queues", "-p", self._vhost, "name", "leader").splitlines()
        return dict(row.split("\t")[:2] for row in rows).get("celery")

    def stop(self, number):
        assert number == signal.SIGKILL
        eventually(lambda: self._name() in [node.name for node in self._nodes], 60)
        self._stopped = next(node for node in self._nodes if node.name == self._name())
        self._stopped.kill()
        self.kills += 1

    def start(self):
        """Start it, once another leads the queue."""
        others = [node for node in self._nodes if node is not self._stopped]
        eventually(lambda: Leader(others, self._vhost)._name() in [node.name for node in others], 60)
        self._stopped.start()


class Majority(Victims):
    """Two of the three nodes: without them, no queue takes or delivers a message."""

    def __init__(self, nodes):
        super().__init__(nodes)
        self._nodes = nodes[1:]

    def stop(self, number):
        assert number == signal.SIGKILL
        for node in self._nodes:
            node.kill()
        self.kills += 1

    def start(self):
        """Start them after some seconds."""
        time.sleep(5)
        for node in self._nodes:
            node.start()


class Removed(Victims):
    """A node that is killed and removed from its cluster, once and for all."""

    def __init__(self, nodes):
        super().__init__(nodes)
        self._first, self._node = nodes[0], nodes[2]

    def stop(self, number):
        assert number == signal.SIGKILL
        if not self.kills:
            self._node.kill()
            self._first.control("forget_cluster_node", self._node.name)
            self.kills += 1

    def start(self):
        assert self._node.name not in self._first.control("cluster_status")


@contextmanager
def cluster_of_three():
    """Three nodes that have started."""
    with ExitStack() as stack:
        found = []
        for _ in range(3):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            found.append(RabbitMQNode(folder, beside=found[0] if found else None).start())
            stack.callback(found[-1].stop)
        assert len(found[0].control("cluster_status", "--formatter", "erlang").split("@localhost")) > 3
        yield found


@pytest.fixture(scope="module")
def nodes():
    with cluster_of_three() as found:
        yield found


def of_all(nodes, vhost):
    """The URLs of all nodes: a client tries them in turn."""
    return ";".join(node.url(vhost) for node in nodes)


def storm(nodes, vhost, killed):
    """Kill ``killed`` under load. The state is in Redis."""
    with RedisServer() as server, RedisServer() as ledger:
        bench = RabbitBench(server, of_all(nodes, vhost), ledger)
        bench.node, bench.queue_type = killed, "quorum"
        with bench.client() as app:
            with_redis.weather(bench, app, ("kill_broker", "kill"), 1, 30, 3.0)
        assert killed.kills


def test_state_in_redis(nodes):
    storm(nodes, "t0", Leader(nodes, "t0"))


def test_the_quorum_is_lost_for_a_while(nodes):
    storm(nodes, "t2", Majority(nodes))


def test_a_node_is_removed():
    with cluster_of_three() as nodes:
        storm(nodes, "t3", Removed(nodes))


def test_state_in_postgresql(nodes, postgres):
    with RedisServer() as ledger:
        bench = SqlBench(of_all(nodes, "t1"), postgres.new_database(), ledger)
        bench.node, bench.queue_type = Leader(nodes, "t1"), "quorum"
        with bench.client() as app:
            with_sql.weather(bench, app, ("kill_broker", "kill"), 1, 30, 3.0)
        assert bench.node.kills
        bench.close()
