"""Shared parts of the tests of all ports: small messages, the calls of a driver, waiting for a condition."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports import Driver
from canvas.drivers.ports.chords import ChordStore
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.results import ResultStore
from canvas.drivers.ports.runs import RunRecords
from canvas.drivers.ports.values import Lease
from canvas.drivers.stored_messages import task_id_of
from canvas.model.message import Delivery, Message, Publish
from canvas.model.settlement import (
    ChordDispatch,
    ChordStart,
    Part,
    ReadyChord,
    Settlement,
)
from canvas.wire import task_message as wire

_DEADLINE = 60.0


def envelope(task_id: str = "", queue: str = "q", priority: int = 0, codec: MessageCodec = ENVELOPE) -> bytes:
    """A small real message, in a broker's form."""
    task_id = task_id or str(uuid4())
    message = Message("t.add", task_id, [1, 2], {}, headers={"task": "t.add", "id": task_id})
    message.properties = {"correlation_id": task_id, "priority": priority}
    return codec.encode(wire.encode(message), "", queue)


def publish(task_id: str = "", queue: str = "q", priority: int = 0, codec: MessageCodec = ENVELOPE) -> Publish:
    """A message with its queue, as a publication."""
    return Publish("", queue, priority, envelope(task_id, queue, priority, codec))


def ids(deliveries: list[Delivery], codec: MessageCodec = ENVELOPE) -> list[str]:
    """The task ids in deliveries."""
    return [str(task_id_of(codec, delivery.payload)) for delivery in deliveries]


def eventually(condition: Callable[[], Any], seconds: float = _DEADLINE) -> Any:
    """The first truthy value of ``condition``; AssertionError when it has none within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not become true in {seconds} s: {found!r}")


def part(group: str, task: str, position: int | None) -> Part:
    """A chord part with a value of its own."""
    return Part(group, task, position, f"value of {task}".encode(), b"fire " + task.encode(), 60)


def chord_end(group: str, *publishes: Publish, failed: bool = False, parts: list[Part] | None = None) -> ChordDispatch:
    """The end of a chord."""
    return ChordDispatch(group, list(publishes), [], [], parts or [], [], failed)


class ContractSupport:
    """Calls of a driver that many tests make."""

    codec: MessageCodec = ENVELOPE
    """The driver's."""

    def envelope(self, task_id: str = "", queue: str = "q", priority: int = 0) -> bytes:
        return envelope(task_id, queue, priority, self.codec)

    def publish(self, task_id: str = "", queue: str = "q", priority: int = 0) -> Publish:
        return publish(task_id, queue, priority, self.codec)

    def ids(self, deliveries: list[Delivery]) -> list[str]:
        return ids(deliveries, self.codec)

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether these are one message. A broker may add properties to it, and change their order."""
        first, second = self.codec.decode(one), self.codec.decode(other)
        ids = [message.properties.get("correlation_id") for message in (first, second)]
        return first[:4] == second[:4] and ids[0] == ids[1]

    def _lease(self, driver: Driver, limit: int = 10, *queues: str, worker: str = "w1") -> list[Delivery]:
        return driver.broker.lease(Lease(worker, queues or ("q",), limit))

    def _one(self, driver: Driver, **options: Any) -> Delivery:
        driver.broker.publish([self.publish(**options)])
        return self._lease(driver, 1)[0]

    def _settle(self, driver: Driver, *parts: Part, chord_starts: list[ChordStart] | None = None) -> list[ReadyChord]:
        return list(
            driver.settler.settle([Settlement(None, chord_starts=chord_starts or [], parts=list(parts))])
            .verdicts[0]
            .ready
        )

    def _enqueue_due(self, driver: Driver, limit: int, count: int) -> None:
        """Move at most ``limit`` deferred messages that are due; there are ``count`` to be moved. A broker that moves
        them without help has another version of this method."""
        assert driver.broker.enqueue_due(limit) == count

    def _results(self, driver: Driver) -> ResultStore:
        assert driver.results is not None
        return driver.results

    def _chords(self, driver: Driver) -> ChordStore:
        assert driver.chords is not None
        return driver.chords

    def _runs(self, driver: Driver) -> RunRecords:
        assert driver.runs is not None
        return driver.runs
