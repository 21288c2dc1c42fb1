"""Messages between servers arrive exactly once, whichever of the steps in between is the last that a process makes."""

import signal
from contextlib import contextmanager

import pytest

from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.drivers.redis.partitions import crossings, recovery
from canvas.model.settlement import Settlement, UniqueLock
from canvas.testing.contract import eventually, ids, publish
from tests.support.redis_server import RedisServer

LIST = "canvas:crossings"


@pytest.fixture(scope="module")
def servers():
    with RedisServer() as far, RedisServer("--appendonly", "yes", "--appendfsync", "always") as near:
        yield far, near


@pytest.fixture
def opened(servers, monkeypatch):
    """Opens drivers; what others have left is looked for at once."""
    monkeypatch.setattr(crossings, "_LEFT_AFTER", 0.05)
    monkeypatch.setattr(recovery, "_SWEEPS_EVERY", 0.0)
    far, near = servers
    for server in servers:
        server.client().flushall()

    @contextmanager
    def opened():
        driver = open_driver("", near.url(1), broker_shards={far.url(0): ["far*"], near.url(0): ["*"]})
        yield driver
        driver.close()

    return opened


def lease(driver, queue, limit=10, worker="w"):
    driver.recovery.heartbeat(worker, [queue], 60)
    return driver.broker.lease(Lease(worker, (queue,), limit))


def send_on(driver, *messages, **settled):
    """Settle a task of the near server that sends these messages."""
    driver.broker.publish([publish("first", "near")])
    (first,) = lease(driver, "near")
    assert driver.settler.settle([Settlement(first, publishes=messages, **settled)]).verdicts[0].held


def swept(driver, far):
    driver.recovery.recover_dead_workers()
    return far.client().llen("far")


def test_a_message_arrives_and_leaves_nothing(opened, servers):
    _, near = servers
    with opened() as driver:
        send_on(driver, publish("a", "far"), publish("b", "far2"), publish("c", "near"), publish("d", "far"))
        assert ids(lease(driver, "far")) == ["a", "d"]
        assert ids(lease(driver, "far2")) == ["b"]
        assert ids(lease(driver, "near")) == ["c"]
    assert not near.client().exists(LIST)


def test_its_server_is_away_and_its_process_is_gone(opened, servers):
    """The message waits beside the ack; another process finds it when the server is back."""
    far, near = servers
    with opened() as driver:
        far.stop(signal.SIGKILL)
        try:
            send_on(driver, publish("a", "far"))
        finally:
            far.start()
    assert near.client().llen(LIST) == 1
    with opened() as other:
        other.recovery.heartbeat("other", ["near"], 60)
        eventually(lambda: swept(other, far) == 1)
        eventually(lambda: not near.client().exists(LIST))
        swept(other, far)
        assert ids(lease(other, "far")) == ["a"]


def test_the_process_is_gone_before_it_removes_the_message(opened, servers):
    """The server has the message, and the list has it still: it is not received again."""
    far, near = servers
    with opened() as driver:
        far.stop()
        send_on(driver, publish("a", "far"))
        (entry,) = near.client().lrange(LIST, 0, -1)
        far.start()
    with opened() as other:
        other.recovery.heartbeat("other", ["near"], 60)
        eventually(lambda: swept(other, far) == 1)
        eventually(lambda: not near.client().exists(LIST))
        near.client().lpush(LIST, entry)
        eventually(lambda: swept(other, far) and not near.client().exists(LIST))
        assert ids(lease(other, "far")) == ["a"]


def test_a_message_that_its_list_refuses_is_a_dead_letter(opened, servers):
    far, _ = servers
    far.client().set("far", "no list")
    with opened() as driver:
        send_on(driver, publish("a", "far"), publish("b", "far2"))
        assert [letter.queue for letter in driver.admin.dead_letters("far")] == ["far"]
        assert driver.admin.queue_length("far2") == 1


def test_a_lock_at_another_server_ends_with_the_settlement(opened, servers):
    lock = UniqueLock("u", "first")
    with opened() as driver:
        assert driver.coordination.publish_unique(publish("x", "near"), lock, 60) is None
        assert driver.coordination.publish_unique(publish("y", "near"), UniqueLock("u", "y"), 60) == "first"
        assert ids(lease(driver, "near", 1)) == ["x"]
        send_on(driver, releases_locks=[lock])
        assert driver.coordination.publish_unique(publish("y", "near"), UniqueLock("u", "y"), 60) is None


def _settled(answer):
    (verdict,), reply = answer
    return None if verdict.unsettled else (verdict, reply)


def test_a_call_that_fails_at_one_server_is_made_at_the_other(opened, servers):
    """What is owed to the first is settled when it is back."""
    far, near = servers
    with opened() as driver:
        driver.broker.publish([publish("f", "far"), publish("n", "near")])
        (there,), (here,) = lease(driver, "far"), lease(driver, "near")
        batch = [Settlement(here, publishes=[publish("next", "near")]), Settlement(there)]
        far.stop(signal.SIGKILL)
        verdicts, leased = driver.broker.settle(batch, None)
        assert [(one.held, one.unsettled) for one in verdicts] == [(True, False), (False, True)]
        assert leased.partial
        assert near.client().llen("near") == 1
        far.start()
        far.client().hset("unacked", there.tag, b"[" + there.payload + b',"","far"]')
        settled, first = eventually(lambda: _settled(driver.broker.settle(batch[1:], None)), 60)
        # The first reply after the return has the caller compare its leases with those that the server knows.
        assert (settled.held, first.partial) == (True, True)
        assert not driver.broker.settle([], None)[1].partial
        assert ids(lease(driver, "near")) == ["next"]
