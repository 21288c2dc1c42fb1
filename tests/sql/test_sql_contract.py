"""The contract of drivers for results in SQL. The parts that a broker keeps have their tests with that broker."""

import shutil
import uuid

import pytest
from sqlalchemy import create_engine, event, text

from canvas.drivers import open_driver
from canvas.testing.contract import (
    ChordStoreContract,
    MailboxContract,
    ResultStoreContract,
    RunRecordsContract,
    ScheduleStoreContract,
    SettlerContract,
)


def _without_sync(engine):
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))


UNSYNCED = {"database_engine_callback": _without_sync}
"""No test has the machine fail: SQLite need not wait for the disk."""


def make_tables(url):
    driver = open_driver("memory://", url)
    driver.results.get(["any"])
    driver.close()


class _OfStores(ResultStoreContract, ChordStoreContract, RunRecordsContract, MailboxContract, SettlerContract):
    """The parts that depend on the store."""

    every_state = False
    many = 802


@pytest.fixture(scope="module")
def sqlite_tables(tmp_path_factory):
    """A file with empty tables, which is copied for each test."""
    path = tmp_path_factory.mktemp("tables") / "results.db"
    make_tables(f"db+sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_database(sqlite_tables, tmp_path):
    shutil.copy(sqlite_tables, tmp_path / "results.db")
    return f"db+sqlite:///{tmp_path}/results.db"


class TestMemoryAndSqlite(_OfStores, ScheduleStoreContract):
    @pytest.fixture
    def driver(self, sqlite_database):
        driver = open_driver(f"memory://{uuid.uuid4()}", sqlite_database, result_options=UNSYNCED)
        yield driver
        driver.close()


@pytest.fixture(scope="module")
def postgres_tables(database_url):
    """A database whose tables are made once, and the statement that empties them."""
    make_tables(database_url)
    engine = create_engine(database_url[3:])
    names = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'canvas_layout'")
    with engine.connect() as connection:
        tables = connection.execute(names).scalars().all()
    # Truncating files that are small already takes longer than this.
    empty = [text(f"DELETE FROM {table}") for table in tables]
    yield engine, empty
    engine.dispose()


class TestRedisAndPostgres(_OfStores):
    @pytest.fixture
    def driver(self, redis_url, database_url, postgres_tables):
        driver = open_driver(redis_url, database_url)
        yield driver
        driver.close()
        engine, empty = postgres_tables
        with engine.begin() as connection:
            for statement in empty:
                connection.execute(statement)


@pytest.mark.slow
class TestRedisAndSqlite(_OfStores):
    @pytest.fixture
    def driver(self, redis_url, sqlite_database):
        driver = open_driver(redis_url, sqlite_database, result_options=UNSYNCED)
        yield driver
        driver.close()
