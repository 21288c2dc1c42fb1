"""Which messages return to their queue, and which workers count as dead."""

from typing import Any

from canvas.drivers.ports import Driver
from canvas.errors import EncodeError
from canvas.model.message import Publish
from canvas.model.settlement import (
    ChordStart,
    Part,
    Settlement,
)
from canvas.testing.contract.support import ContractSupport, eventually


class RecoveryContract(ContractSupport):
    """Which messages return to their queue, and which workers count as dead."""

    def test_release_keeps_the_order(self, driver: Driver) -> None:
        driver.broker.publish([self.publish(x) for x in "abc"])
        assert driver.broker.release(self._lease(driver, 2)) == 2
        assert self.ids(self._lease(driver)) == ["a", "b", "c"]

    def test_release_of_an_early_acked_message(self, driver: Driver) -> None:
        delivery = self._one(driver)
        assert driver.settler.settle([Settlement(delivery, early_ack=True)]).verdicts[0].held
        assert driver.admin.queue_length("q") == 0
        assert driver.broker.release([delivery]) == 1
        assert driver.admin.queue_length("q") == 1
        again = Settlement(delivery, fence="early_acked")
        assert not driver.settler.settle([again]).verdicts[0].held

    def test_release_of_a_lost_lease_has_no_effect(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery)])
        assert driver.broker.release([delivery]) == 0
        assert driver.admin.queue_length("q") == 0

    def test_recovery_releases_the_leases_of_dead_workers(self, driver: Driver) -> None:
        assert driver.recovery.heartbeat("dead", ["q"], 0.05) == (1, False)
        assert not driver.recovery.heartbeat("alive", ["q"], 60).known
        assert driver.recovery.heartbeat("alive", ["q"], 60).known
        driver.broker.publish([self.publish("a"), self.publish("b")])
        self._lease(driver, 1, worker="dead")
        self._lease(driver, 1, worker="alive")
        assert eventually(driver.recovery.recover_dead_workers) == 1
        back = self._lease(driver)
        assert self.ids(back) == ["a"]
        headers = driver.broker.codec.headers_of(back[0].payload)
        assert (headers["redelivered"], headers["canvas_delivery_count"]) == (True, 2)

    def test_a_heartbeat_tells_how_many_workers_live(self, driver: Driver) -> None:
        alive = ["one", "two", "three"]
        assert [driver.recovery.heartbeat(worker, ["q"], 60).workers for worker in alive] == [1, 2, 3]
        driver.recovery.heartbeat("dead", ["q"], 0.05)
        eventually(lambda: driver.recovery.heartbeat("one", ["q"], 60) == (3, True))
        assert driver.recovery.rest("two")
        assert driver.recovery.heartbeat("one", ["q"], 60).workers == 2
        driver.recovery.unregister("three")
        assert driver.recovery.heartbeat("one", ["q"], 60).workers == 1

    def test_a_malformed_delivery_count_prevents_no_release(self, driver: Driver) -> None:
        strange_counts: list[Any] = ["many", -1, [], 1e400]
        for count in strange_counts:
            strange = driver.broker.codec.with_headers(self.envelope("a"), {"canvas_delivery_count": count})
            try:
                driver.broker.publish([Publish("", "q", 0, strange)])
            except EncodeError:
                continue  # the broker cannot carry such a header
            self._lease(driver, 1)
            assert driver.recovery.recover_worker("w1") == 1
            (back,) = self._lease(driver, 1)
            assert driver.broker.codec.headers_of(back.payload)["canvas_delivery_count"] == 2
            driver.settler.settle([Settlement(back)])

    def test_a_message_that_did_not_run_is_not_counted_as_delivered(self, driver: Driver) -> None:
        driver.broker.publish([self.publish("fatal"), self.publish("beside")])
        for _ in range(3):
            driver.recovery.heartbeat("w1", ["q"], 60)
            fatal, _ = self._lease(driver, 2)
            driver.recovery.mark_started(fatal)
            assert driver.recovery.recover_worker("w1") == 2
        back = self._lease(driver, 2)
        assert self.ids(back) == ["fatal", "beside"]
        assert [driver.broker.codec.headers_of(one.payload)["canvas_delivery_count"] for one in back] == [4, 2]

    def test_a_heartbeat_keeps_a_worker_alive(self, driver: Driver) -> None:
        driver.recovery.heartbeat("w1", ["q"], 60)
        delivery = self._one(driver)
        assert driver.recovery.recover_dead_workers() == 0
        assert driver.settler.settle([Settlement(delivery)]).verdicts[0].held

    def test_starting_sets_chords_up_and_sends(self, driver: Driver) -> None:
        driver.settler.publish_with_chords([ChordStart("g", 1, 60)], [self.publish("a"), self.publish("b")])
        first, second = self._lease(driver, 2)
        assert self.ids([first, second]) == ["a", "b"]
        member = Part("g", "a", 0, b"value", b"fire", 60)
        (ready,) = driver.settler.settle([Settlement(first, parts=[member])]).verdicts[0].ready
        assert (ready.group_id, ready.parts) == ("g", [b"value"])
        driver.settler.publish_with_chords([], [self.publish("c")], delays=())
        assert self.ids(self._lease(driver)) == ["c"]

    def test_leases_that_only_the_broker_knows_of_are_given_back(self, driver: Driver) -> None:
        driver.recovery.heartbeat("w1", ["q"], 60)
        driver.broker.publish([self.publish("a"), self.publish("b"), self.publish("c")])
        leased = self._lease(driver, 3)
        assert driver.recovery.release_unknown("w1", {one.tag for one in leased}) == 0
        assert driver.recovery.release_unknown("w1", {leased[1].tag}) == 2
        assert self.ids(self._lease(driver, 3)) == ["a", "c"]
        assert [v.held for v in driver.settler.settle([Settlement(leased[0]), Settlement(leased[1])]).verdicts] == [
            False,
            True,
        ]

    def test_unregister_releases_without_counting(self, driver: Driver) -> None:
        driver.recovery.heartbeat("w1", ["q"], 60)
        self._one(driver, task_id="a")
        driver.recovery.unregister("w1")
        back = self._lease(driver)
        assert self.ids(back) == ["a"]
        assert "canvas_delivery_count" not in driver.broker.codec.headers_of(back[0].payload)
