"""The fixtures of `celery.contrib.pytest`, for an app of canvas; the worker is a process of its own."""

import importlib

import pytest
from celery.contrib.testing.manager import Manager as CelerysManager

from canvas import Canvas
from canvas.exceptions import OperationalError


class Manager(CelerysManager):
    """Celery's waiting for results and workers, with an app of canvas."""

    def _init_manager(self, block_timeout=30 * 60.0, no_join=False, stdout=None, stderr=None):
        self.stdout, self.stderr = stdout, stderr
        self.connerrors = (OperationalError,)
        self.block_timeout, self.no_join = block_timeout, no_join

    def join(self, r, propagate=False, max_retries=10, **kwargs):
        results = r if isinstance(r, type(self.app.ResultSet([]))) else self.app.ResultSet([r])
        return results.get(propagate=propagate, **kwargs)

    def wait_until_idle(self):
        while self.app.control.purge():
            pass
        while sum(len(tasks) for tasks in (self.app.control.inspect().active() or {}).values()):
            pass


@pytest.fixture(scope="session")
def celery_session_app(celery_config, celery_includes):
    with Canvas("celery.tests", set_as_current=True) as app:
        app.conf.update(celery_config)
        app.set_default()
        for name in celery_includes:
            importlib.import_module(name)
        yield app


@pytest.fixture
def celery_app(request, celery_config):
    mark = request.node.get_closest_marker("celery")
    with Canvas("celery.tests", set_as_current=False) as app:
        app.conf.update({**celery_config, **(mark.kwargs if mark else {})})
        yield app


@pytest.fixture(scope="session")
def celery_session_worker(celery_session_app):
    """The worker runs already: the runner has started it."""
    return


@pytest.fixture(autouse=True)
def ZZZZ_set_app_current(app, celery_session_app):
    """As Celery's fixture of this name, without its look at `app.amqp`."""
    app.set_current()
    app.set_default()


@pytest.fixture
def depends_on_current_app(celery_app):
    celery_app.set_current()


@pytest.fixture(scope="session")
def celery_enable_logging():
    return False


@pytest.fixture(scope="session")
def celery_parameters():
    return {}
