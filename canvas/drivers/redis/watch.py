"""Records as they are announced: subscribe, then read, then wait; after a lost connection all of it again.

A thread that waits has a connection of its own for that time; an event loop has one for all that wait on it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from canvas.drivers.queued import QueuedWatch
from canvas.drivers.redis.calls import AWAY
from canvas.drivers.redis.ear import Ear, Pulse
from canvas.drivers.redis.keys import ResultKeys
from canvas.drivers.redis.link import Link
from canvas.errors import OperationalError

_AT_ONCE = 1000
_PAUSE = 0.2
_GIVE_UP_AFTER = 60.0


class RedisWatch:
    """A watch of one thread."""

    def __init__(self, link: Link, keys: ResultKeys, task_ids: Iterable[str], get: Callable[[list[str]], Any]) -> None:
        self._link = link
        self._get = get
        self._channels = {keys.task(task_id).encode(): task_id for task_id in task_ids}
        self._keys = keys
        self._found: deque[tuple[str, bytes]] = deque()
        self._ear: Ear | None = None
        self._retry(self._open, None)

    def _open(self) -> None:
        """Subscribe, wait for the confirmations, then read what is stored already."""
        ear = self._ear = self._link.pubsub()
        channels = list(self._channels)
        for start in range(0, len(channels), _AT_ONCE):
            ear.pubsub.subscribe(*channels[start : start + _AT_ONCE])
        confirmed = 0
        while confirmed < len(channels):
            message = ear.next(5.0)
            if message is None:
                raise TimeoutError("no answer to SUBSCRIBE")
            confirmed += message["type"] == "subscribe"
            self._take(message)
        ids = list(self._channels.values())
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            self._found += [(i, p) for i, p in zip(some, self._get(some), strict=True) if p is not None]

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "message" and message["channel"] in self._channels:
            self._found.append((self._channels[message["channel"]], message["data"]))

    def _retry(self, call: Callable[[], Any], deadline: float | None) -> Any:
        """Call; when the connection is lost, open another (which reads everything again) instead."""
        patience = time.monotonic() + _GIVE_UP_AFTER
        while True:
            try:
                return call()
            except (*AWAY, OperationalError) as exc:
                self._let_go(Ear.close)
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    return None
                if now >= patience:
                    raise OperationalError(f"Redis at {self._link.where()}: {exc}") from exc
                time.sleep(_PAUSE)
                call = self._open

    def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        """The next record; ``None`` after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._found:
            left = 10.0 if deadline is None else min(10.0, deadline - time.monotonic())
            if left <= 0 and timeout:
                return None
            self._retry(partial(self._receive, left), deadline)
            if deadline is not None and time.monotonic() >= deadline and not self._found:
                return None
        return self._found.popleft()

    def _receive(self, seconds: float) -> None:
        if self._ear is None:
            self._open()
            return
        message = self._ear.next(seconds)
        while message is not None:
            self._take(message)
            message = self._ear.next(0) if not self._found else None

    def drop(self, task_id: str) -> None:
        """Stop watching one id: what still comes for it is left out."""
        self._channels.pop(self._keys.task(task_id).encode(), None)

    def _let_go(self, part: Callable[[Ear], None]) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            part(ear)

    def close(self) -> None:
        """Give the connection back."""
        self._let_go(self._link.leave)


