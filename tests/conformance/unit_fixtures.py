"""The fixtures of Celery's unit tests, for an app of canvas: this file becomes their conftest.py."""

from contextlib import contextmanager
from unittest.mock import MagicMock, Mock, patch

import pytest

from canvas import Canvas

UNSET = object()


def new_app(name=None, config=None, set_as_current=False, **options):
    """An app as `celery.contrib.testing.app.TestApp` makes one."""
    app = Canvas(name or "celery.tests", set_as_current=set_as_current, **options)
    app.conf.update(
        {
            "broker_url": "memory://",
            "result_backend": "memory://",
            "task_default_queue": "testcelery",
            "accept_content": ["json", "pickle"],
            "timezone": "UTC",
            **(config or {}),
        }
    )
    return app


@contextmanager
def assert_signal_called(signal, **expected):
    handler = Mock()

    def on_call(**kwargs):
        return handler(**kwargs)

    signal.connect(on_call)
    try:
        yield handler
    finally:
        signal.disconnect(on_call)
    handler.assert_called_with(signal=signal, **expected)


class Patching:
    """Celery's shortcuts to pytest's monkeypatch and to unittest.mock."""

    def __init__(self, monkeypatch, request):
        self._monkeypatch, self._request = monkeypatch, request

    def __getattr__(self, name):
        return getattr(self._monkeypatch, name)

    def __call__(self, path, value=UNSET, name=None, new=MagicMock, **attributes):
        value = new(name=name or path.rpartition(".")[2]) if value is UNSET else value
        for key, attribute in attributes.items():
            setattr(value, key, attribute)
        self._monkeypatch.setattr(path, value)
        return value

    def object(self, target, attribute, *args, **kwargs):
        patcher = patch.object(target, attribute, *args, **kwargs)
        self._request.addfinalizer(patcher.stop)
        return patcher.start()


@pytest.fixture
def patching(monkeypatch, request):
    return Patching(monkeypatch, request)


@pytest.fixture(scope="session")
def celery_config():
    return {}


@pytest.fixture
def app(request):
    mark = request.node.get_closest_marker("celery")
    with new_app(config=mark.kwargs if mark else None) as made:
        yield made


@pytest.fixture
def celery_app(app):
    return app


@pytest.fixture
def depends_on_current_app(app):
    app.set_current()


@pytest.fixture(autouse=True)
def test_cases_shortcuts(request, app, patching, celery_config):
    if request.instance:

        @app.task
        def add(x, y):
            return x + y

        request.instance.app = app
        request.instance.Celery = new_app
        request.instance.assert_signal_called = assert_signal_called
        request.instance.CELERY_TEST_CONFIG = celery_config
        request.instance.add = add
        request.instance.patching = patching
    yield
