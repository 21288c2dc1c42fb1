"""The contract of drivers for results in SQL, with each broker."""

import uuid

import pytest
from sqlalchemy import event

from canvas.drivers import open_driver
from canvas.testing.contract import (
    ChordStoreContract,
    DriverContract,
    MailboxContract,
    ResultStoreContract,
    RunRecordsContract,
    SettlerContract,
)


def _without_sync(engine):
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))


UNSYNCED = {"database_engine_callback": _without_sync}
"""No test has the machine fail: SQLite need not wait for the disk."""


class TestMemoryAndSqlite(DriverContract):
    every_state = False
    many = 802

    @pytest.fixture
    def driver(self, sqlite_url):
        driver = open_driver(f"memory://{uuid.uuid4()}", sqlite_url, result_options=UNSYNCED)
        yield driver
        driver.close()


class _OfStores(ResultStoreContract, ChordStoreContract, RunRecordsContract, MailboxContract, SettlerContract):
    """The parts that depend on the store."""

    every_state = False
    many = 802


class TestRedisAndPostgres(_OfStores):
    @pytest.fixture
    def driver(self, redis_url, postgres_url):
        driver = open_driver(redis_url, postgres_url)
        yield driver
        driver.close()


@pytest.mark.slow
class TestRedisAndSqlite(_OfStores):
    @pytest.fixture
    def driver(self, redis_url, sqlite_url):
        driver = open_driver(redis_url, sqlite_url, result_options=UNSYNCED)
        yield driver
        driver.close()
