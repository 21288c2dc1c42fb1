"""The fields of records that only canvas writes, which have no columns in Celery's tables."""

import pytest
from celery import Celery

from canvas import Canvas
from canvas.model.record import OWN_FIELDS, Record
from canvas.model.settlement import ResultWrite
from canvas.testing.worker import start_worker
from canvas.wire import record as wire
from tests.sql.test_sql_upkeep import columns, execute

FIELDS = {"rounds": 3, "progress": [2, 40], "child": "other.0.1.w", "canvas": "SLEEPING"}


@pytest.fixture
def app(url):
    with Canvas("own", broker="memory://fields", backend=url, set_as_current=False) as app:
        yield app


def write(app, task_id, status, expires, **fields):
    record = Record(task_id, status, "value", extra=fields)
    payload = wire.encode(record, serializer=app.conf.result_serializer)
    app.driver.results.store([ResultWrite(task_id, payload, expires, success=status == "SUCCESS")])


def fields(app, task_id):
    (record,) = app.backend.get_records([task_id])
    return {name: record.extra[name] for name in OWN_FIELDS if name in record.extra}


@pytest.mark.parametrize("expires", [86_400, 604_800, None])
def test_they_are_kept_until_the_next_record(app, expires):
    app.conf.result_expires = 86_400
    write(app, "a", "STARTED", expires, **FIELDS)
    assert fields(app, "a") == FIELDS
    write(app, "a", "STARTED", expires, rounds=4)
    assert fields(app, "a") == {"rounds": 4}
    write(app, "a", "STARTED", expires)
    assert fields(app, "a") == {}


@pytest.mark.parametrize("late", [{}, {"rounds": 4}])
@pytest.mark.parametrize("expires", [86_400, 604_800])
def test_those_of_a_success_stay(app, expires, late):
    app.conf.result_expires = 86_400
    write(app, "a", "SUCCESS", expires, **FIELDS)
    write(app, "a", "REVOKED", expires, **late)
    assert (app.AsyncResult("a").state, fields(app, "a")) == ("SUCCESS", FIELDS)


def test_another_lifetime_leaves_them(app):
    write(app, "a", "SUCCESS", 604_800, **FIELDS)
    app.driver.runs.expire_run("run", 86_400, ["a"], 86_400)
    assert fields(app, "a") == FIELDS


@pytest.mark.parametrize("serializer", ["json", "msgpack", "pickle"])
def test_celery_reads_the_value(app, url, serializer):
    app.conf.update(result_serializer=serializer, accept_content=["json", serializer])
    write(app, "a", "SUCCESS", 604_800, **FIELDS)
    theirs = Celery("theirs", broker="memory://", backend=url, set_as_current=False)
    theirs.conf.update(result_serializer=app.conf.result_serializer, accept_content=app.conf.accept_content)
    assert theirs.AsyncResult("a").get(timeout=20) == "value"
    assert fields(app, "a") == FIELDS


def test_tables_of_the_layout_before_get_the_column(url):
    with Canvas("first", broker="memory://fields", backend=url, set_as_current=False) as app:
        app.backend.store_result("a", 1, "SUCCESS")
    execute(
        url,
        "ALTER TABLE canvas_record_lifetimes DROP COLUMN fields",
        "DELETE FROM canvas_layout",
        "INSERT INTO canvas_layout (version) VALUES (1)",
    )
    with Canvas("second", broker="memory://fields", backend=url, set_as_current=False) as app:
        assert app.AsyncResult("a").get(timeout=20) == 1
        write(app, "b", "STARTED", 604_800, rounds=1)
        assert fields(app, "b") == {"rounds": 1}
    assert "fields" in columns(url, "canvas_record_lifetimes")


@pytest.mark.parametrize("kind", ["value", "error"])
def test_a_run_goes_on_after_a_node_whose_end_is_refused(app, url, kind):
    """Its record and its default go along with the next node's message."""
    app.backend.store_result("a", 1, "SUCCESS")
    if "postgresql" in url:
        execute(url, "ALTER TABLE celery_taskmeta ADD CONSTRAINT small CHECK (octet_length(result) < 2000)")
    else:
        refuse = "WHEN length(NEW.result) >= 2000 BEGIN SELECT RAISE(ABORT, 'small'); END"
        execute(url, f"CREATE TRIGGER small BEFORE INSERT ON celery_taskmeta {refuse}")

    @app.task(name="large")
    def large():
        if kind == "error":
            raise ValueError("x" * 5_000)
        return "x" * 5_000

    flow = app.Workflow("flow")
    node = flow.add(large.s(), name="large", on_failure="continue", default=7)
    flow.add(app.task(name="double")(lambda number: 2 * number).s(node), name="end")
    with start_worker(app, perform_ping_check=False):
        assert flow.delay().get(timeout=30) == 14
