"""The driver that tests of this folder use, unless they make another."""

import pytest

from canvas.drivers import open_driver


@pytest.fixture
def driver(redis_url, result_url):
    driver = open_driver(redis_url, result_url)
    yield driver
    driver.broker.close()
    driver.results.close()
