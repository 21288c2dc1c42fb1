"""Programs that query the tables of results by SQLAlchemy's sessions, as Airflow's provider for Celery does."""

import subprocess
import sys

import pytest
from celery import Celery
from celery.backends.database import session_cleanup as theirs
from sqlalchemy import select
from sqlalchemy.exc import InvalidRequestError

from canvas import Canvas, states
from canvas.drivers import open_driver
from canvas.drivers.sql.celery_sessions import retry, session_cleanup
from canvas.errors import ConfigurationError


def rows(app, cleanup):
    session = app.backend.ResultSession()
    table = app.backend.task_cls
    with cleanup(session):
        found = session.scalars(select(table).where(table.task_id.in_(["1", "2"])).order_by(table.task_id))
        return [(repr(row), row.to_dict(), app.backend.meta_from_decoded(row.to_dict())["status"]) for row in found]


@pytest.mark.parametrize("extended", [False, True], ids=["plain", "extended"])
def test_sessions_give_celerys_rows(url, extended):
    own = Canvas("own", broker="memory://", backend=url, result_extended=extended, set_as_current=False)
    other = Celery("other", broker="memory://", backend=url, set_as_current=False)
    other.conf.result_extended = extended
    with own:
        own.backend.store_result("1", {"a": 1}, states.SUCCESS)
        own.backend.store_result("2", {"pid": 1}, states.STARTED)
        assert rows(own, session_cleanup) == rows(other, theirs)


def test_other_stores_have_no_sessions():
    app = Canvas("own", broker="memory://", backend="memory://", set_as_current=False)
    assert not hasattr(app.backend, "ResultSession")


def test_a_query_is_tried_again():
    asked = []

    @retry
    def query(wrong):
        asked.append(wrong)
        if len(asked) <= wrong:
            raise InvalidRequestError("no")
        return "rows"

    assert query(2) == "rows"
    asked.clear()
    with pytest.raises(InvalidRequestError):
        query(5, max_retries=2)
    assert len(asked) == 2


def test_sqlite_needs_no_driver_of_postgresql(tmp_path):
    program = f"""
import sys
sys.modules["psycopg"] = None
from canvas import Canvas
app = Canvas("own", broker="memory://", backend="db+sqlite:///{tmp_path}/results.db")
app.backend.store_result("1", 2, "SUCCESS")
print(app.AsyncResult("1").get(timeout=5))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("2\n", 0), done.stderr


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (
            "db+postgresql+psycopg2://me:word@h/d",
            "No module named 'psycopg2': install the driver 'psycopg2', or leave it",
        ),
        ("db+postgresql+nothing://me:word@h/d", "nothing: install the driver 'nothing', or leave it"),
        ("db+sqlite+aiosqlite:////tmp/x.db", "aiosqlite"),
        ("db+postgresql+psycopg_async://me:word@h/d", "'psycopg_async' is a driver for event loops; leave it"),
    ],
)
def test_a_driver_that_cannot_be_used_is_named(bad, said):
    driver = open_driver("memory://", bad)
    with pytest.raises(ConfigurationError, match=f"{said}.* out of the URL: db.(postgresql|sqlite)://") as raised:
        driver.results.get(["a"])
    assert "word" not in str(raised.value)
    driver.close()
