"""One of two servers is away: what belongs to the other goes on, and what is owed to it is settled when it is back."""

import signal
import threading
import time

import pytest

from canvas.drivers import open_driver
from canvas.drivers.ports.settler import PartlySettled
from canvas.drivers.ports.values import Lease
from canvas.errors import OperationalError
from canvas.model.settlement import ResultWrite, Settlement
from canvas.testing.contract import eventually, ids, publish
from tests.cluster.test_shards import ShardedBench
from tests.support.apps import make
from tests.support.process_signals import resume, suspend
from tests.support.redis_server import RedisServer
from tests.worker.commands import start, task

PATIENT = {"socket_timeout": 0.5}


@pytest.fixture(scope="module")
def bench(redis_server, own_server):
    with RedisServer() as second:
        yield ShardedBench(own_server, second, redis_server)


@pytest.fixture
def driver(bench, own_server):
    for server in (own_server, bench.second):
        server.client().flushall()
    driver = open_driver("", bench.second.url(1), broker_shards=bench.shards, broker_options=PATIENT)
    yield driver
    driver.close()


def leased(driver, *queues):
    return driver.broker.lease(Lease("w1", queues, 9))


def stopped(server):
    suspend(server.process.pid)


def gone_on(server):
    resume(server.process.pid)


def asking():
    return [thread for thread in threading.enumerate() if thread.name == "canvas-away"]


def test_a_closed_driver_asks_no_more(driver, own_server):
    driver.recovery.heartbeat("w1", ["far", "celery"], 60)
    stopped(own_server)
    try:
        leased(driver, "far", "celery")
        assert asking()
        driver.close()
        eventually(lambda: not asking())
    finally:
        gone_on(own_server)


def test_what_is_owed_to_a_silent_server_is_settled_when_it_is_back(driver, own_server):
    """The other server's settlements and leases are made in the same call."""
    driver.recovery.heartbeat("w1", ["far", "celery"], 60)
    driver.broker.publish([publish("one", "far"), publish("two", "celery")])
    held = {delivery.queue: delivery for delivery in leased(driver, "far", "celery")}
    driver.broker.publish([publish("three", "celery")])
    stopped(own_server)
    try:
        batch = [Settlement(held[name], stores=[ResultWrite(name, b"{}", 60, True)]) for name in ("far", "celery")]
        with pytest.raises(PartlySettled) as raised:
            driver.settler.settle(batch, Lease("w1", ("far", "celery"), 9))
        reply = raised.value.reply
        assert [(one.held, one.unsettled) for one in reply.verdicts] == [(False, True), (True, False)]
        assert ids(reply.deliveries) == ["three"]
        assert driver.results.get(["far", "celery"]) == [None, b"{}"]
        again = driver.settler.settle([Settlement(reply.deliveries[0])], Lease("w1", ("far", "celery"), 9))
        assert again.verdicts[0].held and again.leased.partial
        driver.recovery.heartbeat("w1", ["far", "celery"], 60)
        assert driver.recovery.recover_dead_workers() == 0
    finally:
        gone_on(own_server)
    assert eventually(lambda: not driver.settler.settle([], Lease("w1", ("far", "celery"), 9)).leased.partial)
    verdicts = [driver.settler.settle([batch[0]]).verdicts[0] for _ in range(2)]
    assert [one.held for one in verdicts] == [True, False]
    assert driver.results.get(["far"]) == [b"{}"]


def test_a_server_that_is_back_gets_the_heartbeats_that_it_missed(driver, own_server):
    driver.recovery.heartbeat("w1", ["far", "celery"], 60)
    own_server.client().flushall()
    stopped(own_server)
    try:
        assert not driver.recovery.heartbeat("w2", ["far", "celery"], 60).known
    finally:
        gone_on(own_server)
    eventually(lambda: own_server.client().hlen("canvas:workers") == 2)


def test_what_is_released_while_a_server_is_away_returns_to_its_queue(driver, own_server):
    driver.recovery.heartbeat("w1", ["far", "celery"], 60)
    driver.broker.publish([publish("one", "far"), publish("two", "celery"), publish("three", "far")])
    held = leased(driver, "far", "celery")
    stopped(own_server)
    try:
        assert driver.broker.release(held[:2]) + driver.broker.release(held[2:]) == 1
    finally:
        gone_on(own_server)
    assert eventually(lambda: driver.admin.queue_length("far") == 2)
    # A worker compares its leases with the server's after the last round in which a server was away.
    first, second = (driver.settler.settle([], Lease("w1", ("far", "celery"), 9)).leased for _ in range(2))
    assert sorted(ids(first.deliveries)) == ["one", "three", "two"]
    assert (first.partial, second.partial) == (True, False)


def test_both_servers_are_away(driver, bench, own_server):
    leased(driver, "far", "celery")
    stopped(own_server)
    stopped(bench.second)
    try:
        with pytest.raises(OperationalError):
            leased(driver, "far", "celery")
    finally:
        gone_on(own_server)
        gone_on(bench.second)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["silent", "killed"])
@pytest.mark.parametrize("pool", ["solo", "threads", "prefork"])
def test_a_worker_goes_on_with_the_other_server(bench, how, pool):
    """It owes a settlement to the server that is away. The task has run once, when the server is back."""
    key = bench.new_key()
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as third:
        shards = {third.url(0): ["far*"], bench.second.url(0): ["*"]}
        app = make("canvas", None, bench.second.url(1), ledger=bench.urls()[2], broker_shards=shards)
        slots = () if pool == "solo" else ("-c", "2")
        with start(bench, "-P", pool, *slots, "-Q", "celery,far", broker_shards=shards, short_leases=1):
            owed = task(app, "until_open").apply_async((key,), queue="far")
            bench.ledger(key, 1, 60)
            if how == "silent":
                stopped(third)
            else:
                third.stop(signal.SIGKILL)
            bench.open(key)
            before = time.monotonic()
            results = [task(app, "add").delay(n, 1) for n in range(20)]
            assert [result.get(timeout=60) for result in results] == list(range(1, 21))
            assert time.monotonic() - before < 40
            if how == "silent":
                gone_on(third)
            else:
                third.start()
            assert owed.get(timeout=60) == key
            assert task(app, "add").apply_async((1, 2), queue="far").get(timeout=60) == 3
            eventually(lambda: app.driver.admin.in_flight().leased == 0, 60)
        app.close()
