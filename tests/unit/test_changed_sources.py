"""The object that a configuration comes from changes after it was read, as with Celery, which reads it at each use."""

import builtins
import sys
from types import ModuleType, SimpleNamespace

import pytest

from canvas import Canvas
from canvas.errors import InvalidSetting


def module(**settings):
    made = ModuleType("settings_of_a_test")
    made.__dict__.update(settings)
    return made


KINDS = {"mapping": dict, "object": SimpleNamespace, "module": module}


@pytest.fixture(params=KINDS)
def source(request):
    """A source, and the function that sets a name in it."""
    made = KINDS[request.param](beat_schedule={}, task_default_queue="early", worker_concurrency=1)
    set_in = made.__setitem__ if isinstance(made, dict) else lambda name, value: setattr(made, name, value)
    return made, set_in


@pytest.fixture
def app(source):
    app = Canvas("changing", set_as_current=False)
    app.config_from_object(source[0])
    assert app.conf.task_default_queue == "early"
    return app


def test_entries_that_are_added_to_a_dict_are_there_at_once(app, source):
    made = source[0]
    schedule = made["beat_schedule"] if isinstance(made, dict) else made.beat_schedule
    schedule["late"] = {"task": "add", "schedule": 3}
    assert app.conf.beat_schedule == schedule
    app.conf.beat_schedule["of the app"] = {"task": "add", "schedule": 4}
    assert sorted(schedule) == ["late", "of the app"]


def test_what_modules_of_tasks_change_takes_effect(app, source, monkeypatch, tmp_path):
    """Such as a Django app's ``ready()``, which changes Django's settings."""
    set_in = source[1]
    (tmp_path / "tasks_of_a_test.py").write_text("changing()")
    monkeypatch.syspath_prepend(tmp_path)
    app.conf.update(imports=["tasks_of_a_test"], worker_concurrency=7)

    def changing():
        set_in("task_default_queue", "late")
        set_in("worker_concurrency", 8)
        set_in("task_time_limit", 30)

    monkeypatch.setattr(builtins, "changing", changing, raising=False)
    app.import_task_modules()
    sys.modules.pop("tasks_of_a_test")
    assert (app.conf.task_default_queue, app.conf.task_time_limit) == ("late", 30)
    assert app.conf.worker_concurrency == 7


def test_a_wrong_change_is_named(app, source):
    source[1]("worker_concurrency", "many")
    with pytest.raises(InvalidSetting, match=r"worker_concurrency.*from the configuration object"):
        app.import_task_modules()
