"""Results in SQL: the contract of stores, and rows that Celery's backend writes and reads."""

import socket
import threading
import time
import uuid

import pytest
from celery import Celery, states
from celery.app.task import Context
from celery.result import AsyncResult, GroupResult
from sqlalchemy import create_engine, text

from canvas import Canvas
from canvas.drivers import open_driver
from canvas.drivers.record_columns import RecordColumns
from canvas.drivers.sql.celery_tables import CeleryTables
from canvas.drivers.sql.database import Database, sqlalchemy_url
from canvas.errors import BrokerError, ConfigurationError, DecodeError, OperationalError, RefusedError
from canvas.model.settlement import ResultWrite
from canvas.testing.contract import eventually
from tests.support.interrupted import interrupt
from tests.support.processes import WorkerProcess

TABLES = CeleryTables(RecordColumns("json", False), {}, {})


@pytest.fixture
def driver(url):
    opened = open_driver(f"memory://{uuid.uuid4()}", url)
    yield opened
    opened.close()


def test_cleanup_deletes_what_is_old(driver):
    driver.results.store([ResultWrite("a", b"x", None, True)])
    driver.results.save_group("g", b'{"result": [["g", null], []]}', 60)
    assert driver.results.cleanup(3600) == 0
    time.sleep(0.01)
    assert driver.results.cleanup(0) == 2
    assert driver.results.get(["a"]) == [None]
    assert driver.results.get_group("g") is None


def test_a_signal_may_interrupt_a_call(url):
    assert interrupt("records", url) == 0


@pytest.fixture(params=[False, True], ids=["plain", "extended"])
def pair(request, url):
    """An app of each kind over the same tables."""
    own = Canvas("own", broker="memory://", backend=url, set_as_current=False)
    own.conf.result_extended = request.param
    other = Celery("other", broker="memory://", backend=url, set_as_current=False)
    other.conf.result_extended = request.param
    with own:
        yield own, other


VALUES = [1, None, "é", [1, {"a": 2.5}], {"k": [None, True]}]


def test_celery_reads_what_canvas_wrote(pair):
    own, other = pair
    for number, value in enumerate(VALUES):
        own.backend.store_result(str(number), value, states.SUCCESS)
        found = AsyncResult(str(number), app=other)
        assert (found.state, found.result) == (states.SUCCESS, value)
        assert found.date_done is not None
    own.backend.store_result("bad", ValueError("no", 3), states.FAILURE, traceback="here\0")
    found = AsyncResult("bad", app=other)
    assert found.state == states.FAILURE and found.traceback == "here\ufffd"
    assert isinstance(found.result, ValueError) and found.result.args == ("no", 3)


def test_canvas_reads_what_celery_wrote(pair):
    own, other = pair
    for number, value in enumerate(VALUES):
        other.backend.store_result(str(number), value, states.SUCCESS)
        found = own.AsyncResult(str(number))
        assert (found.get(timeout=5), found.state) == (value, states.SUCCESS)
    other.backend.store_result("bad", KeyError("k"), states.FAILURE, traceback="here")
    with pytest.raises(KeyError):
        own.AsyncResult("bad").get(timeout=5)
    other.backend.store_result("0", "later", states.SUCCESS)
    assert own.AsyncResult("0").get(timeout=5) == VALUES[0]


def test_neither_overwrites_the_others_success(pair):
    own, other = pair
    own.backend.store_result("a", 1, states.SUCCESS)
    other.backend.store_result("a", ValueError(), states.FAILURE)
    other.backend.store_result("b", 2, states.SUCCESS)
    own.backend.store_result("b", ValueError(), states.FAILURE)
    assert [own.AsyncResult(name).get(timeout=5) for name in "ab"] == [1, 2]
    assert [AsyncResult(name, app=other).result for name in "ab"] == [1, 2]


def test_groups_are_read_both_ways(pair):
    own, other = pair
    own.GroupResult("g", [own.AsyncResult("a"), own.AsyncResult("b")]).save()
    assert [one.id for one in GroupResult.restore("g", app=other)] == ["a", "b"]
    GroupResult("h", [AsyncResult("c", app=other)], app=other).save(backend=other.backend)
    assert [one.id for one in own.GroupResult.restore("h")] == ["c"]


FORMS = {
    "msgpack": {"result_serializer": "msgpack"},
    "yaml": {"result_serializer": "yaml"},
    "pickle": {"result_serializer": "pickle"},
    "gzip": {"result_compression": "gzip"},
    "pickle and bzip2": {"result_serializer": "pickle", "result_compression": "bzip2"},
}


