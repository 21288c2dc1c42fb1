"""History in a database: a restart forgets nothing, and what is too old or too much goes."""

import time

import pytest

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


def opened(url, age=3600.0, most=1000):
    app = Canvas("history", broker="memory://", backend="memory://", set_as_current=False)
    collector = Collector(app, DashboardOptions())
    history = History(SQLHistory(url), collector, age, most)
    history.attach()
    return collector, history


def ended(uuid, at, **fields):
    about = {"uuid": uuid, "hostname": "w@h", "timestamp": at}
    return [
        {"type": "task-received", "name": "t.add", "args": "(1, 'Rome')", **about, **fields},
        {"type": "task-succeeded", "result": "3", "runtime": 0.5, **about},
    ]


def test_a_restart_forgets_nothing(url):
    now = time.time()
    collector, history = opened(url)
    collector.take(
        [
            *ended("one", now - 5),
            *ended("two", now, name="t.mul"),
            {"type": "task-started", "uuid": "open", "hostname": "w@h", "timestamp": now},
        ]
    )
    collector.series._slots[-1].number -= 1  # its time is over
    history.close()

    collector, history = opened(url)
    history._write()
    assert [task["id"] for task in history.tasks(10, [], **EVERYTHING)] == ["two", "one"]
    assert [task["id"] for task in history.tasks(10, ["SUCCESS"], **{**EVERYTHING, "text": "rome"})] == ["two", "one"]
    assert history.tasks(10, ["FAILURE"], **EVERYTHING) == []
    assert [task["id"] for task in history.tasks(10, [], **{**EVERYTHING, "name": "t.mul"})] == ["two"]
    assert [task["id"] for task in history.tasks(10, [], **{**EVERYTHING, "until": now - 1})] == ["one"]
    assert (history.task("one")["result"], history.task("open")) == ("3", None)
    assert collector.series.totals()["succeeded"] == 2
    history.close()


def test_what_is_old_or_too_much_is_deleted(url):
    now = time.time()
    collector, history = opened(url, age=60.0, most=5)
    collector.take([event for number in range(10) for event in ended(f"t{number}", now - 10 + number)])
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
