"""The contracts of result stores and of the state of messages in MariaDB, workers on it, and records of Celery's."""

import pytest
from sqlalchemy import MetaData, create_engine

from canvas import chord
from canvas.drivers import open_driver
from canvas.errors import BrokerError, RefusedError
from canvas.model.settlement import ResultWrite
from canvas.testing.contract import ChordStoreContract, MailboxContract, ResultStoreContract, RunRecordsContract
from canvas.testing.worker import start_worker
from tests.chaos.storm import Storm
from tests.chaos.test_kills import KILLS
from tests.chaos.verdict import CALM, values_of
from tests.chaos.workload import assert_ran_once, workload
from tests.sql.test_sql_state_contract import OfState, emptied, opened
from tests.support.apps import make
from tests.support.mariadb import MariaDBServer
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer
from tests.support.seeds import seeds
from tests.support.sql_bench import SqlBench, assert_nothing_is_left
from tests.worker.commands import invoked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mariadb():
    with MariaDBServer() as server:
        yield server


@pytest.fixture(scope="module")
def database(mariadb):
    return mariadb.new_database("mysql")


@pytest.fixture
def url(database):
    yield database
    engine = create_engine(database[3:].replace("://", "+pymysql://", 1))
    with engine.begin() as connection:
        tables = MetaData()
        tables.reflect(connection)
        tables.drop_all(connection)
    engine.dispose()


class TestMariaDB(ResultStoreContract, ChordStoreContract, RunRecordsContract, MailboxContract):
    every_state = False
    many = 802

    @pytest.fixture
    def driver(self, url):
        driver = open_driver("memory://mariadb", url)
        yield driver
        driver.broker.release_prefetched("w1")
        driver.close()


@pytest.fixture(scope="module")
def with_state(rabbitmq, mariadb):
    yield from opened(rabbitmq, mariadb.new_database("mysql"))


class TestStateInMariaDB(OfState):
    @pytest.fixture
    def driver(self, with_state):
        return emptied(with_state)


@pytest.mark.random
@pytest.mark.timeout(300 + CALM)
@pytest.mark.parametrize("seed", seeds(1))
def test_workers_whose_state_is_there_are_killed(rabbitmq, mariadb, seed):
    with RedisServer() as ledger:
        bench = SqlBench(rabbitmq.url(), mariadb.new_database("mysql+pymysql"), ledger)
        key, rounds = bench.new_key(), 12
        with bench.client() as app:
            with Storm(bench, seed, KILLS, 0.3) as storm:
                sent = workload(app, key, rounds)
                values = values_of(sent, bench, key, storm, 150)
            assert values == [value for _, value in sent]
            assert_ran_once(bench, key, rounds, storm.killed)
            assert_nothing_is_left(bench, app)
        bench.close()


def test_each_library_reads_what_the_other_keeps(redis_url, url):
    ours = make("canvas", redis_url, url)
    theirs = make("celery", redis_url, url.replace("://", "+pymysql://", 1))
    ours.backend.store_result("a", {"of": "canvas \N{SNOWMAN}"}, "SUCCESS")
    theirs.backend.store_result("b", ValueError("of celery"), "FAILURE")
    assert theirs.AsyncResult("a").get(timeout=5) == {"of": "canvas \N{SNOWMAN}"}
    assert repr(ours.AsyncResult("b").result) == "ValueError('of celery')"
    ours.backend.store_result("a", None, "FAILURE")
    assert ours.AsyncResult("a").state == "SUCCESS"
    ours.close()
    theirs.close()


def test_composites_and_workflows_have_their_values(redis_url, url):
    app = make("canvas", redis_url, url)
    add, tsum = app.tasks["t.add"], app.tasks["t.tsum"]
    with WorkerProcess("canvas", redis_url, url, "-P", "threads", "-c", "4"):
        wide = chord([add.s(n, n) for n in range(60)], tsum.s()).delay()
        flow = app.Workflow("sums")
        first = flow.add(add.s(1, 2), name="first")
        left, right = (flow.add(add.s(first, n), name=f"next {n}") for n in (10, 20))
        flow.add(add.s(left, right), name="last")
        assert flow.delay().get(timeout=30) == 36
        assert wide.get(timeout=30) == 60 * 59
    app.close()


def test_the_other_name_of_its_urls(mariadb):
    driver = open_driver("memory://", mariadb.new_database("mariadb"))
    driver.results.store([ResultWrite("a", b"1", 60, True)])
    assert driver.results.get(["a"]) == [b"1"]
    driver.close()


def test_what_it_does_not_take_is_refused(url):
    driver = open_driver("memory://", url)
    with pytest.raises(RefusedError, match="too long"):
        driver.results.store([ResultWrite("x" * 200, b"1", 60, True)])
    driver.close()
    driver = open_driver("memory://", url, result_options={"database_create_tables_at_setup": False})
    engine = create_engine(url[3:].replace("://", "+pymysql://", 1))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE celery_taskmeta")
    with pytest.raises(BrokerError, match="`canvas db upgrade` makes missing tables"):
        driver.results.get(["a"])
    engine.dispose()
    driver.close()


@pytest.fixture(params=["STRICT_TRANS_TABLES", ""])
def mode(request, mariadb):
    """Servers that refuse values which are too large for their column, and servers that cut them off."""
    mariadb.run(f"SET GLOBAL sql_mode = '{request.param}'")
    mariadb.run("SET GLOBAL max_allowed_packet = 1048576")
    yield
    mariadb.run("SET GLOBAL sql_mode = DEFAULT")
    mariadb.run("SET GLOBAL max_allowed_packet = DEFAULT")


def test_values_that_are_too_large_end_their_task_in_failure(redis_url, url, mode):
    """For a column of Celery's, and for a packet; other tasks of the same worker end as ever."""
    theirs = make("celery", redis_url, url.replace("://", "+pymysql://", 1), result_extended=True)
    theirs.backend.store_result("made", 1, "SUCCESS")
    app = make("canvas", redis_url, url, result_extended=True)

    @app.task(name="large")
    def large(kind, size, given=None):
        if kind == "error":
            raise ValueError("x" * size)
        return "x" * size

    with start_worker(app, perform_ping_check=False):
        for call in (("value", 70_000), ("error", 70_000), ("value", 1, "x" * 70_000)):
            with pytest.raises(
                BrokerError, match=r"too long.*`canvas db upgrade` lets the columns that Celery made hold"
            ):
                large.delay(*call).get(timeout=20)
        assert "made celery_taskmeta.result\n" in invoked(app, "db", "upgrade").stdout
        assert invoked(app, "db", "upgrade").stdout == "The tables are up to date.\n"
        sent = [large.delay("value", 70_000) for _ in range(3)]
        for kind in ("value", "error"):
            with pytest.raises(BrokerError, match="larger than max_allowed_packet, 1048576"):
                large.delay(kind, 1_100_000).get(timeout=20)
        assert [one.get(timeout=20) for one in sent] == ["x" * 70_000] * 3
        assert theirs.AsyncResult(sent[0].id).get(timeout=20) == "x" * 70_000
    app.close()
    theirs.close()
