"""Revocations, rate slots, permits, locks."""

import time

from canvas.drivers.ports import Driver
from canvas.model.settlement import (
    DelayedPublish,
    Settlement,
    UniqueLock,
)
from canvas.testing.contract.support import ContractSupport, eventually, ids, publish


class CoordinationContract(ContractSupport):
    """Revocations, rate slots, permits, locks."""

    def test_revocations_are_kept_for_their_time(self, driver: Driver) -> None:
        driver.broker.revoke(["id:a", "id:b"], 60)
        driver.broker.revoke(["id:gone"], 0.01)
        eventually(lambda: sorted(driver.broker.revoked()) == ["id:a", "id:b"])

    def test_a_lease_tells_that_something_was_revoked(self, driver: Driver) -> None:
        driver.broker.revoked()
        before = driver.broker.revision
        driver.broker.publish([publish("a"), publish("b")])
        self._lease(driver, 1)
        assert driver.broker.revision == before
        driver.broker.revoke(["id:b"], 60)
        self._lease(driver, 1)
        assert driver.broker.revision != before
        assert driver.broker.revoked() == ["id:b"]
        told = driver.broker.revision
        driver.broker.revoke(["id:b"], 60)
        driver.broker.revoked()
        assert driver.broker.revision == told

    def test_turns_are_an_interval_apart(self, driver: Driver) -> None:
        broker = driver.broker
        assert broker.reserve_rate_slot("r", 0.5) == 0
        first, second = broker.reserve_rate_slot("r", 0.5), broker.reserve_rate_slot("r", 0.5)
        assert abs(second - first - 0.5) < 0.001
        assert broker.reserve_rate_slot("other", 0.5) == 0

    def test_a_place_is_one_message_s_until_it_is_settled(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("a"), publish("b"), publish("c")])
        a, b, c = self._lease(driver, 3)
        assert broker.acquire_permit("k", 1, a)
        assert broker.acquire_permit("k", 1, a)
        assert not broker.acquire_permit("k", 1, b)
        assert broker.acquire_permit("other", 1, c)
        assert not broker.acquire_permit("k", 1, b)
        assert self._lease(driver, 1) == []
        driver.settler.settle([Settlement(a, frees=["k"])])
        (again,) = self._lease(driver, 2)
        assert ids([again]) == ["b"]
        assert broker.acquire_permit("k", 1, again)

    def test_totals_of_what_is_in_no_queue(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("a"), publish("b"), publish("c")])
        a, b, c = self._lease(driver, 3)
        broker.acquire_permit("k", 1, a)
        broker.acquire_permit("k", 1, b)
        driver.settler.settle([Settlement(c, deferrals=[DelayedPublish(time.time() + 60, publish("later"))])])
        assert broker.in_flight() == (1, 1, 1)

    def test_places_of_the_dead_are_free(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("a"), publish("b")])
        a, b = self._lease(driver, 2)
        assert broker.acquire_permit("k", 1, a)
        assert not broker.acquire_permit("k", 1, b)
        assert broker.enqueue_blocked() == 0
        driver.settler.settle([Settlement(a)])
        assert broker.enqueue_blocked() == 1
        assert broker.enqueue_blocked() == 0
        (again,) = self._lease(driver, 2)
        assert broker.acquire_permit("k", 1, again)

    def test_who_was_acked_before_it_ran_keeps_its_place(self, driver: Driver) -> None:
        broker = driver.broker
        broker.publish([publish("a"), publish("b")])
        a, b = self._lease(driver, 2)
        assert broker.acquire_permit("k", 1, a)
        driver.settler.settle([Settlement(a, begins=True)])
        assert not broker.acquire_permit("k", 1, b)
        driver.settler.settle([Settlement(a, fence="begun", frees=["k"])])
        assert ids(self._lease(driver, 2)) == ["b"]

    def test_a_unique_message_is_sent_once_until_it_is_unlocked(self, driver: Driver) -> None:
        broker = driver.broker
        lock, other = UniqueLock("u", "a"), UniqueLock("u", "b")
        assert broker.publish_unique(publish("a"), lock, 60) is None
        assert broker.publish_unique(publish("b"), other, 60) == "a"
        assert broker.queue_length("q") == 1
        broker.release_lock(other)
        assert broker.publish_unique(publish("b"), other, 60) == "a"
        (a,) = self._lease(driver, 2)
        driver.settler.settle([Settlement(a, unlocks=[lock])])
        assert broker.publish_unique(publish("b"), other, 0.05) is None
        eventually(lambda: broker.publish_unique(publish("c"), UniqueLock("u", "c"), 60) is None)
