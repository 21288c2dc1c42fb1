"""The effects of one settlement, and when it has none."""

import json
import time

from canvas.drivers.ports import Driver
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import (
    ChordExtension,
    ChordStart,
    DelayedPublish,
    Fence,
    ResultWrite,
    RunWrite,
    Settlement,
)
from canvas.testing.contract.support import ContractSupport, part


class SettlerContract(ContractSupport):
    """The effects of one settlement, and when it has none."""

    def test_ack_ends_a_message(self, driver: Driver) -> None:
        delivery = self._one(driver)
        assert driver.settler.settle([Settlement(delivery)]).verdicts[0].held
        driver.recovery.recover_worker("w1")
        assert driver.admin.queue_length("q") == 0

    def test_a_lost_lease_does_nothing_at_all(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery)])
        late = Settlement(
            delivery, stores=[ResultWrite("late", b"{}", 60, True)], parts=[part("g", "late", 0)],
            chord_starts=[ChordStart("g", 1, 60)], publishes=[self.publish("late")],
            deferrals=[DelayedPublish(0.0, self.publish("late"))], disposal="dead_letter",
        )  # fmt: skip
        verdict = driver.settler.settle([late]).verdicts[0]
        assert (verdict.held, list(verdict.ready)) == (False, [])
        assert self._results(driver).get(["late"]) == [None]
        self._enqueue_due(driver, 10, 0)
        assert driver.admin.queue_length("q") == 0
        assert driver.admin.dead_letters("q") == []

    def test_a_late_settlement_neither_stores_nor_counts(self, driver: Driver) -> None:
        results, delivery = self._results(driver), self._one(driver)
        self._chords(driver).start_chords([ChordStart("g", 1, 60)])
        driver.settler.settle([Settlement(delivery, early_ack=True)])
        driver.recovery.recover_worker("w1")
        (orphan,) = driver.recovery.claim_orphans()
        end = Settlement(
            orphan.delivery, fence="early_acked", stores=[ResultWrite("t", b'{"status": "FAILURE"}', 60, False)]
        )
        assert driver.settler.settle([end]).verdicts[0].held
        late = Settlement(
            delivery, fence="early_acked", stores=[ResultWrite("t", b'{"status": "SUCCESS"}', 60, True)],
            chord_starts=[ChordStart("g", 1, 60)], chord_extensions=[ChordExtension("g", "t:0:0")],
            parts=[part("g", "t", 0)],
            runs=[RunWrite("run", {"about": b"1", "attempt": b"0"}, 60)],
        )  # fmt: skip
        verdict = driver.settler.settle([late]).verdicts[0]
        assert (verdict.held, list(verdict.ready)) == (False, [])
        assert results.get(["t"]) == [b'{"status": "FAILURE"}']
        assert self._runs(driver).read_run("run", ["about"]) == [None]
        (ready,) = self._settle(driver, part("g", "other", 0))
        assert ready.parts == [b"value of other"]

    def test_parts_in_one_call_count_once_each(self, driver: Driver) -> None:
        """Also where messages were delivered again. A message whose lease is lost returns no part."""
        driver.broker.publish([self.publish() for _ in range(5)])
        deliveries = self._lease(driver, 5)
        driver.settler.settle([Settlement(deliveries[4])])
        again = [
            Settlement(
                delivery, stores=[ResultWrite(f"t{place}", b'{"status":"SUCCESS"}', 60, True)],
                parts=[part("run.g", f"t{place}", place)._replace(size=4)],
            )
            for delivery, place in zip(deliveries, (0, 1, 2, 0, 3), strict=True)
        ]  # fmt: skip
        verdicts = driver.settler.settle(again).verdicts
        assert [(verdict.held, list(verdict.ready)) for verdict in verdicts] == [(True, [])] * 4 + [(False, [])]
        (last,) = driver.settler.settle([again[4]._replace(delivery=self._one(driver))]).verdicts
        (ready,) = last.ready
        assert (ready.group_id, ready.parts) == ("run.g", [f"value of t{place}".encode() for place in range(4)])

    def test_settlements_of_one_delivery_in_one_call_happen_once(self, driver: Driver) -> None:
        for begun in (False, True):
            delivery, task_id = self._one(driver), f"begun {begun}"
            fence: Fence = "early_acked" if begun else "lease"
            if begun:
                driver.settler.settle([Settlement(delivery, early_ack=True)])
            first, second = (
                Settlement(delivery, fence, stores=[ResultWrite(task_id, end, 60, False)]) for end in (b"1", b"2")
            )
            assert [v.held for v in driver.settler.settle([first, second]).verdicts] == [True, False]
            assert self._results(driver).get([task_id]) == [b"1"]

    def test_an_early_ack_whose_lease_is_lost_stores_nothing(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.broker.release([delivery])
        begins = Settlement(delivery, early_ack=True, stores=[ResultWrite("t", b"STARTED", 60, False)])
        assert not driver.settler.settle([begins]).verdicts[0].held
        assert self._results(driver).get(["t"]) == [None]

    def test_an_early_ack_ends_the_message(self, driver: Driver) -> None:
        delivery = self._one(driver)
        assert driver.settler.settle([Settlement(delivery, early_ack=True)]).verdicts[0].held
        driver.recovery.recover_dead_workers()
        assert driver.admin.queue_length("q") == 0
        # Asked again, because the answer was lost, it is the same worker's still.
        assert driver.settler.settle([Settlement(delivery, early_ack=True)]).verdicts[0].held
        assert driver.settler.settle([Settlement(delivery, fence="early_acked")]).verdicts[0].held
        assert not driver.settler.settle([Settlement(delivery, early_ack=True)]).verdicts[0].held

    def test_a_lease_that_went_back_cannot_be_acked_early(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.broker.release([delivery])
        assert not driver.settler.settle([Settlement(delivery, early_ack=True)]).verdicts[0].held

    def test_a_state_of_the_tasks_own_is_no_success(self, driver: Driver) -> None:
        results = driver.results
        assert results is not None
        own = b'{"status": "PROGRESS", "result": [{"status": "SUCCESS"}, {"status":"SUCCESS"}], "task_id": "t"}'
        end = b'{"status": "FAILURE", "result": null, "task_id": "t"}'
        for payload in (own, end):
            results.store([ResultWrite("t", payload, None, False)])
        (stored,) = results.get(["t"])
        # A store that divides records into columns may write their fields in another order.
        assert stored is not None and json.loads(stored).items() >= json.loads(end).items()

    def test_the_settlement_after_an_early_ack_happens_once(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery, early_ack=True)])
        after = Settlement(delivery, fence="early_acked", publishes=[self.publish("next")])
        held = [driver.settler.settle([after]).verdicts[0].held for _ in range(2)]
        assert held == [True, False]
        assert self.ids(self._lease(driver)) == ["next"]

    def test_a_worker_taken_for_dead_still_settles_early_acked_messages(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery, early_ack=True)])
        driver.recovery.recover_worker("w1")
        after = Settlement(delivery, fence="early_acked", publishes=[self.publish("next")])
        assert driver.settler.settle([after]).verdicts[0].held
        assert self.ids(self._lease(driver)) == ["next"]

    def test_orphans_of_a_dead_worker_are_settled_by_others(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery, early_ack=True)])
        assert driver.recovery.claim_orphans() == []
        assert driver.recovery.leased_message(delivery.tag) == delivery.payload
        driver.recovery.recover_worker("w1")
        (orphan,) = driver.recovery.claim_orphans()
        assert (orphan.delivery.tag, orphan.delivery.payload, orphan.reason) == (delivery.tag, delivery.payload, "")
        assert driver.recovery.claim_orphans() == []
        after = Settlement(orphan.delivery, fence="early_acked", publishes=[self.publish("next")])
        assert [driver.settler.settle([after]).verdicts[0].held for _ in range(2)] == [True, False]

    def test_an_orphaned_lease_does_not_run_again(self, driver: Driver) -> None:
        delivery = self._one(driver)
        assert driver.recovery.orphan_lease(delivery.tag, "terminated")
        assert driver.recovery.recover_worker("w1") == 0
        assert self._lease(driver, worker="w2") == []
        assert driver.admin.queue_length("q") == 0
        (orphan,) = driver.recovery.claim_orphans()
        assert (orphan.delivery.payload, orphan.reason) == (delivery.payload, "terminated")
        assert driver.settler.settle([Settlement(orphan.delivery, fence="early_acked")]).verdicts[0].held
        assert not driver.recovery.orphan_lease(delivery.tag, "again")

    def test_without_a_fence_it_happens_anyway(self, driver: Driver) -> None:
        delivery = self._one(driver)
        driver.settler.settle([Settlement(delivery)])
        assert (
            driver.settler.settle([Settlement(delivery, fence="none", publishes=[self.publish("n")])]).verdicts[0].held
        )
        assert self.ids(self._lease(driver)) == ["n"]

    def test_settling_and_leasing_in_one_exchange(self, driver: Driver) -> None:
        first = Settlement(self._one(driver, task_id="first"), publishes=[self.publish("second")])
        settled = driver.settler.settle([first], Lease("w1", ("q",), 5))
        assert settled.verdicts[0].held
        assert self.ids(settled.deliveries) == ["second"]

    def test_requeue_goes_to_the_end_marked_redelivered(self, driver: Driver) -> None:
        delivery = self._one(driver, task_id="again")
        driver.broker.publish([self.publish("other")])
        driver.settler.settle([Settlement(delivery, disposal="requeue")])
        first, second = self._lease(driver)
        assert self.ids([first, second]) == ["other", "again"]
        assert driver.broker.codec.headers_of(second.payload)["redelivered"] is True

    def test_dead_letters_keep_bytes_and_reason(self, driver: Driver) -> None:
        for reason in ("one", "two"):
            delivery = self._one(driver)
            driver.settler.settle([Settlement(delivery, disposal="dead_letter", reason=reason)])
        letters = driver.admin.dead_letters("q")
        assert [letter.reason for letter in letters] == ["one", "two"]
        assert letters[1].payload == delivery.payload
        assert abs(letters[1].time - time.time()) < 60
        assert driver.admin.queue_length("q") == 0

    def test_a_batch_settles_each_by_itself(self, driver: Driver) -> None:
        driver.broker.publish([self.publish(str(n)) for n in range(3)])
        held = self._lease(driver)
        driver.settler.settle([Settlement(held[1])])
        batch = [Settlement(d, stores=[ResultWrite(d.tag, b"x", 60, True)]) for d in held]
        assert [v.held for v in driver.settler.settle(batch).verdicts] == [True, False, True]
        stored = self._results(driver).get([d.tag for d in held])
        assert [record is not None for record in stored] == [True, False, True]

    def test_empty_calls(self, driver: Driver) -> None:
        driver.broker.publish([])
        assert driver.settler.settle([]).verdicts == []
        assert driver.broker.release([]) == 0
        assert self._results(driver).get([]) == []
        self._results(driver).store([])
