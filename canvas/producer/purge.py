"""Deleting the messages of a queue, with the locks of their unique tasks."""

from collections.abc import Mapping
from typing import Any, Protocol

from canvas.drivers.ports import Driver
from canvas.drivers.ports.values import Lease
from canvas.errors import InvalidTaskError, WireError
from canvas.model.ids import new_id
from canvas.model.message import Delivery
from canvas.model.settlement import Settlement, UniqueLock
from canvas.task.limits import lock_of
from canvas.task.task import Task
from canvas.wire import task_message as wire
from canvas.wire.signing import Signer

_AT_ONCE = 1000


class PurgeApp(Protocol):
    """The parts of an app that deleting messages needs."""

    @property
    def driver(self) -> Driver: ...

    @property
    def tasks(self) -> Mapping[str, Task[Any]]: ...

    @property
    def accept_content(self) -> frozenset[str]: ...

    @property
    def signer(self) -> Signer: ...


def purge(app: PurgeApp, queue: str) -> int:
    """Delete the messages of a queue; returns their number.

    If the app has unique tasks, each message is read and its lock is released, so that the next call is sent.
    """
    broker = app.driver.broker
    if not any(task.unique_for for task in app.tasks.values()):
        return app.driver.admin.purge(queue)
    taker, purged = f"purge-{new_id()}", 0
    while taken := broker.lease(Lease(taker, [queue], _AT_ONCE)):
        app.driver.settler.settle([Settlement(one, releases_locks=_locks(app, one)) for one in taken])
        purged += len(taken)
    return purged


def _locks(app: PurgeApp, delivery: Delivery) -> list[UniqueLock]:
    try:
        message = wire.decode(
            app.driver.broker.codec.decode(delivery.payload), accept=app.accept_content, signer=app.signer
        )
    except (WireError, InvalidTaskError):
        return []  # the lock of a message that cannot be read is not known
    task = app.tasks.get(message.task)
    lock = lock_of(task, message) if task is not None and task.unique_for else None
    return [] if lock is None else [lock]
