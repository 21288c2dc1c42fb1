"""The contract of result stores, for Memcached, files and Django's cache."""

import uuid

import pytest

from canvas.drivers import open_driver
from canvas.testing.contract import ChordStoreContract, ResultStoreContract
from tests.support.memcached import MemcachedServer


class TestMemcached(ResultStoreContract, ChordStoreContract):
    every_state = False

    @pytest.fixture
    def driver(self, memcached_url):
        driver = open_driver(f"memory://{uuid.uuid4()}", memcached_url)
        yield driver
        driver.close()


@pytest.mark.slow
class TestTwoMemcachedServers(ResultStoreContract, ChordStoreContract):
    every_state = False

    @pytest.fixture(scope="class")
    def other(self):
        with MemcachedServer() as server:
            yield server

    @pytest.fixture
    def driver(self, memcached, other, memcached_url):
        other.flush()
        url = f"cache+memcached://127.0.0.1:{memcached.port};127.0.0.1:{other.port}/"
        driver = open_driver(f"memory://{uuid.uuid4()}", url)
        yield driver
        driver.close()


class TestFiles(ResultStoreContract):
    every_state = False

    @pytest.fixture
    def driver(self, file_url):
        driver = open_driver(f"memory://{uuid.uuid4()}", file_url, result_options={"expires": lambda: 60})
        yield driver
        driver.close()