@pytest.mark.filterwarnings("ignore:The DatabaseBackend result backend cannot store compressed payloads")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("writes", ["canvas", "celery"])
def test_each_form_of_results_is_read_both_ways(sqlite_url, form, writes):
    settings = {"result_extended": True, "accept_content": ["json", "msgpack", "yaml", "pickle"], **FORMS[form]}
    # Celery's pickles of groups are read by the current app.
    own = Canvas("own", broker="memory://", backend=sqlite_url, **settings)
    other = Celery("other", broker="memory://", backend=sqlite_url, set_as_current=False)
    other.conf.update(settings)
    writer, reader = (own, other) if writes == "canvas" else (other, own)
    request = Context(task="task", args=[1, "é"], kwargs={"k": 2}, children=[])
    with own:
        for number, value in enumerate(VALUES):
            writer.backend.store_result(str(number), value, states.SUCCESS, request=request)
            found = reader.AsyncResult(str(number))
            assert (found.get(timeout=5), found.state) == (value, states.SUCCESS)
            assert (found.name, list(found.args), found.kwargs) == ("task", [1, "é"], {"k": 2})
        unwritable = "\0" if writes == "canvas" else ""
        writer.backend.store_result("bad", KeyError("k", 3), states.FAILURE, traceback=f"here {unwritable}")
        found = reader.AsyncResult("bad")
        assert isinstance(found.result, KeyError) and found.result.args == ("k", 3)
        writer.GroupResult("g", [writer.AsyncResult("a"), writer.AsyncResult("b")]).save()
        assert [one.id for one in reader.GroupResult.restore("g")] == ["a", "b"]
        writer.backend.store_result("0", ValueError(), states.FAILURE)
        assert reader.AsyncResult("0").result == VALUES[0]


def test_a_row_that_is_no_result_is_reported(sqlite_url):
    for serializer in ("json", "pickle", "msgpack"):
        settings = {"result_serializer": serializer, "accept_content": ["json", serializer]}
        app = Canvas("own", broker="memory://", backend=sqlite_url, set_as_current=False, **settings)
        with app:
            app.backend.store_result("sound", 1, states.SUCCESS)
            engine = create_engine(sqlite_url[3:])
            with engine.begin() as connection:
                connection.execute(text("DELETE FROM celery_taskmeta WHERE task_id = 'torn'"))
                connection.execute(
                    text("INSERT INTO celery_taskmeta (task_id, status, result) VALUES ('torn', 'SUCCESS', :torn)"),
                    {"torn": b"\x80 torn"},
                )
            engine.dispose()
            with pytest.raises(DecodeError):
                app.AsyncResult("torn").get(timeout=5)
            assert app.AsyncResult("sound").get(timeout=5) == 1
            app.AsyncResult("sound").forget()


def test_a_batch_keeps_the_last_record_of_an_id(driver):
    driver.results.store([ResultWrite("a", b"1", 60, False), ResultWrite("b", b"b", 60, True)])
    driver.results.store([ResultWrite("a", b"2", 60, False), ResultWrite("a", b"3", 60, True)])
    assert driver.results.get(["a", "b"]) == [b"3", b"b"]


def test_many_ids_are_read_in_order(driver):
    names = [f"t{number}" for number in range(1201)]
    driver.results.store([ResultWrite(name, name.encode(), 60, True) for name in names])
    assert driver.results.get(names) == [name.encode() for name in names]


@pytest.mark.parametrize("library", ["canvas", "celery"])
def test_a_worker_stores_results(library, url, redis_url):
    """Both kinds of client read the results of either kind of worker."""
    ours = Canvas("ours", broker=redis_url, backend=url, set_as_current=False)
    theirs = Celery("theirs", broker=redis_url, backend=url, set_as_current=False)
    with ours, WorkerProcess(library, redis_url, url, "-P", "threads", "-c", "2"):
        sent = [app.send_task("t.add", (number, 1)) for number in range(3) for app in (ours, theirs)]
        assert [one.get(timeout=20) for one in sent] == [1, 1, 2, 2, 3, 3]
        chained = ours.signature("t.add", (1, 2)) | ours.signature("t.add", (4,))
        assert chained.delay().get(timeout=20) == 7
        for app in (ours, theirs):
            failed = app.send_task("t.add", (1, "a"))
            with pytest.raises(TypeError):
                failed.get(timeout=20)
    theirs.close()


