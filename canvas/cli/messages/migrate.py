"""``canvas migrate``: move waiting messages from one broker to another."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import click

from canvas.app.application import Canvas
from canvas.cli.options import comma_separated
from canvas.drivers import keeps_state
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.values import Lease
from canvas.errors import WireError
from canvas.model.message import Delivery, Publish
from canvas.model.settlement import Settlement

_AT_ONCE = 100
"""Messages that are on their way together."""
_LEASED_FOR = 30
"""Seconds after which the messages that an interrupted command has leased return to their queues."""
_LOOK_EVERY = 1.0
"""Seconds between two checks for delayed messages that become due, with --timeout or --forever."""


@click.command()
@click.argument("source")
@click.argument("destination")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="The most messages to move.")
@click.option("-t", "--timeout", type=click.FloatRange(min=0), default=0.0, show_default=True,
              help="Seconds to wait for further messages when the queues are empty.")  # fmt: skip
@click.option("-F", "--forever", is_flag=True, help="Wait for further messages until interrupted.")
@click.option("-T", "--tasks", callback=comma_separated, help="Names of tasks; messages of others stay at SOURCE.")
@click.option("-Q", "--queues", callback=comma_separated,
              help="Queues to move, each as NAME or NAME:NEW-NAME. Default: those of the app.")  # fmt: skip
@click.option("-a", "--ack-messages", is_flag=True, help="Accepted; a message is always taken away once it is moved.")
@click.pass_obj
def migrate(
    obj: Any, /, source: str, destination: str, limit: int | None, timeout: float, forever: bool, tasks: list[str],
    queues: list[str], ack_messages: bool,
) -> None:  # fmt: skip
    """Move the messages in SOURCE's queues (a broker URL) to DESTINATION's, with their priorities.

    A message is deleted only after it was written at the destination: if the move is interrupted, some messages may be
    at both. Delayed tasks (countdown, eta) and tasks that wait for a concurrency limit move too. Stop SOURCE's workers
    first.
    """
    if source == destination:
        raise click.UsageError(f"SOURCE and DESTINATION are both {source}; expected two brokers")
    renamed = dict(name.split(":", 1) for name in queues if ":" in name)
    given = [name.partition(":")[0] for name in queues]
    names = {queue.name: renamed.get(queue.name, queue.name) for queue in obj.app.router.consumed(given)}
    state = obj.app.conf.canvas_state or obj.app.result_target.url
    state = state if state and keeps_state(state) else None
    with _move(source, destination, names, frozenset(tasks), state) as move:
        _unpark(move.old)
        left = sys.maxsize if limit is None else limit
        with suppress(KeyboardInterrupt):
            move.all(left)
            while move.moved < left and (forever or timeout > 0):
                if not move.wait(_LOOK_EVERY if forever else timeout) and not forever:
                    break
                move.all(left)
    click.echo(f"Moved {move.moved} messages of {', '.join(names)}.")


@dataclass(slots=True)
class _Move:
    """One run of the command."""

    old: Canvas
    new: Canvas
    names: dict[str, str]
    """The queues, and their names at the destination."""
    tasks: frozenset[str]
    """Names of the tasks whose messages move; all when it is empty."""
    worker: str = field(default_factory=lambda: f"migrate.{uuid4().hex[:8]}")
    moved: int = 0
    kept: list[Delivery] = field(default_factory=list)
    """Leased messages of other tasks."""

    def all(self, limit: int) -> None:
        """Move the messages that are in the queues, and the delayed ones, until ``limit`` are moved in all."""
        for name in self.names:
            self._queue(name, limit)
            while self.moved < limit and self.old.driver.admin.enqueue_delayed(name, min(_AT_ONCE, limit - self.moved)):
                self._queue(name, limit)

    def wait(self, seconds: float) -> bool:
        """Wait until a message arrives; False after ``seconds`` without one."""
        self._heartbeat()
        return bool(self.old.driver.broker.wait(self.worker, list(self.names), seconds))

    def _heartbeat(self) -> None:
        self.old.driver.recovery.heartbeat(self.worker, list(self.names), _LEASED_FOR)

    def _queue(self, name: str, limit: int) -> None:
        while self.moved < limit:
            self._heartbeat()
            taken = self.old.driver.broker.lease(Lease(self.worker, [name], min(_AT_ONCE, limit - self.moved)))
            if not taken:
                return
            meant = [one for one in taken if self._is_meant(one)]
            self.kept += [one for one in taken if one not in meant]
            codecs = self.old.driver.broker.codec, self.new.driver.broker.codec
            self.new.driver.broker.publish([_copy(*codecs, self.names[name], one.payload) for one in meant])
            self.old.driver.settler.settle([Settlement(one) for one in meant])
            self.moved += len(meant)

    def _is_meant(self, delivery: Delivery) -> bool:
        if not self.tasks:
            return True
        try:
            return self.old.driver.broker.codec.decode(delivery.payload).headers.get("task") in self.tasks
        except WireError:
            return False


@contextmanager
def _move(
    source: str, destination: str, names: dict[str, str], tasks: frozenset[str], state: str | None
) -> Iterator[_Move]:  # fmt: skip
    """A move between two brokers; at its end the messages that it has kept are in their queues again. ``state``: the
    setting ``canvas_state`` of a broker that needs one."""
    old, new = (Canvas("migrate", broker=url, canvas_state=state) for url in (source, destination))
    move = _Move(old, new, names, tasks)
    try:
        yield move
    finally:
        move.old.driver.broker.release(move.kept)
        move.old.driver.recovery.unregister(move.worker)
        move.old.close()
        move.new.close()


def _unpark(old: Canvas) -> None:
    """Return the messages that wait for a permit of their concurrency key to their queues."""
    blocked = old.driver.admin.in_flight().blocked
    while blocked > 0 and (freed := old.driver.coordination.enqueue_blocked()):
        blocked -= freed


def _copy(old: MessageCodec, new: MessageCodec, queue: str, payload: bytes) -> Publish:
    """The message for its queue at another broker, written anew where that broker has another form of messages.

    Raises DecodeError where it would have to be written anew and cannot be read; it stays at its broker then.
    """
    if type(old) is not type(new):
        return Publish("", queue, old.priority_of(payload), new.encode(old.decode(payload), "", queue))
    return Publish("", queue, old.priority_of(payload), payload)
