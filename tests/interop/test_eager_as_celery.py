"""``apply()`` and ``task_always_eager`` beside real Celery's, in one process: results, hooks, signals, requests, retries."""

import json
from contextlib import contextmanager
from importlib import import_module

import pytest

from canvas import Canvas, Task
from canvas.errors import NotRegistered
from canvas.testing.contract import eventually
from tests.support.eager_pairs import LIBRARIES, ended, make
from tests.support.hooked import define


class Notes:
    """Takes the notes of ``hooked``, as its ledger."""

    def __init__(self):
        self.taken = []

    def rpush(self, key, note):
        self.taken.append(json.loads(note))


@contextmanager
def hooked(library, **settings):
    lib, app = make(library, **settings)
    notes = Notes()
    define(app, lib, import_module(f"{library}.exceptions"), notes)
    yield app, notes
    app.close()


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
        names = (
            "stamps",
            "stamped_headers",
            "delivery_info",
            "retries",
            "is_eager",
            "ignore_result",
            "timelimit",
            "eta",
            "expires",
            "time_limit",
            "soft_time_limit",
            "shadow",
            "reply_to",
            "headers",
            "group",
            "root_id",
        )
        found = {name: getattr(request, name) for name in names}
        found["root_id"] = found["root_id"] == request.id
        found["arguments"] = repr((request.args, request.kwargs, request._protected, request.taskset))
        found["unknown"] = [
            name for name in ("priority", "queue", "countdown", "compression") if hasattr(request, name)
        ]
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
        yield getattr(show, call)(
            task_id="one",
            countdown=1,
            expires=60,
            time_limit=9,
            soft_time_limit=8,
            shadow="s",
            reply_to="r",
            headers={"own": 1},
            compression="gzip",
        ).get()
        yield getattr(show, call)(stamped_headers=["a", "b"], a="1", b=["2", "3"]).get()
        yield getattr(show, call)(ignore_result=True).get()
        yield getattr(stamped, call)().get()
        if always_eager:
            yield getattr(show, call)(link=same.s(), link_error=[same.s(), same.s()]).get()
        app.close()

    assert list(calls("canvas")) == list(calls("celery"))


def test_ends_without_a_value():
    """Ignored and rejected results have a traceback; a reason in words is no exception to give up with."""
    seen = {}
    for library in LIBRARIES:
        _, app = make(library)
        errors = import_module(f"{library}.exceptions")

        def ignored(self, errors=errors):
            raise errors.Ignore("x")

        def rejected(self, errors=errors):
            raise errors.Reject("why", requeue=True)

        def given_up(self):
            self.retry(exc="words", max_retries=0)

        tasks = [app.task(bind=True, shared=False)(function) for function in (ignored, rejected, given_up)]
        seen[library] = found = []
        for task in tasks:
            result = task.apply()
            found.append([result.state, repr(result.result), result.traceback.splitlines()[-1].rpartition(".")[2]])
        with pytest.raises(TypeError, match="exceptions must derive from BaseException"):
            tasks[2]()
        app.close()
    assert seen["canvas"] == seen["celery"]


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
