"""What a worker takes after its recovery, and a recovery that comes after its worker is back."""

import pytest

from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import Settlement
from canvas.testing.contract import eventually, ids, publish


@pytest.fixture
def late(redis_url, result_url):
    """The driver of a worker ``late`` that others have taken for dead; it gets no processor now."""
    driver = open_driver(redis_url, result_url)
    driver.recovery.heartbeat("late", ["q"], 60)
    yield driver
    driver.close()


def returned(driver):
    """The message of the late worker, once others have returned it."""
    assert eventually(driver.recovery.recover_dead_workers) == 1
    return ids(driver.broker.lease(Lease("w", ["q"], 5)))


def test_a_lease_that_comes_after_the_recovery_is_returned(driver, late):
    driver.recovery.recover_worker("late")
    driver.broker.publish([publish("a")])
    assert ids(late.broker.lease(Lease("late", ["q"], 1))) == ["a"]
    assert returned(driver) == ["a"]


def test_a_message_that_is_moved_aside_after_the_recovery_is_returned(driver, late, redis_server):
    assert late.broker.wait("late", ["q"], 0.1) == 0
    driver.recovery.recover_worker("late")
    driver.broker.publish([publish("a")])
    assert driver.admin.queue_length("q") == 0
    assert returned(driver) == ["a"]


def test_a_worker_that_takes_something_again_and_again_is_looked_at_each_time(driver, late):
    driver.recovery.recover_worker("late")
    for name in ("a", "b"):
        driver.broker.publish([publish(name)])
        late.broker.lease(Lease("late", ["q"], 1))
        assert returned(driver) == [name]


def test_a_worker_that_sends_heartbeats_again_is_not_looked_at(driver, late, redis_server):
    driver.recovery.recover_worker("late")
    late.recovery.heartbeat("late", ["q"], 60)
    driver.broker.publish([publish("a")])
    (held,) = late.broker.lease(Lease("late", ["q"], 1))
    eventually(
        lambda: (
            not driver.recovery.recover_dead_workers() and not redis_server.client().exists("canvas:workers:recovered")
        )
    )
    assert late.settler.settle([Settlement(held)]).verdicts[0].held


def test_a_recovery_takes_nothing_from_a_worker_that_is_back(driver, late, redis_server):
    """The process that recovers it stood still after it had found it silent."""
    driver.broker.publish([publish("a")])
    (held,) = late.broker.lease(Lease("late", ["q"], 1))
    assert driver.recovery.recover("late", count_delivery=True, silent=True) == 0
    assert redis_server.client().hexists("canvas:workers", "late")
    assert late.settler.settle([Settlement(held)]).verdicts[0].held
