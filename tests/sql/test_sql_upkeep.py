"""Tables, their upgrade, the nightly clean-up, announcements; databases that are not as they should be."""

import asyncio
import subprocess
import threading
import time

import pytest
from celery import Celery
from celery.app.task import Context
from sqlalchemy import create_engine, inspect, text

from canvas import Canvas
from canvas.beat.service import Service
from canvas.drivers import open_driver, polling
from canvas.errors import BrokerError, ConfigurationError, OperationalError
from canvas.model.settlement import ResultWrite
from canvas.testing.contract import eventually
from tests.worker.commands import invoked


@pytest.fixture
def app(url):
    with Canvas("own", broker="memory://upkeep", backend=url, set_as_current=False) as app:
        yield app


def execute(url, *statements):
    engine = create_engine(url[3:])
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def columns(url, table):
    engine = create_engine(url[3:])
    found = {column["name"] for column in inspect(engine).get_columns(table)}
    engine.dispose()
    return found


def test_tables_are_made_and_upgraded_by_commands(app, url):
    app.conf.database_create_tables_at_setup = False
    with pytest.raises(BrokerError, match="canvas db upgrade"):
        app.backend.store_result("a", 1, "SUCCESS")
    assert "made celery_taskmeta\n" in invoked(app, "db", "create").stdout
    assert invoked(app, "db", "create").stdout == "All tables are there.\n"
    execute(url, "ALTER TABLE celery_taskmeta DROP COLUMN stamps")  # as an earlier version of Celery made it
    assert invoked(app, "db", "upgrade").stdout == "The tables are up to date.\n"
    app.backend.store_result("a", 1, "SUCCESS")
    app.conf.result_extended = True
    with pytest.raises(BrokerError, match="canvas db upgrade"):
        app.backend.store_result("a", 1, "SUCCESS")
    assert "made celery_taskmeta.stamps\n" in invoked(app, "db", "upgrade").stdout
    app.backend.store_result("a", 1, "SUCCESS")
    assert {"args", "stamps"} <= columns(url, "celery_taskmeta")
    assert invoked(app, "db", "upgrade").stdout == "The tables are up to date.\n"


def test_a_client_without_extended_results_makes_tables_for_a_worker_with_them(app, url):
    app.backend.store_result("plain", 1, "SUCCESS")
    request = Context(task="task", args=[1], kwargs={}, children=[])
    with Canvas("own", broker="memory://", backend=url, set_as_current=False, result_extended=True) as extended:
        extended.backend.store_result("own", 1, "SUCCESS", request=request)
        other = Celery("other", broker="memory://", backend=url, set_as_current=False, result_extended=True)
        other.backend.store_result("other", 1, "SUCCESS", request=request)
        assert [extended.AsyncResult(task_id).name for task_id in ("plain", "own", "other")] == [None, "task", "task"]
    assert [app.AsyncResult(task_id).get(timeout=5) for task_id in ("plain", "own", "other")] == [1, 1, 1]


def test_tables_of_celery_are_used_as_they_are(app, url):
    """Celery has made its tables, in an earlier version without children."""
    other = Celery("other", broker="memory://", backend=url, set_as_current=False)
    other.backend.store_result("a", 1, "SUCCESS")
    assert app.AsyncResult("a").get(timeout=5) == 1
    execute(url, "ALTER TABLE celery_taskmeta DROP COLUMN children")
    with pytest.raises(BrokerError, match="children"):
        app.backend.store_result("b", 1, "SUCCESS")
    assert invoked(app, "db", "upgrade").stdout == "made celery_taskmeta.children\n"
    app.backend.store_result("b", 1, "SUCCESS")


