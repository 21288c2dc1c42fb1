"""The messages that are leased and not yet taken by a slot."""

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto
from itertools import islice
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol, TypeAlias

from canvas.model.message import Delivery
from canvas.model.settlement import Orphan, ReadyChord, RefusedEnd


class DueBatch(NamedTuple):
    """The calls of a task that a process has collected are to be run."""

    task: str


Work: TypeAlias = Delivery | ReadyChord | Orphan | RefusedEnd | DueBatch


class NoWork(Enum):
    """Why a slot gets no work."""

    YET = auto()
    """Nothing is leased: the slot works for the loop (``work_for_loop``), and asks again."""
    EVER = auto()
    """The slot ends."""


class Kept(Enum):
    """Why a slot has no settlement for its work."""

    FOR_LATER = auto()
    """The message is kept, and settled with others later."""


class KeptMessages(Protocol):
    """The leased messages that slots have kept for later."""

    def __len__(self) -> int: ...

    def withdraw(self) -> list[Delivery]:
        """All of them, which are then kept no longer."""


class PrefetchBuffer:
    """A queue between threads that can be looked into. A slot that takes ``None`` from it ends."""

    def __init__(self) -> None:
        self._items: deque[Work | None] = deque()
        self._tickets: SimpleQueue[None] = SimpleQueue()
        self.empty = self._tickets.empty
        self.qsize = self._tickets.qsize

    def put(self, item: Work | None) -> None:
        self._items.append(item)
        self._tickets.put(None)

    def extend(self, items: Iterable[Work]) -> None:
        put = self._tickets.put
        for item in items:
            self._items.append(item)
            put(None)

    def get(self, timeout: float | None = None) -> Work | None:
        """The first; raises ``queue.Empty`` when there is none after ``timeout`` seconds."""
        self._tickets.get(timeout=timeout)
        return self._items.popleft()

    def get_nowait(self) -> Work | None:
        """The first; raises ``queue.Empty`` when there is none."""
        self._tickets.get_nowait()
        return self._items.popleft()

    def drain(self) -> list[Work]:
        """Take every piece of work. As many slots end as before."""
        found: list[Work] = []
        leaving = 0
        while True:
            try:
                item = self.get_nowait()
            except Empty:
                break
            if item is None:
                leaving += 1
            else:
                found.append(item)
        for _ in range(leaving):
            self.put(None)
        return found

    def first(self, count: int) -> list[Work | None]:
        """The first ``count``, which stay."""
        while True:
            try:
                return list(islice(self._items, count))
            except RuntimeError:  # a slot took one meanwhile
                continue
