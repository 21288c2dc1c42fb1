"""Waits for messages without popping them: BLMOVE into this worker's prefetched lists (docs/decisions/0003)."""

import math
import os
import selectors
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.commands import SlotNotServed
from canvas.drivers.redis.connection.resp import Connection
from canvas.drivers.redis.keys import BrokerKeys
from canvas.errors import BrokerError, OperationalError

_BLOCK_FOR = 20.0
_ANSWERED_WITHIN = 10.0
_ENDED_WITHIN = 0.05


class Home(NamedTuple):
    """The server of a list, and the keys beside it."""

    link: RedisClient
    keys: BrokerKeys


class QueueWait:
    """One connection per list, each with at most one BLMOVE outstanding, all in one selector.

    ``wait`` is for one thread; ``interrupt`` for any.
    """

    def __init__(self) -> None:
        self._homes: dict[str, Home] = {}
        """Where each list is, by its key."""
        self._pid = os.getpid()
        self._reset()

    def _reset(self) -> None:
        self._connections: dict[str, Connection] = {}
        self._registered: dict[str, int] = {}
        self._clients: dict[str, int] = {}
        self.outstanding: dict[str, float] = {}
        """Lists with a BLMOVE under way, by when that must have been answered."""
        self.arrived: set[str] = set()
        """Lists of which a message was moved into a prefetched list. After a fork these are the parent's, until
        ``_ready``."""
        self._worker = ""
        self._selector: selectors.BaseSelector | None = None
        self._pipe: tuple[int, int] | None = None
        self._interrupted = False

    def _ready(self) -> selectors.BaseSelector:
        """The selector and the wake pipe of this process."""
        if self._pid != os.getpid() or self._selector is None:
            if self._pid != os.getpid():
                self._reset()
            self._pid = os.getpid()
            self._selector = selectors.DefaultSelector()
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            self._selector.register(self._pipe[0], selectors.EVENT_READ, None)
        return self._selector

    def blocked(self, worker: str) -> set[str]:
        """The lists whose prefetched list may hold a message."""
        if self._pid != os.getpid():
            return set()
        return self.arrived.union(self.outstanding)

    def wait(self, worker: str, lists: Mapping[str, Home], timeout: float) -> int:
        """Block until a message arrives, an interrupt, or the time is over. Returns how many arrived, 1 where a lease
        is worth trying for another reason."""
        selector = self._ready()
        self._worker = worker
        self._homes.update(lists)
        try:
            self._close_idle(self._connections.keys() - lists.keys() - self.outstanding.keys())
            for key in lists:
                with self._homes[key].link.errors():
                    self._block(key)
            self._expect_answers()
            return self._select(selector, timeout)
        except SlotNotServed as exc:
            self._drop()
            for link in {home.link for home in lists.values()}:
                link.follow(exc)
            return 1
        except BrokerError:
            # Cut off, or refused: out of memory, or no longer the master.
            self._drop()
            raise

    def _expect_answers(self) -> None:
        """Raises OperationalError when a BLMOVE should have ended by now: its connection leads nowhere."""
        if min(self.outstanding.values(), default=math.inf) < time.monotonic():
            silent = min(self.outstanding, key=self.outstanding.__getitem__)
            raise OperationalError(
                f"Redis at {self._homes[silent].link.where()}: a connection that waits for messages gets no answer"
            )

    def _block(self, key: str) -> None:
        if key in self.outstanding:
            return
        connection = self._connections.get(key) or self._connect(key)
        words = ("BLMOVE", key, self._homes[key].keys.prefetched(self._worker, key), "RIGHT", "LEFT", _BLOCK_FOR)
        connection.send([words])
        self.outstanding[key] = time.monotonic() + _BLOCK_FOR + _ANSWERED_WITHIN

    def _connect(self, key: str) -> Connection:
        """A connection for one list, known once it works."""
        connection = self._homes[key].link.connection()
        try:
            connection.send([("CLIENT", "ID")])
            self._clients[key] = connection.receive()
            number = connection.fileno()
        except BaseException:
            self._homes[key].link.drop(connection)
            raise
        assert self._selector is not None
        self._selector.register(number, selectors.EVENT_READ, key)
        self._connections[key], self._registered[key] = connection, number
        return connection

    def _select(self, selector: selectors.BaseSelector, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if self._interrupted:
                self._interrupted = False
                return 1
            arrived = 0
            for ready, _ in selector.select(left):
                if ready.data is None:
                    self._drain_pipe()
                else:
                    with self._homes[ready.data].link.errors():
                        arrived += self._collect(ready.data)
            if arrived:
                return arrived
        return 0

    def _collect(self, key: str) -> bool:
        """Read a BLMOVE's reply. Returns whether it moved a message. One that timed out is sent again."""
        moved = self._connections[key].receive() is not None
        del self.outstanding[key]
        if moved:
            self.arrived.add(key)
        else:
            self._block(key)
        return moved

    def _drain_pipe(self) -> None:
        assert self._pipe is not None
        try:
            os.read(self._pipe[0], 4096)
        except BlockingIOError:
            return  # another wake-up's byte was read with an earlier one

    def interrupt(self) -> None:
        """End the wait in progress, or the next one. Safe in signal handlers."""
        self._interrupted = True
        pipe = self._pipe
        if pipe is None or self._pid != os.getpid():
            return
        try:
            os.write(pipe[1], b"x")
        except BlockingIOError:
            return  # the pipe is full of wake-ups already

    def cleared(self, lists: Iterable[str]) -> None:
        """Note that a lease has emptied the prefetched lists of these lists."""
        self.arrived.difference_update(lists)

    def release_prefetched(self, worker: str) -> int:
        """Return the messages that arrived and were not leased."""
        if self._selector is None or self._pid != os.getpid():
            return 0
        self._collect_all(ready.data for ready, _ in self._selector.select(0) if ready.data is not None)
        returned = 0
        for key in sorted(self.arrived):
            link, keys = self._homes[key]
            while link.command("LMOVE", keys.prefetched(worker, key), key, "LEFT", "RIGHT") is not None:
                returned += 1
        self.arrived.clear()
        return returned

    def _collect_all(self, keys: Iterable[str]) -> None:
        """Read these replies. If the server has cut the connections, close them: their messages are in the prefetched
        lists."""
        try:
            for key in keys:
                with self._homes[key].link.errors():
                    self._collect_quietly(key)
        except BrokerError:
            self._drop()

    def _collect_quietly(self, key: str) -> None:
        if self._connections[key].receive() is not None:
            self.arrived.add(key)
        del self.outstanding[key]

    def _drop(self) -> None:
        """Close the connections. Messages that they moved stay in the prefetched lists, which the next lease reads."""
        self.arrived.update(self.outstanding)
        self._close_idle(list(self._connections))
        self.outstanding.clear()

    def _close_idle(self, keys: Iterable[str]) -> None:
        for key in keys:
            if self._selector is not None:
                self._selector.unregister(self._registered.pop(key))
            self._homes[key].link.drop(self._connections.pop(key))

    def _cancel(self) -> None:
        """End every outstanding BLMOVE on the server, so that none moves a message after this."""
        assert self._selector is not None
        while pending := sorted(self.outstanding):
            # A BLMOVE that has not reached the server yet is not ended by this, and gets another UNBLOCK.
            for link in {self._homes[key].link for key in pending}:
                there = [self._clients[key] for key in pending if self._homes[key].link is link]
                link.pipeline([("CLIENT", "UNBLOCK", client) for client in there])
            ready = [found.data for found, _ in self._selector.select(_ENDED_WITHIN)]
            if None in ready:
                self._drain_pipe()
            self._collect_all(key for key in ready if key is not None)

    def end(self, worker: str) -> None:
        """Stop the server from moving messages, and return those that were not leased; the connections stay."""
        if self._pid == os.getpid() and self._selector is not None:
            self._cancel()
            self.release_prefetched(worker)

    def close(self, worker: str | None = None) -> None:
        """Close connections and pipe. With a worker, the messages that arrived and were not leased return to their
        queues."""
        if self._pid != os.getpid():
            return
        if worker is not None:
            self.end(worker)
        self._drop()
        if self._selector is not None:
            self._selector.close()
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
        self._reset()
