"""``mock.patch`` on ``app.conf``: the settings are afterwards what they were."""

from unittest.mock import patch

import pytest

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
