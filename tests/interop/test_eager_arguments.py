"""What a task under ``task_always_eager`` receives, beside real Celery's, in one process."""

import importlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from canvas import Canvas, chain, chord, group
from canvas.errors import NotRegistered

ARGUMENTS = {
    "a tuple": ((1, 2),),
    "nested tuples": ([(1, (2,))],),
    "keys that are numbers": ({1: 2},),
    "a set": ({1},),
    "dates": (datetime(2020, 1, 1, tzinfo=UTC), date(2020, 1, 2), Decimal("1.5")),
    "a time span": (timedelta(1),),
    "bytes": (b"abc", b"\xff"),
    "an object": (object(),),
    "a generator": ((one for one in [1]),),
}


@pytest.fixture
def seen():
    return []


@pytest.fixture
def apps(seen):
    from celery import Celery

    where = {"broker": "memory://", "set_as_current": False}
    mine = defined(Canvas("eager", backend="cache+memory://", **where), seen)
    return {"canvas": mine, "celery": defined(Celery("eager", backend="cache+memory://", **where), seen)}


def defined(app, seen):
    app.conf.update(task_always_eager=True, accept_content=["json", "pickle"])

    @app.task(name="note", shared=False)
    def note(*args, **kwargs):
        seen.append((args, kwargs))

    @app.task(name="pickled", shared=False, serializer="pickle")
    def pickled(*args, **kwargs):
        seen.append((args, kwargs))

    @app.task(name="pair", shared=False)
    def pair():
        return (1, {2: 3})

    @app.task(name="some", shared=False)
    def some():
        return {1}

    @app.task(name="two", shared=False)
    def two(x, y):
        """Takes two arguments."""

    return app


def outcome(call, seen):
    seen.clear()
    try:
        result = call()
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is compared
        return type(exc).__name__, list(seen)
    return result.state, type(result.result).__name__, repr(seen)


@pytest.mark.parametrize("task", ["note", "pickled"])
def test_arguments_are_written_and_read(apps, seen, task):
    def found(app, args):
        run = app.tasks[task]
        calls = {
            "delay": partial(run.delay, *args),
            "by keyword": partial(run.delay, key=args),
            "with a serializer": partial(run.apply_async, args, serializer="yaml"),
            "of a signature": run.s(*args).delay,
            "of its options": run.s(*args).set(serializer="json").delay,
            "immutable": run.si(*args).apply_async,
        }
        return {name: outcome(call, seen) for name, call in calls.items()}

    for name, args in ARGUMENTS.items():
        if (name, task) != ("an object", "pickled"):  # the text of each copy is another
            assert found(apps["canvas"], args) == found(apps["celery"], args), name


def test_the_only_callback_is_called_as_a_message_would_call_it(apps, seen):
    def found(app):
        t = app.tasks
        calls = {
            "one": lambda: t["pair"].apply_async(link=t["note"].s()),
            "two": lambda: t["pair"].apply_async(link=[t["note"].s(), t["note"].s(1)]),
            "none can write it": lambda: t["some"].apply_async(link=t["note"].s()),
            "pickle can": lambda: t["some"].apply_async(link=t["pickled"].s()),
            "of wrong arguments": lambda: t["pair"].apply_async(link=t["two"].s()),
            "a map": lambda: t["note"].map([(1, 2)]).apply_async(),
            "a chain": (t["pair"].s() | t["note"].s()).apply_async,
            "apply()": lambda: t["pair"].apply(link=[t["note"].s(), t["note"].s()]),
        }
        return {name: outcome(call, seen) for name, call in calls.items()}

    assert found(apps["canvas"]) == found(apps["celery"])


def test_models_are_written_and_read():
    from pydantic import BaseModel

    class Model(BaseModel):
        when: datetime

    app = Canvas("eager", broker="memory://", set_as_current=False, task_always_eager=True)

    @app.task(pydantic=True)
    def take(model: Model):
        assert isinstance(model, Model)
        return model.when.year

    model = Model(when=datetime(2020, 1, 1, tzinfo=UTC))
    assert take.delay(model).get() == take.s().delay(model).get() == take.s().apply_async(kwargs={"model": model}).get()
    assert take.map([model]).delay().get() == [2020]


@pytest.mark.parametrize("eager", [False, True])
def test_a_task_may_raise_its_replacement(eager):
    """As on a worker, where ``replace`` raises by itself. In Celery the value of the replacement is raised."""
    app = Canvas("eager", broker="memory://", set_as_current=False, task_always_eager=eager)

    @app.task(name="add")
    def add(x, y=1):
        return x + y

    @app.task(name="fail")
    def fail():
        raise KeyError("replaced")

    @app.task(bind=True)
    def raised(self, sig):
        raise self.replace(self.app.signature(sig))

    @app.task(bind=True)
    def called(self, sig):
        self.replace(self.app.signature(sig))
        return "not reached"

    ends = {
        "task": (add.s(1), 2),
        "chain": (add.s(1) | add.s(5), 7),
        "group": (group(add.s(1), add.s(2)), [2, 3]),
        "chord": (chord([add.s(1), add.s(2)], app.tasks["celery.accumulate"].s(index=0)), [2, 3]),
        "another": (raised.s(add.s(4)), 5),
    }
    for task in (raised, called):
        for name, (sig, value) in ends.items():
            result = task.delay(sig) if eager else task.apply((sig,))
            assert (result.state, result.get()) == ("SUCCESS", value), name
        failed = task.delay(fail.s()) if eager else task.apply((fail.s(),))
        assert failed.state == "FAILURE"
        assert "in fail" in failed.traceback
    whole = chain(raised.s(add.s(1)), add.s(10))
    assert (whole.delay() if eager else whole.apply()).get() == 12


@pytest.mark.parametrize("propagates", [False, True])
def test_a_replacement_that_cannot_run_fails_the_task(propagates):
    app = Canvas("eager", broker="memory://", set_as_current=False, task_eager_propagates=propagates)

    @app.task(bind=True)
    def swap(self):
        return self.replace(self.app.signature("unknown"))

    if propagates:
        with pytest.raises(NotRegistered):
            swap.apply()
    else:
        assert [swap.apply().state, chain(swap.s(), swap.si()).apply().state] == ["FAILURE", "FAILURE"]


@pytest.mark.parametrize("library", ["celery", "canvas"])
def test_rows_of_differences_about_apply(apps, seen, library):
    composites, errors = importlib.import_module(library), importlib.import_module(f"{library}.exceptions")
    app, ours = apps[library], library == "canvas"

    @app.task(name="ignored", shared=False)
    def ignored():
        raise errors.Ignore

    @app.task(name="swap", bind=True, shared=False)
    def swap(self, name):
        return self.replace(app.tasks[name].si())

    @app.task(name="fails", shared=False)
    def fails():
        raise ValueError

    @app.task(name="priority", bind=True, shared=False)
    def priority(self):
        return self.request.delivery_info["priority"]

    note, pair = app.tasks["note"], app.tasks["pair"]
    header = [ignored.si(), pair.si()]
    assert composites.chord(header, note.s()).apply_async().state == ("FAILURE" if ours else "SUCCESS")
    whole = composites.chain(pair.si(), priority.si().set(priority=7)).apply_async(priority=2)
    assert whole.get() == (7 if ours else 2)
    seen.clear()
    swap.s("pair").apply(link=note.si("back"))
    swap.s("fails").apply(link_error=note.si("error"))
    assert [args for args, _ in seen] == sorted([("back",), ("error",)] * (1 if ours else 2))
