"""Retries in the process that calls a task, on Celery and on canvas alike."""

from datetime import UTC, datetime, timedelta

import pytest
from celery.exceptions import MaxRetriesExceededError as CelerysMaxRetriesExceededError

from canvas import Canvas
from canvas.errors import MaxRetriesExceededError
from tests.support.eager_pairs import LIBRARIES, ended, make


@pytest.fixture
def app():
    app = Canvas("eager", broker="memory://eager-calls", backend="memory://eager-calls", result_extended=True)
    yield app
    app.close()


def retried(library, first, again, how, **options):
    """What a task is called with the second time, or what its retry comes to."""
    _, app = make(library)
    calls = []

    def body(self, args, kwargs):
        calls.append((args, kwargs))
        if self.request.retries == 0:
            raise self.retry(countdown=0, **again)
        return "done"

    def plain(self, a, b=2, *, c=3):
        return body(self, (a, b), {"c": c})

    def more(self, a, /, b=2, *rest, **others):
        return body(self, (a, b, *rest), others)

    task = app.task(name="t", bind=True, shared=False, **options)({"plain": plain, "more": more}[how])
    end = ended(lambda: task.apply(*first))
    app.close()
    return end[0], calls


@pytest.mark.parametrize("how", ["plain", "more"])
def test_arguments_of_a_retry_are_merged_by_parameter(how):
    firsts = [((1, 5), {}), ((1,), {"b": 5}), ((1,), {"b": 5, "c": 6}), ((1, 5), {"c": 6})]
    again = [
        {"kwargs": {"b": 7}}, {"kwargs": {"c": 8}}, {"kwargs": {}}, {"args": (9,)}, {"args": (9, 8)}, {"args": ()},
        {"args": (9,), "kwargs": {"b": 7}}, {},
    ]  # fmt: skip
    for first in firsts:
        for one in again:
            assert retried("canvas", first, one, how) == retried("celery", first, one, how), (first, one)


@pytest.mark.parametrize("limit", [0, 0.5, 1, 1.5, True])
def test_limits_of_retries_that_are_no_whole_numbers(limit):
    runs = {library: [] for library in LIBRARIES}
    for library in LIBRARIES:
        _, app = make(library)

        def limited(self, library=library):
            runs[library].append(self.request.retries)
            raise self.retry(max_retries=limit, countdown=0)

        assert app.task(name="limited", bind=True, shared=False)(limited).apply().state == "FAILURE"
        app.close()
    assert runs["canvas"] == runs["celery"]


def test_retries_that_are_used_up():
    """``max_retries`` of a retry counts for automatic ones, too; the error says what the call would have been."""
    for library, error in (("canvas", MaxRetriesExceededError), ("celery", CelerysMaxRetriesExceededError)):
        _, app = make(library)
        runs = []

        def limited(self, x, library=library, runs=runs):
            runs.append(library)
            raise self.retry(exc=KeyError("again"), max_retries=0, countdown=0)

        task = app.task(name="limited", bind=True, autoretry_for=(KeyError,), shared=False)(limited)
        result = task.apply((1,))
        assert (result.state, repr(result.result), runs) == ("FAILURE", "KeyError('again')", [library])

        def exhausted(self, x, y=1):
            raise self.retry(kwargs={"x": 2}, max_retries=0)

        task = app.task(name="exhausted", bind=True, shared=False)(exhausted)
        raised = task.apply((1,)).result
        assert isinstance(raised, error)
        assert (tuple(raised.task_args), raised.task_kwargs) == ((2,), {}), library
        app.close()


@pytest.mark.parametrize("how", ["aware", "naive", "text", "both"])
def test_when_a_retry_is_due(app, how):
    """A time without an offset is UTC, and ``countdown`` counts before ``eta``, as in ``apply_async``."""
    due = datetime.now(UTC) + timedelta(hours=1)
    given = {
        "aware": {"eta": due.astimezone()}, "naive": {"eta": due.replace(tzinfo=None)}, "text": {"eta": due.isoformat()},
        "both": {"eta": due + timedelta(hours=5), "countdown": 3600},
    }[how]  # fmt: skip
    task = app.task(name="t", bind=True, shared=False)(lambda self: None)
    task.push_request(id="one", args=(), kwargs={}, called_directly=False)
    retry = task.retry(throw=False, **given)
    task.pop_request()
    assert abs(app.client.due(retry.sig.options) - due.timestamp()) < 60


def test_a_time_that_cannot_be_read_is_the_tasks_error(app):
    task = app.task(name="t", bind=True, shared=False)(lambda self: self.retry(eta="tomorrow"))
    assert "eta: expected ISO 8601 text; got 'tomorrow'" in str(task.apply().result)
