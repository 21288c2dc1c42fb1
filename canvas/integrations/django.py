"""Django with an app, if ``DJANGO_SETTINGS_MODULE`` is set, as ``celery.fixups.django`` does it.

A worker sets Django up before it imports tasks, ``autodiscover_tasks()`` asks Django for its apps, tasks have
``delay_on_commit``, and connections to databases and caches last for one task at most.
"""

import asyncio
import os
from contextlib import suppress
from functools import partial
from logging import getLogger
from typing import Any, Protocol

from canvas.caller_warnings import FixupWarning, warn_caller
from canvas.config.config import Config
from canvas.signals import task_postrun, task_prerun, worker_init, worker_process_init
from canvas.task.arguments import P, R
from canvas.task.task import Task

_log = getLogger("canvas")


class DjangoTask(Task[P, R]):
    """A task that can be sent when Django's transaction is committed, and is not when it is rolled back."""

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """``delay``, once the transaction that is open is committed; at once where none is."""
        _on_commit(partial(self.delay, *args, **kwargs))

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """``apply_async``, as ``delay_on_commit``."""
        _on_commit(partial(self.apply_async, *args, **kwargs))


def _on_commit(send: partial[Any]) -> None:
    from django.db import transaction

    transaction.on_commit(send)


class Configured(Protocol):
    """An app, as far as its settings go."""

    @property
    def conf(self) -> Config: ...


def fixup(app: Configured, env: str = "DJANGO_SETTINGS_MODULE") -> "DjangoFixup | None":
    """Django's fixup for an app; ``None`` where the environment variable ``env`` does not name settings, or, with a
    warning, where Django is not installed."""
    if not os.environ.get(env):
        return None
    try:
        import django  # noqa: F401
    except ModuleNotFoundError:
        warn_caller(f"{env} is set, but Django is not installed: nothing is done for it", FixupWarning)
        return None
    return DjangoFixup(app)


class DjangoFixup:
    """The set-up of Django for one app."""

    def __init__(self, app: Configured) -> None:
        self._app = app
        self._pid = os.getpid()
        self._uses = 0
        worker_init.connect(self._in_worker, weak=False)

    def set_up(self) -> None:
        """Set Django up and run its checks (not with ``CELERY_SKIP_CHECKS``); errors that these find are logged."""
        import django
        from django.core import checks

        django.setup()
        if not os.environ.get("CELERY_SKIP_CHECKS"):
            for message in checks.run_checks():
                if message.level >= checks.ERROR:
                    _log.error("Django's checks: %s", message)

    def packages(self) -> list[str]:
        """Django's apps, where tasks are looked for."""
        from django.apps import apps

        return [config.name for config in apps.get_app_configs()]

    def _in_worker(self, sender: Any, **_: Any) -> None:
        if sender.app is not self._app:
            return
        self._pid = os.getpid()
        task_prerun.connect(self._before_task, weak=False)
        task_postrun.connect(self._after_task, weak=False)
        worker_process_init.connect(self._in_process, weak=False)
        self._close_connections()
        _close_caches()

    def _before_task(self, sender: Any, **_: Any) -> None:
        if not sender.request.is_eager:
            self._recycle_connections()

    def _after_task(self, sender: Any, **_: Any) -> None:
        if not sender.request.is_eager:
            self._recycle_connections()
            _close_caches()

    def _in_process(self, **_: Any) -> None:
        """Leave inherited connections to the parent: closing one properly would end it for that too."""
        from django.db import InterfaceError, connections

        if self._forked:
            for connection in connections.all(initialized_only=True):
                with suppress(AttributeError, OSError, TypeError, InterfaceError):
                    os.close(connection.connection.fileno())
        self._close_connections()
        _close_caches()

    @property
    def _forked(self) -> bool:
        return os.getpid() != self._pid

    def _recycle_connections(self) -> None:
        """Close connections after every ``db_reuse_max`` tasks, by default after each task."""
        reuse = self._app.conf.db_reuse_max
        # Counted as Celery does: before a task and after it.
        if not reuse or self._uses >= reuse * 2:
            self._uses = 0
            self._close_connections()
        self._uses += 1

    def _close_connections(self) -> None:
        from django.conf import settings
        from django.db import DatabaseError, InterfaceError, connections

        if _on_a_loop():
            return  # Coroutines use connections of other threads; Django refuses to touch any here.
        for connection in connections.all(initialized_only=True):
            pooled = settings.DATABASES.get(connection.alias, {}).get("OPTIONS", {}).get("pool")
            try:
                connection.close()
                if pooled and self._forked:
                    with suppress(KeyError):
                        connection.close_pool()
            except InterfaceError:
                continue
            except DatabaseError as exc:
                if "closed" not in str(exc) and "not connected" not in str(exc):
                    raise


def _close_caches() -> None:
    from django.core.cache import close_caches

    if not _on_a_loop():
        close_caches()


def _on_a_loop() -> bool:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False
