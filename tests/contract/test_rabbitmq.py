"""The driver contract for messages in RabbitMQ, with state and results in Redis."""

import time

import amqp
import pytest

from canvas.drivers import open_driver
from canvas.drivers.amqp.url import parse
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, Settlement
from canvas.testing.contract import DriverContract, eventually


@pytest.fixture(scope="module")
def vhost(rabbitmq):
    return rabbitmq.url()


@pytest.fixture
def driver(vhost, redis_server, redis_url):
    driver = open_driver(vhost, redis_url)
    for queue in ("q", "q1", "q2", "other", "one", "two", "all", "videos"):
        driver.admin.purge(queue)
    yield driver
    delete_delays(driver, vhost)
    driver.close()


def delete_delays(driver, vhost):
    """Delete the delayed messages of a test."""
    (address,) = parse(vhost, {})
    with amqp.Connection(f"{address.host}:{address.port}", virtual_host=address.vhost) as connection:
        for name in driver.broker.state.messages.delay_queues():
            connection.channel().queue_delete(name)


class TestRabbitMQ(DriverContract):
    """One server for results and for the state of messages."""

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
        assert 2.3 <= time.time() - now < 5
        assert self.same(soon.payload, sent.payload)
        assert driver.admin.in_flight()[:2] == (2, 1)
        (later,) = driver.admin.scheduled(10)
        assert (later.due, later.queue) == (pytest.approx(now + 60), "q")

    def test_promote_moves_no_more_than_asked(self, driver):
        """Of deferred messages that are due already, none waits."""
        deferrals = [DelayedPublish(1.0 + n, self.publish(str(n))) for n in range(3)]
        driver.settler.settle([Settlement(None, deferrals=deferrals)])
        assert driver.broker.next_due() is None
        assert self.ids(self._lease(driver)) == ["0", "1", "2"]
