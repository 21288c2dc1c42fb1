"""Broadcasts and replies in this process."""

from queue import Empty, SimpleQueue


class MemoryInbox:
    """An Inbox that others put envelopes into."""

    def __init__(self) -> None:
        self.arrived: SimpleQueue[bytes] = SimpleQueue()

    def next(self, timeout: float) -> bytes | None:
        try:
            return self.arrived.get(timeout=timeout)
        except Empty:
            return None
