"""The driver contract on a Redis Cluster."""

import pytest

from canvas.drivers import open_driver
from canvas.testing.contract import CoordinationContract, DriverContract, RecoveryContract, SettlerContract


@pytest.fixture
def driver(cluster):
    driver = open_driver(cluster.url(), cluster.url())
    yield driver
    driver.close()


class TestSample(CoordinationContract, RecoveryContract, SettlerContract):
    """The parts whose steps are more than one script."""


@pytest.mark.slow
class TestWhole(DriverContract):
    def test_priority_steps_come_before_queues(self, driver):
        """Only of queues in one partition: here each queue is in one of its own, and its priorities hold in it."""
        sent = [self.publish("low", "q1", 9), self.publish("other", "q2", 0), self.publish("high", "q1", 0)]
        driver.broker.publish(sent)
        found = self.ids(self._lease(driver, 10, "q1", "q2"))
        assert sorted(found) == ["high", "low", "other"]
        assert found.index("high") < found.index("low")
