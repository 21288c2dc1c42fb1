"""The driver contract for messages in RabbitMQ, with state and results in Redis."""

import pytest

from canvas.drivers import open_driver
from canvas.model.queue import Queue
from canvas.testing.contract import DriverContract


@pytest.fixture(scope="module")
def vhost(rabbitmq):
    return rabbitmq.url()


@pytest.fixture
def driver(vhost, redis_url):
    driver = open_driver(vhost, redis_url)
    for queue in ("q", "q1", "q2", "other", "one", "two", "all", "videos"):
        driver.admin.purge(queue)
    yield driver
    driver.close()


class TestRabbitMQ(DriverContract):
    """One server for results and for the state of messages."""

    def test_priority_steps_come_before_queues(self, driver):
        """RabbitMQ serves a queue's highest number first, if the queue has priorities, and each queue alone."""
        ranked = Queue("ranked", arguments={"x-max-priority": 10})
        driver.broker.declare([ranked])
        sent = [self.publish(name, "ranked", priority) for name, priority in (("low", 0), ("high", 9), ("mid", 4))]
        driver.broker.publish([*sent, self.publish("other", "q2", 9)])
        assert self.ids(self._lease(driver, 10, "q2", "ranked")) == ["other", "high", "mid", "low"]
