"""The driver contract for messages in RabbitMQ, with state and results in Redis."""

import pytest

from canvas.drivers import open_driver
from canvas.testing.contract import DriverContract
from tests.support.rabbit_contract import OnRabbitMQ, delete_delays, purge


@pytest.fixture(scope="module")
def vhost(rabbitmq):
    return rabbitmq.url()


@pytest.fixture
def driver(vhost, redis_server, redis_url):
    driver = open_driver(vhost, redis_url)
    purge(driver)
    yield driver
    delete_delays(driver)
    driver.close()


class TestRabbitMQ(OnRabbitMQ, DriverContract):
    """One server for results and for the state of messages."""

    def test_broadcasts_that_no_queue_takes_are_not_reported(self, driver, caplog):
        driver.bus.broadcast("celeryev", self.envelope("event"), "worker.online")
        driver.bus.broadcast("celery.pidbox", self.envelope("command"))
        assert caplog.messages == []
