"""When a process asks, before a task starts, whether its message is still leased, and what it then does."""

import time

import pytest
import time_machine

from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.testing.contract import publish
from canvas.worker.consumer.maintenance import renew
from canvas.worker.monitoring.lease_check import LeaseCheck
from canvas.worker.monitoring.shared_memory import SharedMemory

TTL = 30.0


class Process:
    """A process over queues in memory; its heartbeats are sent by hand."""

    def __init__(self):
        self.driver = open_driver("memory://", None)
        self._row = SharedMemory().open_row()
        self.check = LeaseCheck(self.driver.recovery, self._row, self.beat, lambda call: call())
        self.beat()

    def beat(self):
        self._row.renew(renew(self.driver.recovery, "w", ["q"], TTL)[1])

    def lease(self):
        self.driver.broker.publish([publish("a", "q")])
        (delivery,) = self.driver.broker.lease(Lease("w", ("q",), 1))
        return delivery


@pytest.fixture
def process():
    process = Process()
    yield process
    process.driver.close()


def test_nothing_is_in_doubt_while_heartbeats_are_in_time(process):
    delivery = process.lease()
    assert not process.check.in_doubt(delivery)
    process.beat()
    assert not process.check.in_doubt(delivery)


def test_a_clock_that_leaps_has_each_held_message_asked_for_once(process):
    """A machine that was suspended looks like that: only the time of day goes on meanwhile."""
    delivery = process.lease()
    with time_machine.travel(time.time() + 3600):
        assert process.check.in_doubt(delivery)
        assert not process.check.is_lost(delivery, False)
        assert not process.check.in_doubt(process.lease())
    # Back again: the time of day is far from the end that it has in the row.
    assert not process.check.in_doubt(process.lease())


def test_a_clock_that_goes_back_puts_nothing_in_doubt(process):
    delivery = process.lease()
    with time_machine.travel(time.time() - 3600):
        assert not process.check.in_doubt(delivery)
        process.beat()
        assert not process.check.in_doubt(delivery)


def test_a_heartbeat_that_was_late_leaves_what_was_leased_before_it_in_doubt(process):
    """Whichever of a process's threads goes on first after it was stopped."""
    held, lost, early = process.lease(), process.lease(), process.lease()
    with time_machine.travel(time.time() + 3600):
        process.beat()
        assert process.check.in_doubt(held)
    process.driver.broker.release([lost])
    assert not process.check.is_lost(held, False)
    assert process.check.is_lost(lost, False)
    assert process.check.is_lost(early, True)


def test_a_broker_that_had_forgotten_the_process_may_have_returned_its_messages(process):
    delivery = process.lease()
    process.driver.recovery.recover_worker("w")
    process.beat()
    assert process.check.in_doubt(delivery)
    assert process.check.is_lost(delivery, False)
    assert not process.check.in_doubt(process.lease())


def test_a_process_that_is_to_end_starts_nothing_that_is_in_doubt(process):
    delivery = process.lease()
    ends = LeaseCheck(process.driver.recovery, SharedMemory().open_row(), process.beat, lambda call: None)
    assert ends.in_doubt(delivery)
    assert ends.is_lost(delivery, False)