def test_many_processes_make_the_tables_at_once(postgres_url):
    drivers = [open_driver("memory://", postgres_url) for _ in range(6)]
    threads = [threading.Thread(target=driver.results.get, args=[["a"]]) for driver in drivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, driver in enumerate(drivers):
        driver.results.store([ResultWrite("a", b"1", 60, number > 0)])
        driver.close()


def test_tables_of_a_later_version_are_refused(app, url):
    app.backend.store_result("a", 1, "SUCCESS")
    execute(url, "INSERT INTO canvas_layout (version) VALUES (99)")
    app.driver.close()
    with pytest.raises(ConfigurationError, match="layout 99"):
        app.backend.store_result("a", 1, "SUCCESS")


def test_other_names_and_commands_without_tables(sqlite_url):
    with Canvas("own", broker="memory://", backend=sqlite_url, set_as_current=False) as app:
        app.conf.database_table_names = {"task": "results", "group": "groups"}
        app.backend.store_result("a", 1, "SUCCESS")
        assert "status" in columns(sqlite_url, "results")
    with Canvas("own", broker="memory://", backend="memory://", set_as_current=False) as app:
        assert "set result_backend to a db+ URL" in invoked(app, "db", "create", check=False).stderr


@pytest.mark.parametrize("name", ["celery.backend_cleanup", "canvas.backend_cleanup"])
def test_the_clean_up_deletes_what_has_expired(sqlite_url, name):
    with Canvas("own", broker="memory://", backend=sqlite_url, set_as_current=False, result_expires=1) as app:
        app.backend.store_result("old", 1, "SUCCESS")
        app.driver.results.store([ResultWrite("of a run", b"x", 3600, True)])
        eventually(lambda: app.tasks[name]() or app.AsyncResult("old").state == "PENDING")
        assert app.driver.results.get(["of a run"]) == [b"x"]


def test_beat_has_celerys_entry_where_results_do_not_expire(sqlite_url):
    for backend, expires, expected in ((sqlite_url, 60, True), (sqlite_url, None, False), ("memory://", 60, False)):
        with Canvas("own", broker="memory://", backend=backend, set_as_current=False, result_expires=expires) as app:
            service = Service(app)
            service.tick()
            entries = {entry.name for entry in app.schedule.list()}
            assert ("celery.backend_cleanup" in entries) is expected
            assert app.backend.supports_autoexpire is (backend == "memory://")


def _read_never(monkeypatch):
    """Have watches read when they are opened, and when they are woken."""
    for name in ("_FIRST", "_MOST"):
        monkeypatch.setattr(polling, name, 60.0)


def test_a_watch_is_woken_by_an_announcement(postgres_url, monkeypatch):
    _read_never(monkeypatch)
    driver, other = (open_driver("memory://", postgres_url) for _ in range(2))
    names = [f"{'long' * 30}{number}" for number in range(400)]

    def stored(*task_ids):
        storing = threading.Timer(0.1, other.results.store, [[ResultWrite(one, b"1", 60, True) for one in task_ids]])
        storing.start()
        return storing

    with driver.results.watch(["a", *names]) as watch:
        assert watch.next(2) is None  # by now the process listens
        storing, before = stored("a"), time.monotonic()
        assert watch.next(20) == ("a", b"1")
        assert time.monotonic() - before < 10
        storing.join()
        storing = stored(*names)
        assert {watch.next(20)[0] for _ in names} == set(names)
        storing.join()
    driver.close()
    other.close()
    eventually(lambda: not any(thread.name == "canvas-sql-listener" for thread in threading.enumerate()))


async def test_a_coroutine_is_woken_by_an_announcement(postgres_url, monkeypatch):
    _read_never(monkeypatch)
    driver, other = (open_driver("memory://", postgres_url) for _ in range(2))
    async with driver.results.awatch(["a"]) as watch:
        assert await watch.next(2) is None
        found, before = asyncio.create_task(watch.next(20)), time.monotonic()
        await asyncio.to_thread(other.results.store, [ResultWrite("a", b"1", 60, True)])
        assert await found == ("a", b"1")
        assert time.monotonic() - before < 10
    driver.close()
    other.close()


def test_a_watch_goes_on_after_the_server_was_away(postgres, postgres_url):
    driver = open_driver("memory://", postgres_url)
    with driver.results.watch(["a"]) as watch:
        assert watch.next(0.2) is None
        postgres.stop()
        with pytest.raises(OperationalError, match="database"):
            watch.next(20)
        postgres.start()
        driver.results.store([ResultWrite("a", b"1", 60, True)])
        assert watch.next(10) == ("a", b"1")
    driver.close()


def test_a_deadlock_is_tried_again(postgres_url):
    """Another program locks the same rows in the other order."""
    driver = open_driver("memory://", postgres_url)
    driver.results.store([ResultWrite(name, b"1", 60, False) for name in "ab"])
    engine = create_engine(postgres_url[3:], isolation_level="READ COMMITTED")
    lock = text("SELECT 1 FROM celery_taskmeta WHERE task_id = :id FOR UPDATE")
    with engine.begin() as connection:
        connection.execute(lock, {"id": "b"})
        storing = threading.Thread(
            target=driver.results.store, args=[[ResultWrite(name, b"2", 60, True) for name in "ab"]]
        )
        storing.start()
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with engine.connect() as looking:
            eventually(lambda: looking.execute(waits).scalar())
        connection.execute(text("SET LOCAL deadlock_timeout = '10s'"))
        connection.execute(lock, {"id": "a"})
    storing.join()
    assert driver.results.get(["a", "b"]) == [b"2", b"2"]
    engine.dispose()
    driver.close()


def test_a_full_disk_is_reported(tmp_path):
    """An OperationalError, which a worker tries again until there is room."""
    path = tmp_path / "results.db"
    driver = open_driver("memory://", f"db+sqlite:///{path}")
    driver.results.store([ResultWrite("a", b"1", 60, True)])
    driver.close()
    size = subprocess.run(["stat", "-c", "%s", path], capture_output=True, text=True, check=True).stdout
    pages = int(size) // 4096
    options = {"database_engine_callback": lambda engine: _limit(engine, pages)}
    driver = open_driver("memory://", f"db+sqlite:///{path}", result_options=options)
    with pytest.raises(OperationalError, match="full"):
        driver.results.store([ResultWrite("b", b"1" * 10_000_000, 60, True)])
    assert driver.results.get(["a", "b"]) == [b"1", None]
    driver.close()


def _limit(engine, pages):
    from sqlalchemy import event

    event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages}"))


