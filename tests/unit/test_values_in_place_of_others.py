"""Values of the wrong kind, where a task is defined, called or composed: each error or warning names what to write."""

import asyncio
import pathlib
import traceback
import warnings
from dataclasses import dataclass

import pytest

from canvas import Canvas, Task, Workflow, chain, chord, group, signature
from canvas.schedules import crontab
from tests.unit.test_mistakes import matches, said

app = Canvas("values", broker="memory://values", backend="memory://values", set_as_current=False)


@app.task(name="values.add")
def add(a, b):
    return a + b


@app.task(name="values.ident")
def ident(x):
    return x


@dataclass
class Point:
    x: int


class Row:
    pk = 7
    _meta = "Django's"


class Holder:
    @app.task(name="values.method")
    def method(self, x):
        return x


async def coroutine():
    pass


def another(**settings):
    made = Canvas("others", **{"broker": "memory://others", **settings}, set_as_current=False, task_publish_retry=False)
    return made.task(name="others.f")(lambda: 1)


def flow(step):
    made = Workflow("w", app)
    return step(made, made.add(ident.s(1), name="first"))


def unended(step):
    made = Workflow("w", app)
    step(made)
    return made.apply_async()


def awaited():
    made = coroutine()
    try:
        ident.delay(made)
    finally:
        made.close()


def opened():
    with pathlib.Path(__file__).open() as file:
        ident.delay(file)


