"""The pytest plugin: Celery's fixtures (``celery_app``, ``celery_worker`` ...), and canvas' own.

pytest loads it by the entry point ``canvas``. Celery's fixtures are configured as in ``celery.contrib.pytest``, by
overriding ``celery_config``, ``celery_parameters``, ``celery_includes``, ``celery_class_tasks``,
``celery_worker_pool``, ``celery_worker_parameters``, ``celery_enable_logging``, and by ``@pytest.mark.celery(...)``.
Apps and workers are canvas'; without other settings they use a broker in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from canvas.app.application import Canvas

_IN_MEMORY = ("cache+memory://", "rpc", "rpc://")
"""Result backends of Celery's that need no other server; an app in memory keeps its results beside its messages."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark of Celery's fixtures."""
    config.addinivalue_line("markers", "celery(**settings): settings of the app of Celery's fixtures")


@contextmanager
def _app(request: Any, settings: Mapping[str, Any], parameters: Mapping[str, Any], trap: bool) -> Iterator[Any]:
    """An app, which is the current one meanwhile, unless ``trap`` asks for none."""
    from canvas.app.application import Canvas
    from canvas.context import current_app, has_current_app, set_current_app

    mark = request.node.get_closest_marker("celery")
    given = {**settings, **(mark.kwargs if mark else {})}
    if given.get("broker_url", "memory://") == "memory://":
        # Apps with one URL would share their messages, and a worker would take those of another test.
        given["broker_url"] = f"memory://{uuid4()}"
    broker = given["broker_url"]
    if given.get("result_backend", _IN_MEMORY[0]) in _IN_MEMORY and str(broker).startswith("memory:"):
        given["result_backend"] = broker
    before = current_app() if has_current_app() else None
    name = {"main": "celery.tests", "set_as_current": not trap, **parameters}
    app = Canvas(changes={"worker_hijack_root_logger": False, **given}, **name)
    try:
        yield app
    finally:
        app.close()
        if before is not None:
            set_current_app(before)


@contextmanager
def _worker(
    app: "Canvas", includes: Sequence[str], classes: Sequence[Any], pool: str, parameters: Mapping[str, Any], log: bool
) -> Iterator[Any]:
    from canvas.testing.worker import start_worker

    for module in includes:
        app.loader.import_task_module(module)
    for task in classes:
        app.register_task(task)
    level = {"loglevel": "INFO"} if log else {}
    with start_worker(app, **{"pool": pool, **level, **parameters}) as worker:
        yield worker


@pytest.fixture(scope="session")
def use_celery_app_trap() -> bool:
    """Override it to return True: the fixtures' apps are not the current one."""
    return False


@pytest.fixture(scope="session")
def celery_enable_logging() -> bool:
    """Override it to return True: workers set up a log."""
    return False


@pytest.fixture(scope="session")
def celery_includes() -> Sequence[str]:
    """Override it to return names of modules that workers import."""
    return ()


@pytest.fixture(scope="session")
def celery_class_tasks() -> Sequence[Any]:
    """Override it to return tasks to register."""
    return ()


@pytest.fixture(scope="session")
def celery_worker_pool() -> str:
    """Override it to return the pool of workers: ``solo`` or ``threads``."""
    return "solo"


@pytest.fixture(scope="session")
def celery_config() -> Mapping[str, Any]:
    """Override it to return settings of the apps."""
    return {}


@pytest.fixture(scope="session")
def celery_parameters() -> Mapping[str, Any]:
    """Override it to return arguments of the apps."""
    return {}


@pytest.fixture(scope="session")
def celery_worker_parameters() -> Mapping[str, Any]:
    """Override it to return arguments of ``start_worker``."""
    return {}


@pytest.fixture(scope="session")
def celery_session_app(
    request: Any, celery_config: Any, celery_parameters: Any, use_celery_app_trap: bool
) -> Iterator[Any]:
    """An app for the whole session."""
    with _app(request, celery_config, celery_parameters, use_celery_app_trap) as app:
        yield app


@pytest.fixture(scope="session")
def celery_session_worker(
    celery_session_app: Any, celery_includes: Any, celery_class_tasks: Any, celery_worker_pool: str,
    celery_worker_parameters: Any, celery_enable_logging: bool,
) -> Iterator[Any]:  # fmt: skip
    """A worker of ``celery_session_app``."""
    with _worker(
        celery_session_app, celery_includes, celery_class_tasks, celery_worker_pool, celery_worker_parameters,
        celery_enable_logging,
    ) as worker:  # fmt: skip
        yield worker


@pytest.fixture
def celery_app(request: Any, celery_config: Any, celery_parameters: Any, use_celery_app_trap: bool) -> Iterator[Any]:
    """An app for one test."""
    with _app(request, celery_config, celery_parameters, use_celery_app_trap) as app:
        yield app


@pytest.fixture
def celery_worker(
    celery_app: Any, celery_includes: Any, celery_worker_pool: str, celery_worker_parameters: Any,
    celery_enable_logging: bool,
) -> Iterator[Any]:  # fmt: skip
    """A worker of ``celery_app``. A task that the test defines after it has started needs ``celery_worker.reload()``
    in Celery; here it is known at once."""
    with _worker(
        celery_app, celery_includes, (), celery_worker_pool, celery_worker_parameters, celery_enable_logging
    ) as worker:
        yield worker


@pytest.fixture
def depends_on_current_app(celery_app: Any) -> None:
    """The test needs a current app."""
    celery_app.set_current()


@pytest.fixture(scope="session")
def canvas_redis() -> Iterator[Any]:
    """A private Redis server for the session (``canvas_redis.url(0)``). It needs redis-server, or ``embedded``."""
    from canvas.testing.embedded_redis import EmbeddedRedis

    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def canvas_app(request: Any) -> Iterator[Any]:
    """An app for one test, with broker and results in memory."""
    with _app(request, {}, {"main": "tests"}, False) as app:
        yield app


@pytest.fixture
def sent() -> Iterator[Any]:
    """The tasks that the test sends: ``assert sent.of(add)[0].args == (1, 2)``."""
    from canvas.testing.sent import Sent

    found = Sent()
    detach = found.listen()
    yield found
    detach()