@pytest.mark.parametrize(
    ("fault", "over", "said"),
    [
        ("default_transaction_read_only = on", "default_transaction_read_only", "in a read-only transaction"),
        ("statement_timeout = '1ms'", "statement_timeout", "due to statement timeout"),
    ],
    ids=["read-only", "statement timeout"],
)
def test_a_database_that_takes_nothing_is_tried_again(postgres_url, fault, over, said):
    name = postgres_url.partition("@/")[2].partition("?")[0]
    close = (
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    body = "BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END"
    with Canvas("own", broker="memory://takes-nothing", backend=postgres_url, set_as_current=False) as app:
        app.backend.store_result("a", 1, "SUCCESS")
        execute(
            postgres_url, f"CREATE OR REPLACE FUNCTION slow() RETURNS trigger AS '{body}' LANGUAGE plpgsql",
            "CREATE TRIGGER slow BEFORE INSERT ON celery_taskmeta FOR EACH ROW EXECUTE FUNCTION slow()",
            f"ALTER DATABASE {name} SET {fault}", close,
        )  # fmt: skip
        try:
            with pytest.raises(OperationalError, match=said):
                app.backend.store_result("b", 2, "SUCCESS")
            storing = threading.Thread(target=app.backend.store_result, args=("c", 3, "SUCCESS"))
            storing.start()
        finally:
            free = {"options": "-c statement_timeout=0 -c default_transaction_read_only=off"}
            engine = create_engine(postgres_url[3:], isolation_level="AUTOCOMMIT", connect_args=free)
            with engine.begin() as connection:
                connection.execute(text(f"ALTER DATABASE {name} RESET {over}"))
                connection.execute(text(close))
            engine.dispose()
        storing.join(20)
        assert app.AsyncResult("c").get(timeout=5) == 3


def test_a_database_that_has_no_encoding_keeps_text(postgres):
    url = postgres.new_database("ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with Canvas("ascii", broker="memory://", backend=url, set_as_current=False, result_extended=True) as app:
        app.backend.store_result("a", "é 茶", "SUCCESS")
        assert app.AsyncResult("a").get(timeout=10) == "é 茶"