class _Hub:
    """The one subscription of an event loop, shared by all that wait on it."""

    def __init__(self, link: Link, keys: ResultKeys, aget: Callable[[list[str]], Any]) -> None:
        self._link = link
        self._keys = keys
        self._aget = aget
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self.waiters: dict[bytes, list[asyncio.Queue[tuple[str, bytes]]]] = {}
        self._confirmed: dict[bytes, asyncio.Event] = {}

    async def add(self, task_ids: list[str], queue: "asyncio.Queue[tuple[str, bytes]]") -> None:
        """Watch ids for a queue; what is stored already is put into it."""
        channels = [self._keys.task(task_id).encode() for task_id in task_ids]
        for channel in channels:
            self.waiters.setdefault(channel, []).append(queue)
        async with self._lock:
            if self._reader is None or self._reader.done():
                self._pubsub = self._link.apubsub()
                await self._subscribe(list(self.waiters))
                self._reader = asyncio.create_task(self._read(), name="canvas-watch")
            else:
                await self._subscribe(channels)
        await asyncio.gather(*(self._confirmed[channel].wait() for channel in channels if channel in self._confirmed))
        await self._read_stored(task_ids, queue)

    async def _subscribe(self, channels: list[bytes]) -> None:
        for channel in channels:
            self._confirmed[channel] = asyncio.Event()
        for start in range(0, len(channels), _AT_ONCE):
            await self._pubsub.subscribe(*channels[start : start + _AT_ONCE])

    async def _read_stored(self, task_ids: list[str], queue: "asyncio.Queue[tuple[str, bytes]]") -> None:
        for task_id, payload in zip(task_ids, await self._aget(task_ids), strict=True):
            if payload is not None:
                queue.put_nowait((task_id, payload))

    async def _read(self) -> None:
        pulse = Pulse()
        while self.waiters:
            try:
                message = await self._pubsub.get_message(timeout=1.0)
                if message is None and pulse.due():
                    await self._pubsub.ping()
            except AWAY:
                await asyncio.sleep(_PAUSE)
                await self._again()
                pulse.heard()
                continue
            if message is not None:
                pulse.heard()
                self._deliver(message)
        with suppress(*AWAY):
            await self._pubsub.aclose()

    def _deliver(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        if message["type"] == "subscribe" and channel in self._confirmed:
            self._confirmed[channel].set()
        elif message["type"] == "message":
            task_id = channel.decode().removeprefix(self._keys.task(""))
            for queue in self.waiters.get(channel, ()):
                queue.put_nowait((task_id, message["data"]))

    async def _again(self) -> None:
        """After a lost connection: subscribe to everything and read everything again."""
        with suppress(*AWAY, OperationalError):
            with suppress(*AWAY):
                await self._pubsub.aclose()
            self._pubsub = self._link.apubsub()
            await self._subscribe(list(self.waiters))
            for channel, queues in list(self.waiters.items()):
                task_id = channel.decode().removeprefix(self._keys.task(""))
                for queue in queues:
                    await self._read_stored([task_id], queue)

    async def remove(self, task_ids: Iterable[str], queue: "asyncio.Queue[tuple[str, bytes]]") -> None:
        """Stop watching; the last one to leave ends the subscription."""
        gone = []
        for task_id in task_ids:
            channel = self._keys.task(task_id).encode()
            queues = self.waiters.get(channel, [])
            if queue in queues:
                queues.remove(queue)
            if not queues and self.waiters.pop(channel, None) is not None:
                self._confirmed.pop(channel, None)
                gone.append(channel)
        if gone and self.waiters:
            with suppress(*AWAY):
                await self._pubsub.unsubscribe(*gone)
        elif gone and self._reader is not None:
            reader, self._reader = self._reader, None
            reader.cancel()
            with suppress(asyncio.CancelledError, *AWAY):
                await reader
            with suppress(*AWAY):
                await self._pubsub.aclose()


class Watching:
    """Opens watches for one result store."""

    def __init__(
        self, link: Link, keys: ResultKeys, get: Callable[[list[str]], Any], aget: Callable[[list[str]], Any]
    ) -> None:
        self._link = link
        self._keys = keys
        self._get = get
        self._aget = aget
        self._hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = WeakKeyDictionary()

    @contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator[RedisWatch]:
        """A watch for the calling thread."""
        watch = RedisWatch(self._link, self._keys, task_ids, self._get)
        try:
            yield watch
        finally:
            watch.close()

    @asynccontextmanager
    async def awatch(self, task_ids: Iterable[str]) -> AsyncIterator[QueuedWatch]:
        """A watch for the calling coroutine."""
        loop = asyncio.get_running_loop()
        hub = self._hubs.get(loop)
        if hub is None:
            for ended in [known for known in self._hubs if known.is_closed()]:
                del self._hubs[ended]
            hub = self._hubs[loop] = _Hub(self._link, self._keys, self._aget)
        ids, queue = list(task_ids), asyncio.Queue[tuple[str, bytes]]()
        await hub.add(ids, queue)
        try:
            yield QueuedWatch(queue)
        finally:
            await hub.remove(ids, queue)
