"""Messages that no worker could run."""

from canvas.drivers.ports import Driver
from canvas.model.settlement import (
    Settlement,
)
from canvas.testing.contract.support import ContractSupport, ids


class DeadLettersContract(ContractSupport):
    """Messages that no worker could run."""

    def test_dead_letters_are_revived_or_dropped_once(self, driver: Driver) -> None:
        for name in ("a", "b"):
            delivery = self._one(driver, task_id=name)
            driver.settler.settle([Settlement(delivery, disposal="dead_letter", reason=f"no {name}")])
        assert driver.broker.dead_letter_count("q") == 2
        first, second = driver.broker.dead_letters("q")
        assert (first.reason, second.reason) == ("no a", "no b")
        assert [driver.broker.requeue_dead_letter("q", first, first.payload) for _ in range(2)] == [True, False]
        assert ids(self._lease(driver)) == ["a"]
        assert [driver.broker.delete_dead_letter("q", second) for _ in range(2)] == [True, False]
        assert driver.broker.dead_letters("q") == []
        assert driver.broker.dead_letter_count("q") == 0
        assert driver.broker.queue_length("q") == 0
