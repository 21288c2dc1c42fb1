"""The driver contract for messages in RabbitMQ, with state and results in Redis."""

import pytest

from canvas.drivers import open_driver
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
