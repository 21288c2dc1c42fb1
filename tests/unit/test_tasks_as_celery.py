"""Tasks as code written for Celery defines and calls them: names, classes, requests, shared tasks."""

import functools
import subprocess
import sys

import pytest

import canvas
from canvas import Canvas, Task
from canvas.model.settlement import Settlement


@pytest.fixture
def app():
    app = Canvas("names", broker="memory://names", backend="memory://names")
    yield app
    app.close()


def test_tasks_have_the_names_of_their_functions(app):
    @app.task
    def add(x, y):
        """Adds."""

    assert add.__name__ == "add"

    @functools.wraps(add)
    def wrapped(*args):
        return None

    assert (wrapped.__name__, wrapped.__doc__) == ("add", "Adds.")


def test_hooks_and_signals_are_told_of_exceptions_as_celerys(app):
    told = []

    class Told(Task):
        def on_failure(self, exc, task_id, args, kwargs, einfo):
            told.append(einfo)

    @app.task(base=Told)
    def fail():
        raise ValueError("boom")

    fail.apply()
    (einfo,) = told
    assert (einfo.type, str(einfo.exception.exc), einfo.internal) == (ValueError, "boom", False)
    assert str(einfo.exception) == einfo.exception.tb == f'\n"""\n{einfo.traceback}"""'
    assert str(einfo) == einfo.traceback
    assert "ValueError: boom" in einfo.traceback
    assert einfo.exc_info == (ValueError, einfo.exception, einfo.tb)


def test_class_tasks_are_registered(app):
    class Double(Task):
        name = "double"

        def run(self, x):
            return 2 * x

    app.tasks.register(Double())
    assert app.tasks["double"].app is app
    assert app.tasks["double"].s(4).apply().get() == 8


def test_requests_can_be_pushed_and_their_fields_set(app):
    @app.task(bind=True)
    def retries(self):
        return self.request.id, self.request.retries

    retries.push_request(id="pushed", retries=3)
    assert retries() == ("pushed", 3)
    retries.pop_request()
    retries.request.retries = 4
    assert retries() == (None, 4)
    with pytest.raises(IndexError):
        retries.pop_request()


def test_a_bound_task_may_be_a_decorated_function_without_a_parameter(app):
    """The decorator's function takes the task, and leaves it out."""

    def function():
        return "done"

    @functools.wraps(function)
    def decorated(self, *args, **kwargs):
        return self.name, function(*args, **kwargs)

    task = app.task(decorated, bind=True, name="decorated")
    assert task.apply().get() == ("decorated", "done")
    with pytest.raises(TypeError, match="function\\(\\) takes none"):
        app.task(function, bind=True)


def test_shared_tasks_are_bound_before_there_is_an_app():
    code = """
from canvas import shared_task
@shared_task(bind=True)
def twice(self, x):
    return self.name, 2 * x
print(twice(4))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.stdout.strip(), found.stderr) == ("('__main__.twice', 8)", "")


def test_a_task_may_name_its_calls(app):
    class Named(Task):
        def shadow_name(self, args, kwargs, options):
            return f"{self.name} of {args[0]}"

    @app.task(base=Named)
    def work(x):
        return x

    work.apply_async((3,))
    (delivery,) = app.driver.broker.lease(canvas.drivers.ports.values.Lease("w", ["celery"], 1))
    assert f"{work.name} of 3".encode() in delivery.payload
    app.driver.settler.settle([Settlement(delivery)])


def test_shared_tasks_are_the_current_apps():
    """Also where that names them: what is defined in the main module is named after the app."""
    code = """
import inspect
from canvas import Canvas, Task, shared_task
app = Canvas("proj")
@shared_task(bind=True)
def twice(self, x=1):
    return 2 * x
assert twice.name == "proj.twice" and twice == app.tasks["proj.twice"] and isinstance(twice, Task)
assert twice.s(4).apply().get() == 8
print(inspect.signature(twice))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.stdout.strip(), found.stderr) == ("(x=1)", "")
