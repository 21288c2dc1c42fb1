"""What a look at a result finds: ids that no task has, and results that were read before."""

import asyncio
from functools import partial

import celery
import pytest

import canvas
from canvas import Canvas
from canvas.errors import ChordError


@pytest.fixture
def app():
    app = Canvas("looks", broker="memory://looks", backend="memory://looks")
    yield app
    app.close()


def fail(app, task_id, exc):
    app.backend.store_result(task_id, exc, "FAILURE", traceback="Traceback: remote")


@pytest.mark.parametrize("wait", [lambda r: r.get(timeout=10), lambda r: asyncio.run(r.aget(timeout=10))])
def test_the_failure_of_an_ancestor_goes_before_one_that_was_read(app, wait):
    parent = app.GroupResult("g", [app.AsyncResult("m")])
    fail(app, "m", KeyError("gone"))
    fail(app, "body", ChordError("m failed"))
    result = app.AsyncResult("body", parent=parent)
    assert result.failed()
    with pytest.raises(KeyError):
        wait(result)


def _note(called, *given):
    called.append(repr(given))


def test_callbacks_of_results_that_were_read():
    """Celery calls them only where it raises exceptions."""
    found = {}
    for library in (canvas, celery):
        make = getattr(library, "Canvas", None) or library.Celery
        app, called = make("read", broker="memory://read", backend="cache+memory://"), []
        app.backend.store_result("a", 7, "SUCCESS")
        app.backend.store_result("b", ValueError("x"), "FAILURE")
        for task_id in "ab":
            for read in (False, True):
                result = app.AsyncResult(task_id)
                assert not read or result.ready()
                result.get(propagate=False, callback=partial(_note, called))
        app.AsyncResult("a").get(callback=partial(_note, called))
        found[library] = called
    assert found[canvas] == found[celery] == ["('a', 7)", "('b', ValueError('x'))", "('a', 7)"]


@pytest.mark.parametrize(
    ("task_id", "error"),
    [
        ("", pytest.raises(ValueError, match="task_id must not be empty")),
        (3, pytest.raises(TypeError, match="task_id: expected text; got 3")),
    ],
)
def test_ids_that_no_task_has(app, task_id, error):
    result = app.AsyncResult(task_id)
    looks = [lambda: result.state, lambda: result.get(timeout=0), lambda: asyncio.run(result.aget(timeout=0))]
    for look in [*looks, result.forget, app.GroupResult("g", [result]).get, app.GroupResult("g", [result]).ready]:
        with error:
            look()
    if not task_id:
        for look in (lambda: app.GroupResult.restore(task_id), app.GroupResult(task_id).save):
            with pytest.raises(ValueError, match="group_id must not be empty"):
                look()


def test_ids_as_bytes(app):
    app.backend.store_result("a", 7, "SUCCESS")
    assert app.AsyncResult(b"a").get(timeout=1) == 7
