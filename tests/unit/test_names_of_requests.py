"""Attributes of Celery's worker request that programs read although they are not public."""

import json
from datetime import UTC, datetime

import celery
import celery.worker.request
import kombu
import pytest

from canvas import Canvas
from canvas.worker.extending.request import Request

NAMES = ("_argsrepr", "_args", "_delivery_info", "_eta", "_expires", "_hostname", "_ignore_result", "_kwargs",
         "_kwargsrepr", "_parent_id", "_payload", "_root_id", "_type")  # fmt: skip


@pytest.fixture
def message():
    due = datetime(2030, 1, 2, tzinfo=UTC).isoformat()
    headers = {
        "id": "1", "task": "add", "lang": "py", "root_id": "0", "parent_id": "0", "eta": due, "expires": due,
        "argsrepr": "(1, 2)", "kwargsrepr": "{}", "ignore_result": True, "x-trace": "t", "timelimit": [None, None],
    }  # fmt: skip
    return kombu.Message(
        body=json.dumps([[1, 2], {"z": 3}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]),
        headers=headers, properties={"correlation_id": "1", "reply_to": "r", "priority": 0},
        delivery_info={"exchange": "", "routing_key": "celery", "redelivered": False},
        content_type="application/json", content_encoding="utf-8",
    )  # fmt: skip


def add(x, y, z=0):
    return x + y


def requests(message):
    theirs = celery.Celery("names", broker="memory://", set_as_current=False)
    ours = Canvas("names", broker="memory://", set_as_current=False)
    for app, kind in ((theirs, celery.worker.request.Request), (ours, Request)):
        app.task(name="add", shared=False)(add)
        app.finalize()
        yield kind(message, hostname="here", app=app)


def test_they_have_celerys_values(message):
    theirs, ours = requests(message)
    assert {name: _plain(getattr(ours, name)) for name in NAMES} == {n: _plain(getattr(theirs, n)) for n in NAMES}
    assert ours._request_dict["x-trace"] == theirs._request_dict["x-trace"] == "t"
    assert (ours._app, ours._task.name) == (ours.app, "add")
    with pytest.raises(AttributeError, match="_none"):
        ours._none


def _plain(value):
    """Without the difference of lists and tuples, and of a time and its text."""
    found = value.isoformat() if isinstance(value, datetime) else value
    return json.loads(json.dumps(found, default=str))
