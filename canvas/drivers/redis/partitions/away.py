"""The partitions that are away while others answer. A thread asks them until they are back; no other call does."""

import os
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from canvas.errors import OperationalError

_ASKED_EVERY = 1.0
"""Seconds between two attempts to reach a partition that is away."""
T = TypeVar("T")


class Link(Protocol):
    """The connection of a partition."""

    def command(self, *words: object, retry: bool = True) -> object: ...


class Linked(Protocol):
    """A partition."""

    @property
    def link(self) -> Link: ...


P = TypeVar("P", bound=Linked)


class AwayPartitions(Generic[P]):
    """Knows, for one process, which partitions do not answer. Safe from any thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """``wake``: called when a partition is back."""
        self._wake = wake
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._errors: dict[P, OperationalError] = {}
        self._closed = threading.Event()
        self.on_return: Callable[[P], object] = lambda partition: None
        """Called with a partition that answers again, before it counts as back."""
        self.after_return: Callable[[P], object] = lambda partition: None
        """Called with a partition that counts as back."""

    def _known(self) -> dict[P, OperationalError]:
        if self._pid != os.getpid():
            # A forked process has no thread that asks.
            self._lock, self._errors, self._pid = threading.Lock(), {}, os.getpid()
            self._closed = threading.Event()
        return self._errors

    def __contains__(self, partition: P) -> bool:
        return partition in self._known()

    def __bool__(self) -> bool:
        return bool(self._known())

    def error(self, partition: P) -> OperationalError | None:
        """The last error of a partition that is away."""
        return self._known().get(partition)

    def tried(self, partition: P, call: Callable[[], T]) -> T | None:
        """The answer of a partition; ``None`` where it is away, or is found to be away now."""
        if partition in self:
            return None
        try:
            return call()
        except OperationalError as exc:
            self.note(partition, exc)
            return None

    def answers(self, partition: P) -> bool:
        """Whether a partition answers now. One call is made, so that one which is silent costs a single timeout."""
        return self.tried(partition, lambda: partition.link.command("PING", retry=False)) is not None

    def note(self, partition: P, error: OperationalError) -> None:
        """A partition does not answer."""
        known = self._known()
        with self._lock:
            new = partition not in known
            known[partition] = error
        if new:
            threading.Thread(target=self._ask, args=(partition,), name="canvas-away", daemon=True).start()

    def close(self) -> None:
        """End the threads."""
        self._closed.set()
        self._closed = threading.Event()
        self._known().clear()

    def _ask(self, partition: P) -> None:
        errors, closed = self._errors, self._closed
        while not closed.wait(_ASKED_EVERY):
            try:
                partition.link.command("PING", retry=False)
                self.on_return(partition)
            except OperationalError as exc:
                if not closed.is_set():
                    errors[partition] = exc
            else:
                with self._lock:
                    errors.pop(partition, None)
                self.after_return(partition)
                self._wake()
                return
