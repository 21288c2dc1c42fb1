"""The driver contract as RabbitMQ keeps it, and how a test leaves its vhost."""

import time

import pytest

from canvas.drivers.amqp.channels.connecting import channel_of
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, Settlement
from canvas.testing.contract import eventually


def purge(driver):
    """Empty the queues of the contract."""
    for queue in ("q", "q1", "q2", "other", "one", "two", "all", "videos"):
        driver.admin.purge(queue)


def delete_delays(driver):
    """Delete the delayed messages of a test."""
    names = driver.broker.state.messages.delay_queues()
    if names:
        with channel_of(driver.broker.addresses, 30) as channel:
            for name in names:
                channel.queue_delete(name)


class OnRabbitMQ:
    """The parts of the contract that RabbitMQ keeps in a way of its own."""

    def _enqueue_due(self, driver, limit, count):
        """RabbitMQ moves them."""
        assert driver.broker.enqueue_due(limit) == 0

    def test_priority_steps_come_before_queues(self, driver):
        """RabbitMQ serves a queue's highest number first, if the queue has priorities, and each queue alone."""
        ranked = Queue("ranked", arguments={"x-max-priority": 10})
        driver.broker.declare([ranked])
        sent = [self.publish(name, "ranked", priority) for name, priority in (("low", 0), ("high", 9), ("mid", 4))]
        driver.broker.publish([*sent, self.publish("other", "q2", 9)])
        assert self.ids(self._lease(driver, 10, "q2", "ranked")) == ["other", "high", "mid", "low"]

    def test_a_deferred_message_comes_when_due(self, driver):
        """Not before, though the queues of delays return it earlier, and with the headers that it was sent with."""
        sent, now = self.publish("soon"), time.time()
        deferrals = [DelayedPublish(now + 2.3, sent), DelayedPublish(now + 60, self.publish("later"))]
        deferrals.append(DelayedPublish(now - 1, self.publish("due")))
        driver.settler.settle([Settlement(None, deferrals=deferrals)])
        assert self.ids(self._lease(driver)) == ["due"]
        (soon,) = eventually(lambda: self._lease(driver))
        assert 2.3 <= time.time() - now < 30
        assert self.same(soon.payload, sent.payload)
        assert driver.admin.in_flight()[:2] == (2, 1)
        (later,) = driver.admin.scheduled(10)
        assert (later.due, later.queue) == (pytest.approx(now + 60), "q")

    def test_enqueue_due_moves_no_more_than_asked(self, driver):
        """Of deferred messages that are due already, none waits."""
        deferrals = [DelayedPublish(1.0 + n, self.publish(str(n))) for n in range(3)]
        driver.settler.settle([Settlement(None, deferrals=deferrals)])
        assert driver.broker.next_due() is None
        assert self.ids(self._lease(driver)) == ["0", "1", "2"]
