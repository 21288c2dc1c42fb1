"""Names of ``celery.contrib.testing``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any
from uuid import uuid4

from canvas.app.application import Canvas
from canvas.app.shared_tasks import shared_task
from canvas.celery_names.parts.logging_setup import Logging
from canvas.context import kept_apps, restore_apps, set_current_app, set_default_app

DEFAULT_TEST_CONFIG = {
    "worker_hijack_root_logger": False,
    "worker_log_color": False,
    "accept_content": {"json"},
    "enable_utc": True,
    "timezone": "UTC",
    "broker_url": "memory://",
    "result_backend": "cache+memory://",
    "broker_heartbeat": 0,
}


class Trap:
    """Stands for the current app in tests that must not use it: each use raises an error."""

    def __getattr__(self, name: str) -> Any:
        if name in ("_is_coroutine", "__func__"):
            return None  # mock.patch asks for these
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(f"Test depends on current_app: it uses the attribute {name!r}")


class UnitLogging(Logging):
    """Leaves the log of the tests as it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.already_setup = True


def TestApp(
    name: str | None = None, config: Mapping[str, Any] | None = None, enable_logging: bool = False,
    set_as_current: bool = False, log: Any = None, backend: str | None = None, broker: str | None = None,
    **options: Any,
) -> Canvas:  # fmt: skip
    """An app for tests, with broker and results of its own in memory unless ``config``, ``broker`` or ``backend`` have
    others. Only with ``set_as_current`` it is the current app."""
    url = f"memory://{uuid4()}"
    given = {**DEFAULT_TEST_CONFIG, "broker_url": url, "result_backend": url, **(config or {})}
    given |= {key: value for key, value in (("broker_url", broker), ("result_backend", backend)) if value is not None}
    return Canvas(name or "celery.tests", changes=given, set_as_current=set_as_current, **options)


TestApp.__test__ = False  # type: ignore[attr-defined]


@contextmanager
def set_trap(app: Canvas) -> Iterator[None]:
    """Until the block has ended, each use of the current app raises an error."""
    trap = Trap()
    with _kept():
        set_current_app(trap)
        set_default_app(lambda: trap)
        yield


@contextmanager
def setup_default_app(app: Canvas, use_trap: bool = False) -> Iterator[None]:
    """Close ``app`` after the block, and restore the app that was the current one before it."""
    with _kept():
        try:
            with set_trap(app) if use_trap else nullcontext():
                yield
        finally:
            app.close()


@contextmanager
def _kept() -> Iterator[None]:
    """Restores the current app and the default one."""
    state = kept_apps()
    try:
        yield
    finally:
        restore_apps(state)


@shared_task(name="celery.ping")
def ping() -> str:
    """Simple task that just returns ``pong``."""
    return "pong"
