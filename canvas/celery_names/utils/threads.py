"""Names of ``celery.utils.threads``: stacks and objects of a thread or of an asyncio task."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import get_ident
from threading import local as Local
from typing import Any

__all__ = ["Local", "LocalStack", "bgThread", "default_socket_timeout", "get_ident", "release_local"]


class LocalStack:
    """A stack of each thread, and of each asyncio task."""

    def __init__(self) -> None:
        self._items: ContextVar[tuple[Any, ...]] = ContextVar("celery_stack", default=())

    def push(self, obj: Any) -> list[Any]:
        """Put an object on top. Returns all objects."""
        self._items.set((*self._items.get(), obj))
        return self.stack

    def pop(self) -> Any:
        """Remove the object on top; None from an empty stack."""
        *rest, last = self._items.get() or (None,)
        self._items.set(tuple(rest))
        return last

    @property
    def stack(self) -> list[Any]:
        return list(self._items.get())

    @property
    def top(self) -> Any:
        items = self._items.get()
        return items[-1] if items else None

    def __len__(self) -> int:
        return len(self._items.get())


def release_local(local: Any) -> None:
    """Delete the values that a ``Local``, or a ``LocalStack``, has for this thread."""
    if isinstance(local, LocalStack):
        local._items.set(())
    else:
        vars(local).clear()


class bgThread(threading.Thread):
    """A thread that calls ``body`` until it is stopped."""

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name or type(self).__name__, daemon=True)
        self._ends = threading.Event()

    def body(self) -> None:
        """The work; override it."""
        raise NotImplementedError

    def run(self) -> None:
        while not self._ends.is_set():
            self.body()

    def stop(self) -> None:
        """End after the call of ``body`` that runs."""
        self._ends.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(1.0)


@contextmanager
def default_socket_timeout(timeout: float | None) -> Iterator[None]:
    """New sockets have this timeout, in seconds, inside the block."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def call_once(function: Callable[[], Any]) -> Callable[[], Any]:
    """``function`` with its first result kept."""
    kept: list[Any] = []

    def called() -> Any:
        if not kept:
            kept.append(function())
        return kept[0]

    return called
