"""History in a database: a restart forgets nothing, and what is too old or too much goes."""

import time
from pathlib import Path

import pytest
from sqlalchemy import event

from canvas import Canvas
from canvas.dashboard.collecting.collector import Collector
from canvas.dashboard.history import History
from canvas.dashboard.options import DashboardOptions
from canvas.drivers.sql.history import SQLHistory
from canvas.errors import OperationalError
from tests.support.postgres import PostgresServer

EVERYTHING = {"name": None, "worker": None, "queue": None, "text": "", "since": None, "until": None}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'history.db'}"
    else:
        with PostgresServer() as server:
            yield server.url()


def opened(url, age=3600.0, most=1000, size=None):
    app = Canvas("history", broker="memory://", backend="memory://", set_as_current=False)
    collector = Collector(app, DashboardOptions())
    history = History(SQLHistory(url), collector, age, most, size)
    history.attach()
    return collector, history


def ended(uuid, at, **fields):
    about = {"uuid": uuid, "hostname": "w@h", "timestamp": at}
    return [
        {"type": "task-received", "name": "t.add", "args": "(1, 'Rome')", **about, **fields},
        {"type": "task-succeeded", "result": "3", "runtime": 0.5, **about, **fields},
    ]


def test_a_restart_forgets_nothing(url):
    now = time.time()
    collector, history = opened(url)
    collector.take(
        [
            *ended("one", now - 5),
            *ended("two", now, name="t.mul"),
            *ended("three", now - 9, queue="slow", routing_key="celery"),
            *ended("four", now - 10, routing_key="slow", result='"queue": "none"'),
            {"type": "task-started", "uuid": "open", "hostname": "w@h", "timestamp": now},
        ]
    )
    collector.series._slots[-1].number -= 1  # its time is over
    history.close()

    collector, history = opened(url)
    history._write()
    assert [task["id"] for task in history.tasks(10, [], **EVERYTHING)] == ["two", "one", "three", "four"]
    assert [task["id"] for task in history.tasks(10, ["SUCCESS"], **{**EVERYTHING, "text": "rome"})] == [
        "two",
        "one",
        "three",
        "four",
    ]
    assert history.tasks(10, ["FAILURE"], **EVERYTHING) == []
    assert [task["id"] for task in history.tasks(10, [], **{**EVERYTHING, "name": "t.mul"})] == ["two"]
    assert [task["id"] for task in history.tasks(10, [], **{**EVERYTHING, "until": now - 1})] == [
        "one",
        "three",
        "four",
    ]
    of_queue = {**EVERYTHING, "queue": "slow"}
    assert [task["id"] for task in history.tasks(10, [], **of_queue)] == ["three", "four"]
    assert history.tasks(10, [], **{**EVERYTHING, "queue": "none"}) == []
    assert (history.task("one")["result"], history.task("open")) == ("3", None)
    assert collector.series.totals()["succeeded"] == 4
    history.close()


def test_what_is_old_or_too_much_is_deleted(url):
    now = time.time()
    collector, history = opened(url, age=60.0, most=5)
    collector.take([one for number in range(10) for one in ended(f"t{number}", now - 10 + number)])
    collector.take(ended("old", now - 120))
    history._write()
    assert [task["id"] for task in history.tasks(20, [], **EVERYTHING)] == ["t9", "t8", "t7", "t6", "t5"]
    history.close()


def test_an_unreachable_database_loses_nothing_and_is_reported(tmp_path):
    folder = tmp_path / "later"
    collector, history = opened(f"sqlite:///{folder / 'history.db'}")
    collector.take(ended("one", time.time()))
    with pytest.raises(OperationalError, match="unable to open database file"):
        history._write()
    folder.mkdir()
    history._write()
    assert history.task("one")["name"] == "t.add"
    history.close()


def used(history):
    return history._store._do(history._store._used)


def test_tasks_beyond_a_size_are_deleted_the_oldest_first(url):
    now, size = time.time(), 400_000
    collector, history = opened(url, most=100_000, size=size)
    for begun in range(0, 2_000, 100):
        many = range(begun, begun + 100)
        text = [ended(f"t{number}", now - 3_000 + number, args="x" * 1_000) for number in many]
        collector.take([one for events in text for one in events])
    history._write()
    assert used(history) <= size
    kept = [task["id"] for task in history.tasks(5_000, [], **EVERYTHING)]
    assert 100 < len(kept) < 500
    assert kept == [f"t{number}" for number in range(1_999, 1_999 - len(kept), -1)]
    history.close()
    # The database's file shrinks, too.
    if url.startswith("sqlite"):
        assert Path(url.removeprefix("sqlite:///")).stat().st_size < 2 * size


def test_a_full_disk_loses_nothing_and_is_said(tmp_path):
    """SQLite's limit of pages is the disk: what it refuses is written once there is space."""
    collector, history = opened(f"sqlite:///{tmp_path / 'history.db'}")
    history._write()
    engine = history._store._engine

    @event.listens_for(engine, "checkout")
    def full(connection, *_):
        connection.execute("PRAGMA max_page_count=1")

    collector.take([one for number in range(200) for one in ended(f"t{number}", time.time(), args="x" * 1_000)])
    collector._do("history", 1.0, history._write)
    figures = collector.overview()
    assert figures["history"] == {"waiting": 200, "left_out": 0}
    assert "database or disk is full" in figures["sources"]["history"]["error"]
    event.remove(engine, "checkout", full)
    engine.dispose()
    collector._do("history", 1.0, history._write)
    figures = collector.overview()
    assert (figures["history"]["waiting"], figures["sources"]["history"]["ok"]) == (0, True)
    assert len(history.tasks(500, [], **EVERYTHING)) == 200
    history.close()


def test_old_tasks_are_deleted_although_new_ones_cannot_be_written(tmp_path):
    collector, history = opened(f"sqlite:///{tmp_path / 'history.db'}", age=60.0)
    collector.take(ended("old", time.time() - 30))
    history._write()
    history._age, history._cleaned = 10.0, 0.0

    def refuse(_):
        raise OperationalError("the disk is full")

    add_tasks, history._store.add_tasks = history._store.add_tasks, refuse
    collector.take(ended("new", time.time()))
    with pytest.raises(OperationalError):
        history._write()
    assert history.task("old") is None
    history._store.add_tasks = add_tasks
    history._write()
    assert history.task("new")["name"] == "t.add"
    history.close()
