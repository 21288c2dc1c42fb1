"""How many requests the settlement of one task takes, by arrangement: what the page on arrangements says."""

from contextlib import contextmanager

import pytest

from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import ResultWrite, Settlement
from canvas.testing.contract import publish
from tests.support.rabbitmq import SharedRabbitMQ

SUCCESS = b'{"status":"SUCCESS","result":1}'


@contextmanager
def one(cluster, first, own_server):
    yield open_driver(first.url(0), first.url(1)), [first]


@contextmanager
def two(cluster, first, own_server):
    yield open_driver(first.url(0), own_server.url(1)), [first, own_server]


@contextmanager
def in_cluster(cluster, first, own_server):
    yield open_driver(cluster.url(), cluster.url()), cluster.masters


@contextmanager
def shards(cluster, first, own_server):
    rules = {first.url(0): ["q1"], own_server.url(0): ["*"]}
    yield open_driver("", own_server.url(1), broker_shards=rules), [first, own_server]


@contextmanager
def on_rabbitmq(cluster, first, own_server):
    with SharedRabbitMQ() as node:
        yield open_driver(node.url(), first.url(1)), [first]


REQUESTS = {one: (1, 1), two: (3, 3), in_cluster: (3, 5), shards: (3, 5), on_rabbitmq: (3, 3)}
"""Of a settlement with a result and a message into the same queue, and of one with a message into another queue: those to
Redis."""


@pytest.mark.parametrize("arrangement", REQUESTS, ids=lambda made: made.__name__)
def test_requests_of_a_settlement(cluster, redis_server, own_server, arrangement):
    for server in (redis_server, own_server):
        server.client().flushall()
    with arrangement(cluster, redis_server, own_server) as (driver, servers):
        driver.broker.publish([publish(str(number), "q1") for number in range(8)])
        lease = Lease("w", ("q1",), 1)
        held = driver.broker.lease(lease)
        found = {"q1": [], "q2": []}
        requests = Requests(servers)
        for queue in ("q1", "q2") * 4:
            settlement = Settlement(
                held[0], stores=[ResultWrite(f"task {queue}", SUCCESS, 60, True)], publishes=[publish("next", queue)]
            )
            before = requests.read()
            held = driver.settler.settle([settlement], lease).deliveries
            found[queue].append(requests.since(before))
        driver.close()
    # The first ones load scripts and open connections. A connection of another test that closes is one more read.
    assert (min(found["q1"][1:]), min(found["q2"][1:])) == REQUESTS[arrangement]


def test_a_heartbeat_is_one_request_to_each_partition(redis_server, own_server):
    servers = (redis_server, own_server)
    shards = {server.url(0): [pattern] for server, pattern in zip(servers, ("far", "*"), strict=True)}
    driver = open_driver("", own_server.url(1), broker_shards=shards)
    driver.recovery.heartbeat("w", ["far", "near"], 60)
    requests = Requests(servers)
    found = []
    for _ in range(3):
        before = requests.read()
        driver.recovery.heartbeat("w", ["far", "near"], 60)
        found.append(requests.since(before))
    # A connection of another test that closes is one more read.
    assert min(found) == 2
    driver.close()


class Requests:
    """Counts the requests that servers have read from clients."""

    def __init__(self, servers):
        self._clients = [server.client() for server in servers]
        first = self.read()
        self._own = self.read() - first

    def read(self):
        """How many since they started; the next answer is higher by the requests of this one."""
        return sum(client.info("stats")["total_reads_processed"] for client in self._clients)

    def since(self, before):
        """How many there were since an answer of ``read``."""
        return self.read() - before - self._own
