"""Deleting what waits in a queue, and the locks of unique tasks with it."""

from typing import TYPE_CHECKING

from canvas.drivers.base import Lease
from canvas.model.ids import new_id
from canvas.model.message import Delivery
from canvas.model.settlement import Lock, Settlement
from canvas.turns import unique_key
from canvas.wire import message as wire

if TYPE_CHECKING:
    from canvas.app import Canvas

_AT_ONCE = 1000


def purge(app: "Canvas", queue: str) -> int:
    """Delete what waits in a queue; how many messages.

    Where tasks of the app are unique, each message is looked at: its lock goes with it, so that the next call is sent.
    """
    broker = app.driver.broker
    if not any(task.unique_for for task in app.tasks.values()):
        return broker.purge(queue)
    taker, purged = f"purge-{new_id()}", 0
    while taken := broker.lease(Lease(taker, [queue], _AT_ONCE)):
        app.driver.completer.settle([Settlement(one, unlocks=_locks(app, one)) for one in taken])
        purged += len(taken)
    return purged


def _locks(app: "Canvas", delivery: Delivery) -> list[Lock]:
    try:
        message = wire.decode(delivery.payload, accept=app.accept_content, signer=app.signer)
        task = app.tasks.get(message.task)
        if task is None or not task.unique_for:
            return []
        return [Lock(unique_key(task, message.args, message.kwargs), message.id)]
    except Exception:  # noqa: BLE001 - forged messages, and functions of the user's that choose keys
        return []  # what cannot be read holds no lock that is known
