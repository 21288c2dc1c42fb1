"""The contract of drivers for messages in RabbitMQ whose state is in SQL: no Redis server anywhere."""

import pytest
from sqlalchemy import event

from canvas.drivers import open_driver
from canvas.drivers.ports.values import Lease
from canvas.model.settlement import ResultWrite, Settlement
from canvas.testing.contract import (
    AdminContract,
    BrokerContract,
    ChordStoreContract,
    CoordinationContract,
    MailboxContract,
    RecoveryContract,
    ResultStoreContract,
    RunRecordsContract,
    ScheduleStoreContract,
    SettlerContract,
    publish,
)
from tests.sql.test_sql_contract import UNSYNCED
from tests.support.rabbit_contract import OnRabbitMQ, delete_delays, purge


class OfState(
    OnRabbitMQ, BrokerContract, AdminContract, CoordinationContract, RecoveryContract, ScheduleStoreContract,
    SettlerContract,
):  # fmt: skip
    """The parts that depend on the state."""


class OfStores(ResultStoreContract, ChordStoreContract, RunRecordsContract, MailboxContract):
    """The parts that depend on the store."""

    every_state = False
    many = 802


def opened(rabbitmq, url, **options):
    """A driver that many tests use one after the other."""
    driver = open_driver(rabbitmq.url(), url, result_options=UNSYNCED if "sqlite" in url else {}, **options)
    yield driver
    driver.close()


def emptied(driver):
    """The driver, without what the test before has left."""
    broker = driver.broker
    for worker in list(broker.sessions):
        broker.drop_session(worker)
    delete_delays(driver)
    purge(driver)
    for database in {id(one): one for one in databases(driver)}.values():
        database.call(lambda connection, tables=database.tables: delete_rows(connection, tables))
    return driver


def databases(driver):
    """The databases of its results and of its state."""
    found = [driver.broker.state.messages.database]
    return [driver.results.database, *found] if hasattr(driver.results, "database") else found


def delete_rows(connection, tables):
    for table in tables.metadata.sorted_tables:
        if table is not tables.layout:
            connection.execute(table.delete())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("databases")


@pytest.fixture(scope="module")
def on_sqlite(rabbitmq, folder):
    yield from opened(rabbitmq, f"db+sqlite:///{folder}/state.db")


@pytest.fixture(scope="module")
def on_postgres(rabbitmq, database_url):
    yield from opened(rabbitmq, database_url)


@pytest.fixture(scope="module")
def in_two_databases(rabbitmq, folder, postgres):
    yield from opened(rabbitmq, f"db+sqlite:///{folder}/results.db", state_url=postgres.new_database())


@pytest.fixture(scope="module")
def beside_redis(rabbitmq, folder, redis_server):
    yield from opened(rabbitmq, redis_server.url(1), state_url=f"db+sqlite:///{folder}/beside.db")


class TestSqlite(OfState, ChordStoreContract):
    @pytest.fixture
    def driver(self, on_sqlite):
        return emptied(on_sqlite)


def test_transactions_of_a_settlement(on_sqlite):
    """What the page on arrangements says: with a message to send, and without."""
    driver, commits = emptied(on_sqlite), []
    note = commits.append
    engines = {id(one): one._ready() for one in databases(driver)}
    for engine in engines.values():
        event.listen(engine, "commit", note)
    driver.broker.publish([publish(str(number), "q1") for number in range(3)])
    lease, found = Lease("w", ("q1",), 1), []
    held = driver.broker.lease(lease)
    for sent in ([publish("next", "q1")], []):
        commits.clear()
        stores = [ResultWrite("task", b'{"status":"SUCCESS","result":1}', 60, True)]
        held = driver.settler.settle([Settlement(held[0], stores=stores, publishes=sent)], lease).deliveries
        found.append(len(commits))
    for engine in engines.values():
        event.remove(engine, "commit", note)
    assert found == [3, 2]


class TestPostgres(CoordinationContract, RecoveryContract):
    @pytest.fixture
    def driver(self, on_postgres):
        return emptied(on_postgres)


@pytest.mark.slow
class TestAllOfPostgres(OfState, OfStores):
    @pytest.fixture
    def driver(self, on_postgres):
        return emptied(on_postgres)


@pytest.mark.slow
class TestStateInPostgresAndResultsInSqlite(OfState, OfStores):
    """Settlements in two steps."""

    @pytest.fixture
    def driver(self, in_two_databases):
        return emptied(in_two_databases)


class TestStateInSqliteAndResultsInRedis(ScheduleStoreContract, ChordStoreContract):
    """Settlements in two steps."""

    @pytest.fixture
    def driver(self, beside_redis, redis_url):
        return emptied(beside_redis)
