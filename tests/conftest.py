"""Servers for tests, and how random tests draw.

Each session (with pytest-xdist each of its workers) starts its own servers on free ports, and stops only those.
"""

import gc
import logging
import signal
import sys

import pytest
from hypothesis import settings

from canvas.context import current_app, has_current_app, set_current_app
from tests.support.guard import end_programs_with_this_process
from tests.support.ledger import Bench
from tests.support.rabbitmq import SharedRabbitMQ
from tests.support.redis_server import RedisServer

settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", derandomize=False, database=None, deadline=None, print_blob=True)
settings.load_profile("fixed")


FIRST = (
    "sql/test_sql_contract.py", "sql/test_sql_results.py", "contract/test_contract.py",
    "interop/test_differential.py", "worker/test_child_processes.py", "worker/test_process_life.py",
    "worker/test_stops.py", "worker/test_worker.py", "worker/test_idle.py", "chaos/",
    "interop/test_django.py", "interop/test_workflow_differential.py", "interop/test_remote_control.py", "worker/", "test_",
    "unit/test_cli", "docs/test_tutorials.py", "unit/test_linear_work.py", "architecture/test_ceilings.py", "sql/",
    "interop/", "contract/", "architecture/",
)  # fmt: skip
"""What takes longest starts first: a file that starts last keeps one process busy while the others have ended."""


def pytest_configure(config):
    end_programs_with_this_process()
    # Collected tests live to the end. Looking through them for garbage takes a third of the collection's time.
    gc.disable()
    # A shell's background jobs ignore some signals, and so would every program that a test starts.
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # pytest-xdist would start the files with the most tests first.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    def rank(item):
        name = item.nodeid.removeprefix("tests/")
        return next((number for number, prefix in enumerate(FIRST) if name.startswith(prefix)), len(FIRST))

    items.sort(key=rank)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def _current_app_afterwards():
    """An app that a test makes, or runs a worker of, does not become the current app of other tests."""
    before = current_app() if has_current_app() else None
    celerys = _celerys_current_apps()
    yield
    if before is not None:
        set_current_app(before)
    if (state := sys.modules.get("celery._state")) is not None:
        state._tls.current_app, state.default_app = celerys


def _celerys_current_apps():
    state = sys.modules.get("celery._state")
    return (None, None) if state is None else (state._tls.current_app, state.default_app)


of_each_test = pytest.fixture(autouse=True)(_current_app_afterwards)
of_each_module = pytest.fixture(autouse=True, scope="module")(_current_app_afterwards)


@pytest.fixture(autouse=True, scope="module")
def logging_of_each_module():
    """A worker in the process of a test sets up the loggers of the root and of tasks; other files find them as before."""
    loggers = [logging.getLogger(), logging.getLogger("celery.task")]
    before = [(logger, [*logger.handlers], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, handlers, level, propagate in before:
        for handler in [one for one in logger.handlers if one not in handlers]:
            logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.fixture(scope="session")
def redis_server():
    """One server of the session; a test gets it empty through ``redis_url``."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server):
    """Broker, db 0 of an empty server."""
    redis_server.client().flushall()
    return redis_server.url(0)


@pytest.fixture
def result_url(redis_server):
    """Results, db 1 of the same server."""
    return redis_server.url(1)


@pytest.fixture(scope="session")
def rabbitmq():
    """The RabbitMQ node of the run; ``rabbitmq.url()`` names an empty vhost."""
    with SharedRabbitMQ() as node:
        yield node


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this process, started by the first test that uses it. Tests may stop it and start it again,
    so that processes do not share one."""
    from tests.support.postgres import PostgresServer  # SQLAlchemy and psycopg are slow to load

    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def own_server():
    """A server of the module's own, which no other fixture uses."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def bench():
    """A server of the module's own, for tests that run worker processes."""
    with RedisServer() as server:
        yield Bench(server)


@pytest.fixture
def app(bench):
    """A client of an empty server."""
    with bench.client() as app:
        yield app
