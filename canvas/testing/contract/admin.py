"""Dead letters, queue lengths, delayed messages: the contract of the Admin port."""

from canvas.drivers.ports import Driver
from canvas.model.settlement import (
    Settlement,
)
from canvas.testing.contract.support import ContractSupport


class AdminContract(ContractSupport):
    """Dead letters, queue lengths, delayed messages: the contract of the Admin port."""

    def test_dead_letters_are_requeued_or_deleted_once(self, driver: Driver) -> None:
        for name in ("a", "b"):
            delivery = self._one(driver, task_id=name)
            driver.settler.settle([Settlement(delivery, disposal="dead_letter", reason=f"no {name}")])
        assert driver.admin.dead_letter_count("q") == 2
        assert driver.admin.find_queues() in ([], ["q"])
        first, second = driver.admin.dead_letters("q")
        assert (first.reason, second.reason) == ("no a", "no b")
        assert [driver.admin.requeue_dead_letter("q", first, first.payload) for _ in range(2)] == [True, False]
        assert self.ids(self._lease(driver)) == ["a"]
        assert [driver.admin.delete_dead_letter("q", second) for _ in range(2)] == [True, False]
        assert driver.admin.dead_letters("q") == []
        assert driver.admin.dead_letter_count("q") == 0
        assert driver.admin.queue_length("q") == 0

    def test_queues_with_messages_are_found_where_the_broker_lists_them(self, driver: Driver) -> None:
        assert driver.admin.find_queues() == []
        driver.broker.publish([self.publish("a"), self.publish("b", queue="other")])
        assert driver.admin.find_queues() in ([], ["other", "q"])

    def test_the_next_messages_are_shown_and_stay(self, driver: Driver) -> None:
        assert driver.admin.next_messages("q") == []
        driver.broker.publish([self.publish("a"), self.publish("b")])
        shown = driver.admin.next_messages("q")
        assert shown == [] or self.same(shown[0], self.envelope("a"))
        assert driver.admin.queue_length("q") == 2
