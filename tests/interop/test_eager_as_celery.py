"""``apply()`` and ``task_always_eager`` beside real Celery's, in one process: results, hooks, signals, requests, retries."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from celery.exceptions import MaxRetriesExceededError as CelerysMaxRetriesExceededError

from canvas import Canvas, Task
from canvas.errors import MaxRetriesExceededError, NotRegistered
from canvas.testing.contract import eventually
from tests.support.hooked import define

LIBRARIES = ("canvas", "celery")


class Notes:
    """Takes the notes of ``hooked``, as its ledger."""

    def __init__(self):
        self.taken = []

    def rpush(self, key, note):
        self.taken.append(json.loads(note))


def make(library, **settings):
    lib = __import__(library)
    options = {"broker": "memory://eager-as-celery", "set_as_current": False}
    app = lib.Celery("eager", backend="cache+memory://", **options) if library == "celery" else lib.Canvas(**options)
    app.conf.update(**settings)
    return lib, app


@contextmanager
def hooked(library, **settings):
    lib, app = make(library, **settings)
    notes = Notes()
    define(app, lib, import_module(f"{library}.exceptions"), notes)
    yield app, notes
    app.close()


def ended(call):
    try:
        result = call()
        return [result.state, repr(result.result), repr(result.get(propagate=False))]
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is compared
        return [type(exc).__name__, str(exc)]


@pytest.mark.parametrize("throw", [False, True])
def test_hooks_and_signals_of_apply(throw):
    found = {}
    for library in LIBRARIES:
        with hooked(library) as (app, notes):
            for end in ("value", "fail", "retry", "ignore", "reject"):
                for raises in (None, "before_start", "on_success", "on_failure", "on_retry", "after_return"):
                    notes.taken.clear()
                    kwargs = {"end": end, "raises": raises, "key": "k"}
                    end_of = ended(lambda kwargs=kwargs: app.tasks["work"].apply((), kwargs, throw=throw))
                    found[library, end, raises] = end_of, list(notes.taken)
    for (library, *call), got in found.items():
        assert library == "celery" or got == found["celery", *call], call


def define_requests(app):
    @app.task(name="show", bind=True, priority=3, shared=False)
    def show(self, x=0):
        request = self.request
        names = ("stamps", "stamped_headers", "delivery_info", "retries", "is_eager", "ignore_result", "timelimit")
        found = {name: getattr(request, name) for name in names}
        return {**found, "links": [len(request.callbacks or ()), len(request.errbacks or ())]}

    @app.task(name="same", shared=False)
    def same(x):
        return x

    return show, same


@pytest.mark.parametrize("always_eager", [False, True])
def test_what_a_request_knows(always_eager):
    def calls(library):
        _, app = make(library, task_always_eager=always_eager)
        show, same = define_requests(app)
        call = "apply_async" if always_eager else "apply"
        stamped = show.s()
        stamped.stamp(customer="c1", append_stamps=True)
        yield getattr(show, call)().get()
        yield getattr(show, call)(exchange="e", routing_key="r", priority=7).get()
        yield getattr(show, call)(stamped_headers=["a", "b"], a="1", b=["2", "3"]).get()
        yield getattr(show, call)(ignore_result=True).get()
        yield getattr(stamped, call)().get()
        if always_eager:
            yield getattr(show, call)(link=same.s(), link_error=[same.s(), same.s()]).get()
        app.close()

    assert list(calls("canvas")) == list(calls("celery"))


def test_wrong_arguments():
    """Of ``apply()`` they are the task's failure, as in a worker; of ``apply_async()`` the caller's."""
    for library in LIBRARIES:
        _, app = make(library, task_always_eager=True)
        _, same = define_requests(app)
        result = same.apply((1, 2, 3))
        assert (result.state, type(result.result)) == ("FAILURE", TypeError), library
        with pytest.raises(TypeError):
            same.apply_async((1, 2, 3))
        with pytest.raises(TypeError):
            same.s(1, 2, 3).delay()
        app.close()


@pytest.fixture
def app():
    app = Canvas("eager", broker="memory://eager-calls", backend="memory://eager-calls", result_extended=True)
    yield app
    app.close()


def test_what_is_not_registered_is_sent(app):
    _, same = define_requests(app)
    ran = []
    app.conf.task_always_eager = True
    app.task(name="noted", shared=False)(ran.append)
    result = app.signature("elsewhere.one", args=(1,)).apply_async()
    assert result.state == "PENDING"
    assert same.apply_async((2,), link=app.signature("elsewhere.two")).get() == 2
    assert same.apply((3,), link=[app.signature("elsewhere.three"), app.signature("noted")]).get() == 3
    same.apply((), link_error=app.signature("elsewhere.four"))
    assert ran == [3]
    assert app.driver.admin.queue_length("celery") == 4
    with pytest.raises(NotRegistered):
        app.signature("elsewhere.one").apply()


def test_what_is_stored(app):
    app.conf.task_store_eager_result = True
    show, same = define_requests(app)

    def stored(result):
        return app.AsyncResult(result.id).state

    failing = app.task(name="failing", ignore_result=True, shared=False)(lambda: 1 / 0)
    kept = app.task(name="kept", ignore_result=True, store_errors_even_if_ignored=True, shared=False)(lambda: 1 / 0)
    quiet = app.task(name="quiet", ignore_result=True, shared=False)(lambda: 1)
    assert stored(same.apply((1,))) == "SUCCESS"
    assert stored(same.apply((1,), ignore_result=True)) == "PENDING"
    assert stored(quiet.apply()) == "PENDING"
    assert stored(quiet.apply(ignore_result=False)) == "SUCCESS"
    assert stored(failing.apply()) == "PENDING"
    assert stored(kept.apply()) == "FAILURE"
    stamped = show.apply(stamped_headers=["customer"], customer="c1")
    record = app.backend.get_task_meta(stamped.id)
    assert (record["stamped_headers"], record["customer"]) == (["customer"], ["c1"])


def test_a_result_that_cannot_be_stored_is_the_tasks_failure():
    found = {}
    for library in LIBRARIES:
        store = {"canvas": "memory://stored-eagerly", "celery": "cache+memory://"}[library]
        _, app = make(library, task_store_eager_result=True, result_backend=store)

        @app.task(name="made", shared=False)
        def made():
            return {1}

        result = made.apply()
        found[library] = [result.state, type(result.result).__name__, app.AsyncResult(result.id).state]
        app.close()
    assert found["canvas"] == found["celery"] == ["FAILURE", "EncodeError", "FAILURE"]


# -- retries


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


def test_a_coroutine_task_that_is_called_knows_its_call(app):
    @app.task(name="inner", bind=True, shared=False)
    async def inner(self, x):
        return [self.request.args, app.current_task.name]

    @app.task(name="outer", bind=True, shared=False)
    async def outer(self):
        return [await inner(7), app.current_task.name]

    assert outer.apply().get() == [[(7,), "inner"], "outer"]
    assert inner.map([1]).apply().get() == [[(1,), "inner"]]


def test_a_map_finds_its_task_whatever_app_is_current(app):
    class Named(Task):
        def run(self, x):
            return -x

    Named.name = "negative"
    app.register_task(Named())
    other = Canvas("other", broker="memory://other")
    try:
        assert app.tasks["negative"].map([1, 2]).apply().get() == [-1, -2]
        assert app.tasks["negative"].chunks([(1,), (2,)], 1).apply().get() == [[-1], [-2]]
    finally:
        other.close()
        app.set_current()


def test_receivers_that_raise_change_nothing(app):
    from canvas import signals

    same = app.task(name="same", shared=False)(lambda x: x)
    told = []

    def raising(signal=None, **_):
        told.append(signal.name)
        raise RuntimeError("a receiver's own fault")

    used = [signals.task_prerun, signals.task_success, signals.task_postrun]
    for signal in used:
        signal.connect(raising, sender=same)
    assert same.apply((1,)).get() == 1
    for signal in used:
        signal.disconnect(raising, sender=same)
    eventually(lambda: told == ["task_prerun", "task_success", "task_postrun"])
