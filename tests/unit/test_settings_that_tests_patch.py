"""``mock.patch`` on ``app.conf``, and Django's ``override_settings``: the settings are afterwards what they were."""

from unittest.mock import patch

import celery
import pytest
from django.conf import LazySettings
from django.test import override_settings

from canvas import Canvas
from canvas.errors import CanvasError


@pytest.fixture
def conf():
    return Canvas("patched", broker="memory://", task_track_started=True, set_as_current=False).conf


def test_patch_dict(conf):
    conf.task_ignore_result = True
    with patch.dict(conf, {"task_always_eager": True, "task_ignore_result": False, "OF_MINE": 1}):
        assert (conf.task_always_eager, conf.task_ignore_result, conf.OF_MINE) == (True, False, 1)
    assert (conf.task_always_eager, conf.task_ignore_result, conf.task_track_started) == (False, True, True)
    assert "OF_MINE" not in conf


def test_patch_dict_cleared(conf):
    conf.task_ignore_result = True
    with patch.dict(conf, {"task_always_eager": True}, clear=True):
        assert (conf.task_always_eager, conf.task_ignore_result, conf.task_track_started) == (True, False, True)
    assert conf.task_ignore_result


def test_patch_object(conf):
    with patch.object(conf, "task_always_eager", True):
        assert conf.task_always_eager
    assert not conf.task_always_eager


def test_pop(conf):
    conf.task_always_eager = True
    assert conf.pop("task_always_eager") is True
    assert conf.task_always_eager is False
    assert conf.pop("task_always_eager", 5) == 5
    with pytest.raises(CanvasError, match="was not assigned"):
        conf.pop("task_always_eager")


@pytest.fixture
def django(monkeypatch):
    """Settings of Django's kind, which are not those of this process."""
    settings = LazySettings()
    settings.configure(CELERY_TASK_ALWAYS_EAGER=False, CELERY_TASK_DEFAULT_QUEUE="q1", SECRET_KEY="")
    monkeypatch.setattr("django.test.utils.settings", settings)
    return settings


@pytest.mark.parametrize("namespace", ["CELERY", None])
def test_override_settings_of_django(django, namespace):
    django.SECRET_KEY = "s" if namespace is None else ""
    seen = {}
    for kind in (celery.Celery, Canvas):
        app = kind("overridden", broker="memory://", set_as_current=False)
        app.config_from_object(django, namespace=namespace)
        app.conf.task_ignore_result = True
        found = seen[kind] = [_of_interest(app.conf)]
        own = {"CELERY_TASK_ALWAYS_EAGER": True, "CELERY_TASK_DEFAULT_QUEUE": "q2", "CELERY_MINE": 5}
        old = {"CELERY_ALWAYS_EAGER": True, "CELERY_DEFAULT_QUEUE": "q2", "CELERY_IGNORE_RESULT": False}
        with override_settings(**(own if namespace else old)):
            found.append(_of_interest(app.conf))
            with override_settings(CELERY_TASK_DEFAULT_QUEUE="q3", CELERY_TASK_IGNORE_RESULT=False):
                found.append(_of_interest(app.conf))
            found.append(_of_interest(app.conf))
        found.append(_of_interest(app.conf))
    assert seen[Canvas] == seen[celery.Celery]
    assert seen[Canvas][0] == seen[Canvas][-1] != seen[Canvas][1]


def _of_interest(conf):
    return conf.task_always_eager, conf.task_default_queue, conf.task_ignore_result, conf.get("mine")


def test_tasks_run_here_while_an_override_says_so(django):
    app = Canvas("overridden", broker="memory://", backend="memory://", set_as_current=False)
    app.config_from_object(django, namespace="CELERY")
    task = app.task(name="double", shared=False)(lambda x: x * 2)
    assert task.delay(1).state == "PENDING"
    with override_settings(CELERY_TASK_ALWAYS_EAGER=True):
        assert task.delay(2).get() == 4
    assert task.delay(1).state == "PENDING"
    app.close()
