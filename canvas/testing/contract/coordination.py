"""Revocations, rate slots, permits, locks."""

import time

from canvas.drivers.ports import Driver
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import (
    DelayedPublish,
    Settlement,
    UniqueLock,
)
from canvas.testing.contract.support import ContractSupport, eventually


class CoordinationContract(ContractSupport):
    """Revocations, rate slots, permits, locks."""

    def test_revocations_are_kept_for_their_time(self, driver: Driver) -> None:
        driver.coordination.revoke(["id:a", "id:b"], 60)
        driver.coordination.revoke(["id:gone"], 0.01)
        eventually(lambda: sorted(driver.coordination.revoked()[1]) == ["id:a", "id:b"])

    def test_the_reply_to_a_lease_has_the_version_of_revocations(self, driver: Driver) -> None:
        before, _ = driver.coordination.revoked()
        driver.broker.publish([self.publish("a"), self.publish("b")])
        assert self._version_with_a_lease(driver) == before
        driver.coordination.revoke(["id:b"], 60)
        after = self._version_with_a_lease(driver)
        assert after != before
        assert driver.coordination.revoked() == (after, ["id:b"])
        driver.coordination.revoke(["id:b"], 60)
        assert driver.coordination.revoked()[0] == after

    def _version_with_a_lease(self, driver: Driver) -> int:
        leased = driver.settler.settle([], Lease("w1", ("q",), 1)).leased
        assert leased is not None and len(leased.deliveries) == 1
        return leased.revocations_version

    def test_rate_slots_are_an_interval_apart(self, driver: Driver) -> None:
        assert driver.coordination.reserve_rate_slot("r", 0.5) == 0
        first, second = driver.coordination.reserve_rate_slot("r", 0.5), driver.coordination.reserve_rate_slot("r", 0.5)
        assert abs(second - first - 0.5) < 0.001
        assert driver.coordination.reserve_rate_slot("other", 0.5) == 0

    def test_a_permit_is_one_message_s_until_it_is_settled(self, driver: Driver) -> None:
        driver.broker.publish([self.publish("a"), self.publish("b"), self.publish("c")])
        a, b, c = self._lease(driver, 3)
        assert driver.coordination.acquire_permit("k", 1, a)
        assert driver.coordination.acquire_permit("k", 1, a)
        assert not driver.coordination.acquire_permit("k", 1, b)
        assert driver.coordination.acquire_permit("other", 1, c)
        assert not driver.coordination.acquire_permit("k", 1, b)
        assert self._lease(driver, 1) == []
        driver.settler.settle([Settlement(a, releases_permits=["k"])])
        (again,) = self._lease(driver, 2)
        assert self.ids([again]) == ["b"]
        assert driver.coordination.acquire_permit("k", 1, again)

    def test_counts_of_messages_in_no_queue(self, driver: Driver) -> None:
        driver.broker.publish([self.publish("a"), self.publish("b"), self.publish("c")])
        a, b, c = self._lease(driver, 3)
        driver.coordination.acquire_permit("k", 1, a)
        driver.coordination.acquire_permit("k", 1, b)
        driver.settler.settle([Settlement(c, deferrals=[DelayedPublish(time.time() + 60, self.publish("later"))])])
        assert driver.admin.in_flight() == (1, 1, 1)

    def test_permits_of_dead_workers_are_released(self, driver: Driver) -> None:
        driver.broker.publish([self.publish("a"), self.publish("b")])
        a, b = self._lease(driver, 2)
        assert driver.coordination.acquire_permit("k", 1, a)
        assert not driver.coordination.acquire_permit("k", 1, b)
        assert driver.coordination.enqueue_blocked() == 0
        driver.settler.settle([Settlement(a)])
        assert driver.coordination.enqueue_blocked() == 1
        assert driver.coordination.enqueue_blocked() == 0
        (again,) = self._lease(driver, 2)
        assert driver.coordination.acquire_permit("k", 1, again)

    def test_an_early_acked_message_keeps_its_permit(self, driver: Driver) -> None:
        driver.broker.publish([self.publish("a"), self.publish("b")])
        a, b = self._lease(driver, 2)
        assert driver.coordination.acquire_permit("k", 1, a)
        driver.settler.settle([Settlement(a, early_ack=True)])
        assert not driver.coordination.acquire_permit("k", 1, b)
        driver.settler.settle([Settlement(a, fence="early_acked", releases_permits=["k"])])
        assert self.ids(self._lease(driver, 2)) == ["b"]

    def test_a_unique_message_is_sent_once_until_it_is_unlocked(self, driver: Driver) -> None:
        lock, other = UniqueLock("u", "a"), UniqueLock("u", "b")
        assert driver.coordination.publish_unique(self.publish("a"), lock, 60) is None
        assert driver.coordination.publish_unique(self.publish("b"), other, 60) == "a"
        assert driver.admin.queue_length("q") == 1
        driver.coordination.release_lock(other)
        assert driver.coordination.publish_unique(self.publish("b"), other, 60) == "a"
        (a,) = self._lease(driver, 2)
        driver.settler.settle([Settlement(a, releases_locks=[lock])])
        assert driver.coordination.publish_unique(self.publish("b"), other, 0.05) is None
        eventually(lambda: driver.coordination.publish_unique(self.publish("c"), UniqueLock("u", "c"), 60) is None)