REFUSED = {
    "a lambda": (lambda: ident.delay(lambda: 1), "…; pass a name, and let the task look up what it stands for"),
    "a module": (lambda: ident.delay(pathlib), "…; pass a name, and let the task look up what it stands for"),
    "a generator": (lambda: ident.delay(i for i in ()), "…; pass list(...) of it"),
    "a set": (lambda: ident.delay({1}), "…; pass list(...) of it"),
    "keys": (lambda: ident.delay({}.keys()), "…; pass list(...) of it"),
    "a coroutine": (awaited, "…; await it, and pass its value"),
    "a path": (lambda: ident.delay(pathlib.Path()), "…; pass str(...) of it"),
    "an exception": (lambda: ident.delay(ValueError()), "…; pass its text, str(...)"),
    "a file": (opened, "…; pass the path of the file, or what it contains"),
    "a task": (lambda: ident.delay(add), "…; pass a signature, task.s(...), or the name of the task"),
    "a row": (lambda: ident.delay(Row()), "…; pass its primary key, .pk, and load the row in the task"),
    "a dataclass": (lambda: ident.delay(Point(1)), "…; pass dataclasses.asdict(...) of it"),
    "an option of the call": (lambda: add.delay(1, 2, countdown=5), "…(countdown is an option of the call: write .apply_async(args, countdown=…))"),
    "a method": (lambda: Holder().method.delay(1), "…(its first parameter is self: move the function out of its class, or set bind=True)"),
    "expires": (lambda: ident.apply_async((1,), expires=Point(1)), "values.ident: expires: expected seconds, a datetime or ISO 8601 text; got Point …"),
    "queue": (lambda: ident.apply_async((1,), queue=["a"]), "values.ident: queue: expected the name of a queue; got list ['a']"),
    "timeout": (lambda: ident.delay(1).get(timeout="5"), "timeout: expected seconds (int or float), or None; got '5'"),
    "a run without a worker": (lambda: unended(lambda w: w.add(ident.s(1), name="first")).get(timeout=0.05), "…: run … has not ended after 0.05 s; it waits for first (PENDING)"),
    "a run without its signal": (lambda: unended(lambda w: w.wait_for("paid")).get(timeout=0.05), "…; it waits for paid (AWAITING_SIGNAL: paid)"),
    "a run that is awaited": (lambda: asyncio.run(unended(lambda w: w.sleep(60)).aget(timeout=0.05)), "…; it waits for sleep (SLEEPING)"),
    "revoke": (lambda: app.control.revoke(5), "revoke: expected the id of a task, or a list of ids; got 5"),
    "the name, positional": (lambda: app.task("values.x"), "@app.task takes …; for the name of the task write @app.task(name='values.x')"),
    "a class": (lambda: app.task(Point), "@app.task takes a function; got the class Point"),
    "a class of tasks": (lambda: app.task(Task), "@app.task takes a function; got the class Task; write app.register_task(Task())"),
    "the name": (lambda: app.task(name=5), "@app.task: name: expected text; got int 5"),
    "a static method": (lambda: app.task(staticmethod(len)), "@app.task takes a function; got a staticmethod: write @staticmethod above @app.task"),
    "a property": (lambda: app.task(property(len)), "@app.task takes …; a property cannot be a task"),
    "base": (lambda: app.task(base=Point), "@app.task: base: expected a subclass of Task; got …Point…"),
    "a number for a task": (lambda: signature(5, app=app).delay(), "signature() takes the name of a task, a task, …; got int 5"),
    "a list in a chain": (lambda: chain(ident.s(1), [ident.s()]), "…; for signatures that run side by side write group([...])"),
    "| a list": (lambda: ident.s(1) | [ident.s()], "…; for signatures that run side by side write group([...])"),
    "a name for a group": (lambda: group("values.add"), "a group takes signatures; got 'values.add'; for a task by its name write signature('values.add', args)"),
    "a method of a task": (lambda: group([ident.s, ident.delay]).delay(), "…; a call is missing: write ident.s(...)"),
    "the body first": (lambda: chord(ident.s(), [add.s(1, 2)]), "…; write chord(header, body)"),
    "items": (lambda: ident.map(5), "values.ident: expected the list of items to run it for; got int 5"),
    "a handle for a signature": (lambda: flow(lambda w, node: w.map(node, ident.s())), "…; the handle of a node is an argument of a signature: task.s(handle)"),
    "a name for a handle": (lambda: flow(lambda w, node: w.add(ident.s(1), after="first")), "…got 'first': pass the handle that flow.add(…) returned"),
    "arms": (lambda: flow(lambda w, node: w.branch(node, [ident.s(1)])), "branch: arms: expected a mapping of values to signatures; got …"),
    "a function for an id": (lambda: app.workflow(len), "app.workflow(id) returns a run by its id; to compose a workflow use @canvas.workflow"),
    "a route": (lambda: another(task_routes={"others.*": 5}).delay(), "task_routes: others.*: expected a queue's name or a mapping of options; got 5"),
    "queues": (lambda: another(task_queues="high").delay(), "task_queues: expected a list of queues or of their names; got 'high'"),
    "packages": (lambda: app.autodiscover_tasks("proj"), "autodiscover_tasks: expected a list of packages; got 'proj': write ['proj']"),
    "a periodic task": (lambda: app.add_periodic_task(10, "values.add"), "a periodic task takes a signature; got 'values.add'; for a task by its name …"),
    "a line of cron": (lambda: crontab("0 0 * * *"), "…: a whole line of cron is read by crontab.from_string(…)"),
    "a step of zero": (lambda: crontab(minute="*/0"), "crontab: minute: expected a number above 0 after the slash; got '0'"),
    "a URL with one slash": (lambda: another(broker="redis:/localhost:6379/0").delay(), "…: write redis://localhost:6379/0"),
    "a variable": (lambda: another(broker="${BROKER_URL}").delay(), "…: a variable of the environment is named and not replaced by its value"),
    "SQLAlchemy's URL": (lambda: another(backend="postgresql://u:secret@h/x").delay(), "…: write db+postgresql://…"),
    "a page": (lambda: another(broker="http://localhost:6379").delay(), "…: canvas keeps messages in Redis or RabbitMQ, …"),
    "a negative database": (lambda: another(broker="redis://localhost/-1").delay(), "redis URL: expected a database number after the host; got '-1'"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", REFUSED)
def test_an_error_names_what_to_write(mistake):
    make, expected = REFUSED[mistake]
    with pytest.raises(Exception) as raised:
        made = make()
        if callable(made):  # a decorator, which raises once it has its function
            made(lambda: 1)
    assert matches(expected, said(raised.value)), said(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("mistake", ["a lambda", "queue", "a variable"])
def test_the_traceback_of_a_call_ends_in_its_line(mistake):
    with pytest.raises(Exception) as raised:
        REFUSED[mistake][0]()
    below = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__) if "/canvas/" in frame.filename]
    assert below == []
    assert raised.value.__cause__ is None


def wrapped(function):
    def inner(*args):
        return function(*args)

    return inner


def tasks_of_a_factory():
    def call(*args):
        return helper(*args)

    def helper(x):
        return x

    return app.task(call)


def two_wrapped():
    app.task(wrapped(max))
    app.task(wrapped(add.run))
    app.task(wrapped(ident.run))


WARNED = {
    "max_retries": (lambda: app.task(name="values.r", max_retries="3")(lambda: 1), "values.r: max_retries: expected a number; got str '3'"),
    "autoretry_for": (lambda: app.task(name="values.s", autoretry_for="ValueError")(lambda: 1), "values.s: autoretry_for: expected classes of exceptions, in a tuple; got 'ValueError'"),
    "a URL as the name": (lambda: Canvas("redis://:secret@h/0", set_as_current=False), "Canvas: the first argument is the name of the app; got 'redis://:**@h/0': …"),
    "wrappers": (two_wrapped, "two tasks have the name '…inner', …: …inner wraps several functions. Put @functools.wraps(function) on it, …"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WARNED)
def test_a_warning_names_what_to_write(mistake):
    make, expected = WARNED[mistake]
    with pytest.warns(UserWarning) as caught:
        make()
    assert any(matches(expected, str(one.message)) for one in caught), [str(one.message) for one in caught]
    assert all(one.filename == __file__ for one in caught)


def test_definitions_without_a_mistake_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app.task(name="values.t", autoretry_for=(ValueError,), max_retries=None, throws=KeyError)(lambda: 1)
        app.task(name="values.v", throws=((KeyError, OSError), ValueError | TypeError))(lambda: 1)
        tasks_of_a_factory()
        tasks_of_a_factory()


def test_a_false_name_or_base_is_none():
    other = Canvas("false", broker="memory://")
    for options in ({"name": False}, {"name": ""}, {"base": False}):
        assert other.task(**options)(lambda: 1)() == 1
