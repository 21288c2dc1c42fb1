"""Parts of an app that programs replace, and small names that they read."""

import platform

import pytest

from canvas import Canvas
from canvas.app.registry import TaskRegistry
from canvas.errors import ConfigurationError
from canvas.remote.control import Control
from canvas.remote.events import Events


class MyControl(Control):
    def ping(self, *args, **kwargs):
        return f"pong of {self.app.main}"


class MyEvents(Events):
    pass


class MyRegistry(TaskRegistry):
    pass


class Chosen(Canvas):
    control_cls = MyControl
    events_cls = f"{__name__}:MyEvents"
    registry_cls = MyRegistry


def made(kind=Canvas, **options):
    return kind("parts", broker="memory://", backend="memory://", set_as_current=False, **options)


def test_parts_by_attribute_of_a_class_of_apps():
    app = made(Chosen)
    assert app.control.ping() == "pong of parts"
    assert isinstance(app.events, MyEvents)
    assert isinstance(app.tasks, MyRegistry)


def test_parts_by_argument():
    app = made(control=f"{__name__}:MyControl", events=MyEvents, tasks=MyRegistry)
    assert app.control.ping() == "pong of parts"
    assert isinstance(app.events, MyEvents)
    assert isinstance(app.tasks, MyRegistry)


def test_tasks_by_name_are_registered():
    other = made()
    task = other.task(lambda: 1, name="unit.given")
    app = made(tasks={"unit.given": task})
    assert app.tasks["unit.given"] is task
    assert task.app is app


def test_a_method_in_the_place_of_the_signal_on_configure():
    class Configured(Canvas):
        def on_configure(self):
            self.conf.task_default_queue = "of-the-method"

    app = made(Configured)
    app.finalize()
    assert app.conf.task_default_queue == "of-the-method"


def test_names_that_programs_read(monkeypatch):
    app = made()
    assert (False, platform.system()) == (app.IS_WINDOWS, app.SYSTEM)
    assert app.fixups == []
    assert app.create_task_cls() is app.Task
    kind = app.subclass_with_self(f"{__name__}:MyEvents", name="Mine", extra=1)
    assert (kind.__name__, kind.app, kind.extra) == ("Mine", app, 1)
    assert (app.set_as_current, app.prepare_config(app.conf)) == (False, app.conf)
    app.conf.task_default_queue = "q"
    assert (app.conf.value_set_for("task_default_queue"), app.conf.value_set_for("task_queues")) == (True, False)


def test_settings_of_a_module_that_is_not_there(monkeypatch):
    app = made()
    app.config_from_object("no_such_module_anywhere", silent=True)
    assert app.conf.broker_url == "memory://"
    assert app.config_from_envvar("NO_SUCH_VARIABLE", silent=True) is False
    with pytest.raises(ConfigurationError, match="NO_SUCH_VARIABLE is not set"):
        app.config_from_envvar("NO_SUCH_VARIABLE")
    monkeypatch.setenv("SUCH_A_VARIABLE", "canvas.version")
    assert app.config_from_envvar("SUCH_A_VARIABLE") is True
    with pytest.raises(ModuleNotFoundError):
        app.config_from_object("no_such_module_anywhere")


def test_options_of_a_worker_that_a_program_starts():
    app = made()
    worker = app.Worker(
        pool="threads", autoscale="4,2", time_limit=9, task_soft_time_limit=5, include=["colorsys"], O="fair"
    )
    plan = worker.plan()
    assert (plan.pool, plan.concurrency, plan.autoscale, plan.prefetch_limit) == ("threads", 2, (4, 2), 0)
    assert (app.conf.task_time_limit, app.conf.task_soft_time_limit, app.conf.include) == (9, 5, ["colorsys"])
    with pytest.raises(ConfigurationError, match="canvas worker -B"):
        app.Worker(beat=True)
    with pytest.raises(ConfigurationError, match="autoscale: expected max,min"):
        app.Worker(autoscale="many")
