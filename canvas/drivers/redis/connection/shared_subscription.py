"""The subscription of an event loop, for all coroutines that wait for records on it."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.pauses import PAUSE, ReconnectDeadline
from canvas.drivers.redis.connection.pubsub import AT_ONCE, Keepalive
from canvas.drivers.redis.connection.redis_py import UNAVAILABLE
from canvas.drivers.redis.keys import ResultKeys
from canvas.errors import OperationalError


class _Afterwards:
    """Awaits a call at the end of a block, unless the block's task is deleted after its event loop was closed: nothing
    can be awaited then."""

    def __init__(self, call: Callable[[], Awaitable[None]]) -> None:
        self._call = call

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, GeneratorExit):
            await self._call()


class _Waiter:
    """A coroutine that waits for records, and the messages that have arrived for it."""

    def __init__(self, channels: Iterable[bytes]) -> None:
        self.queue: asyncio.Queue[tuple[str, bytes] | Exception | None] = asyncio.Queue()
        self.unread = set(channels)

    def looked(self, channel: bytes) -> None:
        """The record that was stored before the wait has been read."""
        if channel in self.unread:
            self.unread.discard(channel)
            if not self.unread:
                self.queue.put_nowait(None)


class SharedSubscription:
    """The one subscription of an event loop, shared by all waits on that loop.

    A task of its own exchanges data with Redis. The tasks that wait do nothing else, and may be cancelled at any
    moment.
    """

    def __init__(
        self, link: RedisClient, keys: ResultKeys, aget: Callable[[list[str]], Any], read_again_every: float = math.inf
    ) -> None:
        """``read_again_every``: seconds after which the records are read again, where announcements may be lost."""
        self._link = link
        self._keys = keys
        self._read_again_every = read_again_every
        self._aget = aget
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._confirmed: set[bytes] = set()
        self._unread: list[tuple[bytes, _Waiter]] = []
        self.waiters: dict[bytes, list[_Waiter]] = {}

    def add(self, channels: list[bytes]) -> _Waiter:
        """Watch these for one more waiter, which first gets the records that are stored already."""
        waiter = _Waiter(channels)
        for channel in channels:
            self.waiters.setdefault(channel, []).append(waiter)
            if channel in self._confirmed:
                self._unread.append((channel, waiter))
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = _quiet(asyncio.create_task(self._run(), name="canvas-watch"))
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
        """Stay subscribed while a coroutine waits; after a lost connection subscribe to, and read, everything again."""
        deadline = ReconnectDeadline()
        while self.waiters:
            try:
                with self._link.loop_errors():
                    await self._subscribed(deadline)
            except OperationalError as exc:
                if deadline.over():
                    self._give_up(exc)
                else:
                    await asyncio.sleep(PAUSE)
            except Exception as exc:  # noqa: BLE001 - the tasks that wait raise it, whatever it is
                self._give_up(exc)

    def _give_up(self, exc: Exception) -> None:
        for waiter in {waiter for waiters in self.waiters.values() for waiter in waiters}:
            waiter.queue.put_nowait(exc)
        self.waiters.clear()

    async def _subscribed(self, deadline: ReconnectDeadline) -> None:
        pubsub = self._link.apubsub()
        self._confirmed.clear()
        self._unread.clear()

        async def close() -> None:
            with suppress(*UNAVAILABLE):
                await pubsub.aclose()

        async with _Afterwards(close):
            await self._follow(pubsub, deadline)

    async def _follow(self, pubsub: Any, deadline: ReconnectDeadline) -> None:
        """Write the subscriptions that are asked for, and read the messages that come, until no task waits."""
        asked: set[bytes] = set()
        reader: asyncio.Task[None] | None = None

        async def end_reader() -> None:
            if reader is not None:
                reader.cancel()
                await asyncio.wait([reader])
                if not reader.cancelled():
                    reader.exception()  # retrieved, so that asyncio does not report it: where it matters, it was raised

        async with _Afterwards(end_reader):
            while True:
                self._changed.clear()
                wanted = set(self.waiters)
                if not wanted:
                    return
                await _in_parts(pubsub.unsubscribe, asked - wanted)
                await _in_parts(pubsub.subscribe, wanted - asked)
                asked = wanted
                if reader is None:
                    reader = _quiet(asyncio.create_task(self._read(pubsub, deadline), name="canvas-watch-reader"))
                    reader.add_done_callback(lambda _: self._changed.set())
                await self._read_stored()
                await self._changed.wait()
                if reader.done():
                    return reader.result()

    async def _read(self, pubsub: Any, deadline: ReconnectDeadline) -> None:
        keepalive, read_at = Keepalive(), time.monotonic()
        while True:
            message = await pubsub.get_message(timeout=1.0)
            if time.monotonic() - read_at >= self._read_again_every:
                read_at = time.monotonic()
                self._unread += [(channel, one) for channel in self._confirmed for one in self.waiters.get(channel, ())]
                self._changed.set()
            if message is None:
                if keepalive.due():
                    await pubsub.ping()
                continue
            keepalive.heard()
            deadline.renew()
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
        return self._keys.task_id(channel.decode())

    async def _read_stored(self) -> None:
        """Read the records that are stored under the channels that are subscribed to by now."""
        while self._unread:
            some, self._unread = self._unread[:AT_ONCE], self._unread[AT_ONCE:]
            found = await self._aget([self._id(channel) for channel, _ in some])
            for (channel, waiter), payload in zip(some, found, strict=True):
                if payload is not None:
                    waiter.queue.put_nowait((self._id(channel), payload))
                waiter.looked(channel)


def _quiet(task: "asyncio.Task[None]") -> "asyncio.Task[None]":
    """A task that a program may drop with its event loop: nothing is lost with it, and asyncio is not to report it."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    return task


async def _in_parts(call: Callable[..., Any], channels: Iterable[bytes]) -> None:
    every = list(channels)
    for start in range(0, len(every), AT_ONCE):
        await call(*every[start : start + AT_ONCE])
