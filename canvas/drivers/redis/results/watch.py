"""Records as they are announced: subscribe, then read, then wait; after a lost connection all of it again.

A thread that waits has a connection of its own for that time; an event loop has one for all that wait on it.
"""

import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from canvas.drivers.async_watch import AsyncQueueWatch
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.pauses import PAUSE, ReconnectDeadline
from canvas.drivers.redis.connection.pubsub import AT_ONCE, PubSub, Pushed
from canvas.drivers.redis.keys import ResultKeys
from canvas.errors import OperationalError

if TYPE_CHECKING:
    import asyncio

    from canvas.drivers.redis.connection.shared_subscription import SharedSubscription


class RedisWatch:
    """A watch of one thread."""

    def __init__(
        self, link: RedisClient, keys: ResultKeys, task_ids: Iterable[str], get: Callable[[list[str]], Any],
        read_again_every: float = math.inf,
    ) -> None:  # fmt: skip
        self._read_again_every = read_again_every
        self._link = link
        self._get = get
        self._channels = {keys.task(task_id).encode(): task_id for task_id in task_ids}
        self._keys = keys
        self._found: deque[tuple[str, bytes]] = deque()
        self._read_at = 0.0
        self._pubsub: PubSub | None = None
        self._deadline: float | None = None
        try:
            with link.errors():
                self._open()
        except OperationalError:
            self._let_go(PubSub.close)  # the caller decides for how long it tries again

    def _open(self) -> None:
        """Subscribe, wait for the confirmations, then read the records that are stored already."""
        pubsub = self._pubsub = self._link.pubsub()
        channels = list(self._channels)
        for start in range(0, len(channels), AT_ONCE):
            pubsub.subscribe(*channels[start : start + AT_ONCE])
        confirmed = 0
        while confirmed < len(channels):
            message = pubsub.next(self._left(5.0))
            if message is None:
                raise TimeoutError("no answer to SUBSCRIBE")
            confirmed += message.kind == "subscribe"
            self._take(message)
        self._read()

    def _read(self) -> None:
        """Read the records that are stored already."""
        self._read_at = time.monotonic()
        ids = list(self._channels.values())
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            self._found += [(i, p) for i, p in zip(some, self._get(some), strict=True) if p is not None]

    def _take(self, message: Pushed) -> None:
        if message.kind == "message" and message.channel in self._channels:
            self._found.append((self._channels[message.channel], message.data))

    def _left(self, most: float) -> float:
        """Seconds to wait for an answer: some, even where there was never time to wait."""
        return most if self._deadline is None else min(most, max(0.1, self._deadline - time.monotonic()))

    def _retry(self, call: Callable[[], Any]) -> Any:
        """Call; when the connection is lost, open another (which reads everything again) instead."""
        reconnecting = ReconnectDeadline()
        while True:
            try:
                with self._link.errors():
                    return call()
            except OperationalError:
                self._let_go(PubSub.close)
                if self._deadline is not None and time.monotonic() >= self._deadline:
                    return None
                if reconnecting.over():
                    raise
                time.sleep(self._left(PAUSE))
                call = self._open

    def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        """The next record; ``None`` after ``timeout`` seconds."""
        deadline = self._deadline = None if timeout is None else time.monotonic() + timeout
        while not self._found:
            most = min(10.0, self._read_again_every)
            left = most if deadline is None else min(most, deadline - time.monotonic())
            if left <= 0 and timeout:
                return None
            self._retry(partial(self._receive, left))
            if deadline is not None and time.monotonic() >= deadline and not self._found:
                return None
        return self._found.popleft()

    def _receive(self, seconds: float) -> None:
        if self._pubsub is None:
            self._open()
            return
        message = self._pubsub.next(seconds)
        while message is not None:
            self._take(message)
            message = self._pubsub.next(0) if not self._found else None
        if not self._found and time.monotonic() - self._read_at >= self._read_again_every:
            self._read()

    def drop(self, task_id: str) -> None:
        """Stop watching one id: records that still come for it are left out."""
        self._channels.pop(self._keys.task(task_id).encode(), None)

    def _let_go(self, part: Callable[[PubSub], None]) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            part(pubsub)

    def close(self) -> None:
        """Give the connection back."""
        self._let_go(self._link.leave)


class Watching:
    """Opens watches for one result store."""

    def __init__(
        self, link: RedisClient, keys: ResultKeys, get: Callable[[list[str]], Any], aget: Callable[[list[str]], Any],
        read_again_every: float = math.inf,
    ) -> None:  # fmt: skip
        """``read_again_every``: seconds after which a wait reads the records again, where announcements may be lost."""
        self._read_again_every = read_again_every
        self._link = link
        self._keys = keys
        self._get = get
        self._aget = aget
        self._subscriptions: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedSubscription] = WeakKeyDictionary()

    @contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator[RedisWatch]:
        """A watch for the calling thread."""
        watch = RedisWatch(self._link, self._keys, task_ids, self._get, self._read_again_every)
        try:
            yield watch
        finally:
            watch.close()

    @asynccontextmanager
    async def awatch(self, task_ids: Iterable[str]) -> AsyncIterator[AsyncQueueWatch]:
        """A watch for the calling coroutine."""
        # Imported late: most programs have no event loop.
        import asyncio

        from canvas.drivers.redis.connection.shared_subscription import SharedSubscription

        loop = asyncio.get_running_loop()
        subscription = self._subscriptions.get(loop)
        if subscription is None:
            for ended in [known for known in self._subscriptions if known.is_closed()]:
                del self._subscriptions[ended]
            subscription = self._subscriptions[loop] = SharedSubscription(
                self._link, self._keys, self._aget, self._read_again_every
            )
        channels = [self._keys.task(task_id).encode() for task_id in task_ids]
        waiter = subscription.add(channels)
        try:
            yield AsyncQueueWatch(waiter.queue)
        finally:
            subscription.remove(channels, waiter)
