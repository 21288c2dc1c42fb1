"""Pickles of signatures, results, schedules and tasks are Celery's, in both directions."""

import json
import pickle
import sys

import celery
import celery.result
import celery.schedules
import pytest

import canvas
import canvas.result
from canvas import Canvas, schedules
from canvas.model.record import Record
from canvas.wire import pickling, record


def add(x=0):
    return x


@pytest.fixture
def app():
    app = Canvas("pickles", broker="memory://pickles", backend="memory://pickles")
    yield app
    app.close()


@pytest.fixture
def theirs():
    """Celery's app; both libraries have a current app of their own."""
    app = celery.Celery("pickles", broker="memory://", backend="cache+memory://")
    yield app
    app.close()


def made(library, app, library_schedules):
    task = app.task(name="add")(add)
    parent = app.AsyncResult("parent")
    result = app.AsyncResult("id", parent=parent)
    return {
        "task": task,
        "signature": task.s(1).set(queue="q"),
        "chain": library.chain(task.s(1), task.s()),
        "group": library.group(task.s(1), task.s(2)),
        "chord": library.chord([task.s(1)], task.s()),
        "chunks": task.chunks([(1,), (2,)], 1),
        "map": task.map([1]),
        "starmap": task.starmap([(1,)]),
        "result": result,
        "group's result": app.GroupResult("group", [result]),
        "eager result": task.apply((3,)),
        "crontab": library_schedules.crontab(minute="*/5", day_of_month=3),
        "schedule": library_schedules.schedule(3.0),
    }


def fields(value):
    """What counts in a value of either library."""
    if isinstance(value, canvas.Task | celery.Task):
        return value.name
    if isinstance(value, dict):
        return {name: fields(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [fields(one) for one in value]
    if hasattr(value, "results"):
        return [value.id, fields(value.results)]
    if hasattr(value, "get") and hasattr(value, "parent"):
        return [value.id, fields(value.parent), value.result if type(value).__name__ == "EagerResult" else None]
    return value if isinstance(value, str | int | bool | None) else repr(value).partition(" at ")[0]


KINDS = sorted([
    "task", "signature", "chain", "group", "chord", "chunks", "map", "starmap", "result", "group's result", "eager result",
    "crontab", "schedule",
])  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_celerys_is_read_without_celery(app, theirs, kind, monkeypatch):
    given = made(celery, theirs, celery.schedules)[kind]
    data = pickle.dumps([given, given])
    made(canvas, app, schedules)
    with monkeypatch.context() as hiding:
        for name in [name for name in sys.modules if name.partition(".")[0] == "celery"]:
            hiding.setitem(sys.modules, name, None)
        read, again = pickling.loads(data)
    assert isinstance(read, canvas.Task) or type(read).__module__.startswith("canvas.")
    assert read is again
    assert fields(read) == fields(given)


@pytest.mark.parametrize("kind", KINDS)
def test_celery_reads_ours(app, theirs, kind):
    given = made(canvas, app, schedules)[kind]
    made(celery, theirs, celery.schedules)
    data = pickling.dumps({"of": [given, given], "text": "canvas.result."})
    read, again = pickle.loads(data)["of"]
    assert isinstance(read, celery.Task) or type(read).__module__.startswith("celery.")
    assert read is again
    assert fields(read) == fields(given)
    kept, _ = pickling.loads(data)["of"]
    assert fields(kept) == fields(given)


def test_celery_reads_the_result_of_a_long_chain(app, theirs):
    result = None
    for number in range(400):
        result = app.AsyncResult(str(number), parent=result)
    result.parent = app.GroupResult("header", [app.AsyncResult("one")], parent=result.parent)
    data = pickling.dumps([result, result.parent.parent])
    for (read, header), kind in ((pickle.loads(data), celery.result), (pickling.loads(data), canvas.result)):
        assert isinstance(read.parent, kind.GroupResult) and read.parent.parent is header
        line, one = [read.id], header
        while one is not None:
            line.append(one.id)
            one = one.parent
        assert line == [str(number) for number in range(399, -1, -1)]


def test_a_task_is_found_in_its_module(app, tmp_path, monkeypatch):
    """The module is imported where the task is not registered yet."""
    (tmp_path / "late.py").write_text(
        "from canvas import shared_task\n@shared_task(name='late')\ndef late():\n    return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import late

    data = pickling.dumps(late.late)
    assert b"celery.app.registry" in data
    del sys.modules["late"]
    assert pickling.loads(data).name == "late"
    assert "late" in sys.modules


def test_what_is_not_celerys_is_as_it_was(app):
    value = {"a": [1, "canvas.context", b"canvas.result."], "when": sys.version_info[:2]}
    assert pickling.loads(pickling.dumps(value)) == value
    assert pickling.dumps([1]) == pickle.dumps([1], protocol=4)


def test_a_task_that_returns_a_result(app, theirs):
    """In a pickled record, and in a part of a chord, it is the result itself; in JSON it is the tuple."""
    value = app.AsyncResult("inner", parent=app.AsyncResult("before"))
    kept = theirs.backend.prepare_value(theirs.AsyncResult("inner", parent=theirs.AsyncResult("before")))
    stored = record.encode(Record("t", "SUCCESS", value), serializer="json")
    assert json.loads(stored)["result"] == json.loads(json.dumps(kept))
    stored = pickle.loads(record.encode(Record("t", "SUCCESS", value), serializer="pickle"))
    assert isinstance(stored["result"], celery.result.AsyncResult)
    assert fields(stored["result"]) == fields(value)
    part = pickle.loads(record.encode_part("t", "SUCCESS", value, serializer="pickle"))
    assert fields(part[3]) == fields(value)
