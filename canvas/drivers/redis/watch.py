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
        self._deadline: float | None = None
        try:
            with link.errors():
                self._open()
        except OperationalError:
            self._let_go(Ear.close)  # whoever waits says for how long to try again

    def _open(self) -> None:
        """Subscribe, wait for the confirmations, then read what is stored already."""
        ear = self._ear = self._link.pubsub()
        channels = list(self._channels)
        for start in range(0, len(channels), _AT_ONCE):
            ear.pubsub.subscribe(*channels[start : start + _AT_ONCE])
        confirmed = 0
        while confirmed < len(channels):
            message = ear.next(self._left(5.0))
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

    def _left(self, most: float) -> float:
        """Seconds to wait for an answer: some, even where there was never time to wait."""
        return most if self._deadline is None else min(most, max(0.1, self._deadline - time.monotonic()))

    def _retry(self, call: Callable[[], Any]) -> Any:
        """Call; when the connection is lost, open another (which reads everything again) instead."""
        patience = time.monotonic() + _GIVE_UP_AFTER
        while True:
            try:
                with self._link.errors():
                    return call()
            except OperationalError:
                self._let_go(Ear.close)
                now = time.monotonic()
                if self._deadline is not None and now >= self._deadline:
                    return None
                if now >= patience:
                    raise
                time.sleep(self._left(_PAUSE))
                call = self._open

    def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        """The next record; ``None`` after ``timeout`` seconds."""
        deadline = self._deadline = None if timeout is None else time.monotonic() + timeout
        while not self._found:
            left = 10.0 if deadline is None else min(10.0, deadline - time.monotonic())
            if left <= 0 and timeout:
                return None
            self._retry(partial(self._receive, left))
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


class _Waiter:
    """One coroutine that waits, and what has come for it."""

    def __init__(self, channels: Iterable[bytes]) -> None:
        self.queue: asyncio.Queue[tuple[str, bytes] | Exception | None] = asyncio.Queue()
        self.unread = set(channels)

    def looked(self, channel: bytes) -> None:
        """What was stored there before it waited has been read."""
        if channel in self.unread:
            self.unread.discard(channel)
            if not self.unread:
                self.queue.put_nowait(None)


class _Hub:
    """The one subscription of an event loop, shared by all that wait on it.

    A task of its own talks to Redis; whoever waits only waits, and may be cancelled at any moment.
    """

    def __init__(self, link: Link, keys: ResultKeys, aget: Callable[[list[str]], Any]) -> None:
        self._link = link
        self._prefix = keys.task("")
        self._aget = aget
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._confirmed: set[bytes] = set()
        self._unread: list[tuple[bytes, _Waiter]] = []
        self.waiters: dict[bytes, list[_Waiter]] = {}

    def add(self, channels: list[bytes]) -> _Waiter:
        """Watch these for one more waiter; what is stored already comes first."""
        waiter = _Waiter(channels)
        for channel in channels:
            self.waiters.setdefault(channel, []).append(waiter)
            if channel in self._confirmed:
                self._unread.append((channel, waiter))
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="canvas-watch")
        return waiter

    def remove(self, channels: list[bytes], waiter: _Waiter) -> None:
        """Stop watching; the last one to leave ends the subscription."""
        for channel in channels:
            waiters = self.waiters.get(channel, [])
            if waiter in waiters:
                waiters.remove(waiter)
            if not waiters:
                self.waiters.pop(channel, None)
        self._changed.set()

    async def _run(self) -> None:
        """Be subscribed while somebody waits; after a lost connection subscribe to, and read, everything again."""
        patience = _Patience()
        while self.waiters:
            try:
                with self._link.errors():
                    await self._subscribed(patience)
            except OperationalError as exc:
                if patience.over():
                    self._give_up(exc)
                else:
                    await asyncio.sleep(_PAUSE)
            except Exception as exc:  # noqa: BLE001 - who waits is told, whatever it is
                self._give_up(exc)

    def _give_up(self, exc: Exception) -> None:
        for waiter in {waiter for waiters in self.waiters.values() for waiter in waiters}:
            waiter.queue.put_nowait(exc)
        self.waiters.clear()

    async def _subscribed(self, patience: "_Patience") -> None:
        pubsub = self._link.apubsub()
        self._confirmed.clear()
        self._unread.clear()
        try:
            await self._follow(pubsub, patience)
        finally:
            with suppress(*AWAY):
                await pubsub.aclose()

    async def _follow(self, pubsub: Any, patience: "_Patience") -> None:
        """Write what is asked for, and read what comes, until nobody waits."""
        asked: set[bytes] = set()
        reader: asyncio.Task[None] | None = None
        try:
            while True:
                self._changed.clear()
                wanted = set(self.waiters)
                if not wanted:
                    return
                await _in_parts(pubsub.unsubscribe, asked - wanted)
                await _in_parts(pubsub.subscribe, wanted - asked)
                asked = wanted
                if reader is None:
                    reader = asyncio.create_task(self._read(pubsub, patience), name="canvas-watch-reader")
                    reader.add_done_callback(lambda _: self._changed.set())
                await self._read_stored()
                await self._changed.wait()
                if reader.done():
                    return reader.result()
        finally:
            if reader is not None:
                reader.cancel()
                await asyncio.wait([reader])
                if not reader.cancelled():
                    reader.exception()  # looked at; what matters of it has been raised

    async def _read(self, pubsub: Any, patience: "_Patience") -> None:
        pulse = Pulse()
        while True:
            message = await pubsub.get_message(timeout=1.0)
            if message is None:
                if pulse.due():
                    await pubsub.ping()
                continue
            pulse.heard()
            patience.renew()
            self._deliver(message)

    def _deliver(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        match message["type"]:
            case "subscribe":
                self._confirmed.add(channel)
                self._unread += [(channel, waiter) for waiter in self.waiters.get(channel, ())]
                self._changed.set()
            case "unsubscribe":
                self._confirmed.discard(channel)
            case "message":
                for waiter in self.waiters.get(channel, ()):
                    waiter.queue.put_nowait((self._id(channel), message["data"]))

    def _id(self, channel: bytes) -> str:
        return channel.decode().removeprefix(self._prefix)

    async def _read_stored(self) -> None:
        """What is stored of what is subscribed to by now."""
        while self._unread:
            some, self._unread = self._unread[:_AT_ONCE], self._unread[_AT_ONCE:]
            found = await self._aget([self._id(channel) for channel, _ in some])
            for (channel, waiter), payload in zip(some, found, strict=True):
                if payload is not None:
                    waiter.queue.put_nowait((self._id(channel), payload))
                waiter.looked(channel)


class _Patience:
    """How long a server that is away is waited for."""

    def __init__(self) -> None:
        self._until = 0.0
        self.renew()

    def renew(self) -> None:
        """It answers."""
        self._until = time.monotonic() + _GIVE_UP_AFTER

    def over(self) -> bool:
        return time.monotonic() >= self._until


async def _in_parts(call: Callable[..., Any], channels: Iterable[bytes]) -> None:
    every = list(channels)
    for start in range(0, len(every), _AT_ONCE):
        await call(*every[start : start + _AT_ONCE])


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
        channels = [self._keys.task(task_id).encode() for task_id in task_ids]
        waiter = hub.add(channels)
        try:
            yield QueuedWatch(waiter.queue)
        finally:
            hub.remove(channels, waiter)
