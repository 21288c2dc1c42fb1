"""``canvas migrate``: move waiting messages from one broker to another."""

import sys
from typing import Any
from uuid import uuid4

import click

from canvas.app.application import Canvas
from canvas.cli.options import comma_separated
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.values import Lease
from canvas.model.message import Publish
from canvas.model.settlement import Settlement

_AT_ONCE = 100
"""Messages that are on their way together."""


@click.command(short_help="Move messages to another broker.")
@click.argument("source")
@click.argument("destination")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Move so many at most.")
@click.option("-Q", "--queues", callback=comma_separated, help="Queues to move; the app's own without it.")
@click.option("-a", "--ack-messages", is_flag=True, help="Accepted; a message is always taken away once it is moved.")
@click.pass_obj
def migrate(
    obj: Any, /, source: str, destination: str, limit: int | None, queues: list[str], ack_messages: bool
) -> None:
    """Move the messages in SOURCE's queues (a broker URL) to DESTINATION's, with their priorities.

    A message is deleted only after it was written at the destination: if the move is interrupted, some messages may be
    at both. Delayed tasks (countdown, eta) and tasks that wait for a concurrency limit move too. Stop SOURCE's workers
    first.
    """
    if source == destination:
        raise click.UsageError(f"SOURCE and DESTINATION are both {source}; expected two brokers")
    old, new = (Canvas("migrate", broker=url) for url in (source, destination))
    names = [queue.name for queue in obj.app.router.consumed(queues)]
    worker, moved, left = f"migrate.{uuid4().hex[:8]}", 0, sys.maxsize if limit is None else limit
    try:
        _unpark(old)
        for name in names:
            moved += _move(old, new, worker, name, left - moved)
            while moved < left and old.driver.admin.enqueue_delayed(name, min(_AT_ONCE, left - moved)):
                moved += _move(old, new, worker, name, left - moved)
    finally:
        old.driver.recovery.unregister(worker)
        old.close()
        new.close()
    click.echo(f"Moved {moved} messages of {', '.join(names)}.")


def _unpark(old: Canvas) -> None:
    """Return the messages that wait for a permit of their concurrency key to their queues."""
    parked = old.driver.admin.in_flight().blocked
    while parked > 0 and (freed := old.driver.coordination.enqueue_blocked()):
        parked -= freed


def _move(old: Canvas, new: Canvas, worker: str, queue: str, limit: int) -> int:
    """Move the messages of the queue; returns their number."""
    moved = 0
    while moved < limit:
        old.driver.recovery.heartbeat(worker, [queue], 30)
        taken = old.driver.broker.lease(Lease(worker, [queue], min(_AT_ONCE, limit - moved)))
        if not taken:
            break
        copies = [_copy(old.driver.broker.codec, new.driver.broker.codec, queue, one.payload) for one in taken]
        new.driver.broker.publish(copies)
        old.driver.settler.settle([Settlement(one) for one in taken])
        moved += len(taken)
    return moved


def _copy(old: MessageCodec, new: MessageCodec, queue: str, payload: bytes) -> Publish:
    """The message for its queue at another broker, written anew where that broker has another form of messages.

    Raises DecodeError where it would have to be written anew and cannot be read; it stays at its broker then.
    """
    if type(old) is not type(new):
        return Publish("", queue, old.priority_of(payload), new.encode(old.decode(payload), "", queue))
    return Publish("", queue, old.priority_of(payload), payload)