def test_the_database_is_away_while_a_task_ends(postgres, postgres_url, redis_url):
    """The worker keeps the end of a task until the database answers."""
    app = Canvas("ours", broker=redis_url, backend=postgres_url, set_as_current=False)
    with app, WorkerProcess("canvas", redis_url, postgres_url, "-P", "threads", "-c", "1") as worker:
        assert app.send_task("t.add", (1, 1)).get(timeout=20) == 2
        postgres.stop()
        try:
            sent = app.send_task("t.add", (2, 2))
            worker.wait_for("database")
        finally:
            postgres.start()
        assert sent.get(timeout=30) == 4


@pytest.mark.parametrize(
    "bad, said",
    [
        ("db+oracle://h/d", "no results in 'oracle'"), ("db+sqlite://", "needs the path of a file"),
        ("db+nothing", "not the URL of a database|no driver"), ("db+sqlite:///:memory:", "needs the path of a file"),
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused(bad, said):
    with pytest.raises(ConfigurationError, match=said):
        open_driver("memory://", bad)


def test_missing_tables_are_named(tmp_path):
    options = {"database_create_tables_at_setup": False}
    driver = open_driver("memory://", f"db+sqlite:///{tmp_path}/empty.db", result_options=options)
    with pytest.raises(BrokerError, match="celery_taskmeta"):
        driver.results.get(["a"], retry=False)
    driver.close()


def test_a_server_that_is_away_is_named_and_found_again(postgres, postgres_url):
    driver = open_driver("memory://", postgres_url)
    driver.results.store([ResultWrite("kept", b"1", 60, True)])
    postgres.stop()
    with pytest.raises(OperationalError, match="database"):
        driver.results.get(["kept"], retry=False)
    postgres.start()
    assert driver.results.get(["kept"]) == [b"1"]
    driver.close()


def test_a_value_too_long_for_its_column_is_refused(postgres_url):
    driver = open_driver("memory://", postgres_url)
    with pytest.raises(RefusedError, match="too long"):
        driver.results.store([ResultWrite("x" * 200, b"1", 60, True)])
    driver.close()


@pytest.mark.parametrize(
    ("query", "options", "expected"),
    [
        ("", {}, {"connect_timeout": "10", "tcp_user_timeout": "30000", "keepalives_idle": "30"}),
        ("&connect_timeout=3", {}, {"connect_timeout": "3", "tcp_user_timeout": "30000"}),
        ("", {"connect_args": {"tcp_user_timeout": 5_000}}, {"connect_timeout": "10", "tcp_user_timeout": "5000"}),
    ],
)
def test_waits_for_a_lost_server_are_bounded(postgres_url, query, options, expected):
    database = Database(sqlalchemy_url(postgres_url + query), TABLES, {"database_engine_options": options})
    try:
        found = database.call(lambda one: one.connection.driver_connection.info.get_parameters())
    finally:
        database.close()
    assert {name: found[name] for name in expected} == expected


SHOW_LIMIT = text("SHOW idle_in_transaction_session_timeout")


def test_a_process_that_is_stopped_in_a_transaction_keeps_no_locks(postgres_url):
    """Others wait for its locks until the server ends its transaction, which is then made again."""
    url, runs, done = sqlalchemy_url(postgres_url), [], threading.Event()
    options = {"database_engine_options": {"connect_args": {"options": "-c idle_in_transaction_session_timeout=500"}}}
    default, given = Database(url, TABLES, {}), Database(url, TABLES, options)
    assert default.call(lambda connection: connection.execute(SHOW_LIMIT).scalar()) == "30s"
    assert given.call(lambda connection: connection.execute(SHOW_LIMIT).scalar()) == "500ms"
    default.call(lambda connection: connection.execute(text("CREATE TABLE locked AS SELECT 1 AS value")))
    add = text("UPDATE locked SET value = value + 1")

    def stopped(connection):
        connection.execute(add)
        runs.append(len(runs))
        if len(runs) == 1:
            assert done.wait(30)
        connection.execute(add)

    thread = threading.Thread(target=given.call, args=(stopped,))
    thread.start()
    eventually(lambda: runs)
    default.call(lambda connection: connection.execute(add))
    done.set()
    thread.join(30)
    assert not thread.is_alive()
    assert default.call(lambda connection: connection.execute(text("SELECT value FROM locked")).scalar()) == 4
    assert len(runs) == 2
    default.close()
    given.close()


def test_a_server_that_does_not_answer_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"db+postgresql://me@127.0.0.1:{silent.getsockname()[1]}/results?connect_timeout=2"
        with pytest.raises(OperationalError, match="timeout"):
            Database(sqlalchemy_url(url), TABLES, {}).call(lambda one: None, retry=False)
