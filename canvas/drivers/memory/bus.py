"""Broadcasts and replies in this process."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from queue import Empty, SimpleQueue


class MemoryInbox:
    """An Inbox into which other threads put envelopes."""

    def __init__(self) -> None:
        self.arrived: SimpleQueue[bytes] = SimpleQueue()

    def next(self, timeout: float) -> bytes | None:
        try:
            return self.arrived.get(timeout=timeout)
        except Empty:
            return None


class MemoryBus:
    """The Bus of :class:`MemoryQueues`."""

    fanout = None

    def __init__(self, inboxes: dict[tuple[str, str], list[MemoryInbox]]) -> None:
        """``inboxes``: by exchange and routing key, for as long as they are read."""
        self._inboxes = inboxes

    def broadcast(self, exchange: str, payload: bytes, routing_key: str = "") -> None:
        self.reply(exchange, "*" if routing_key else "", payload)

    def reply(self, exchange: str, routing_key: str, payload: bytes) -> None:
        for inbox in list(self._inboxes.get((exchange, routing_key), ())):
            inbox.arrived.put(payload)

    def subscribe(self, exchange: str, topics: bool = False, node: str = "") -> AbstractContextManager[MemoryInbox]:
        return self._inbox(exchange, "*" if topics else "")

    def replies(self, exchange: str, routing_key: str) -> AbstractContextManager[MemoryInbox]:
        return self._inbox(exchange, routing_key)

    @contextmanager
    def _inbox(self, exchange: str, routing_key: str) -> Iterator[MemoryInbox]:
        inbox = MemoryInbox()
        self._inboxes[exchange, routing_key].append(inbox)
        try:
            yield inbox
        finally:
            self._inboxes[exchange, routing_key].remove(inbox)
