"""Signals that are sent at once on an event loop: they go to the store together, in a thread."""

import asyncio
from collections.abc import Sequence, Set
from itertools import chain
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from canvas.workflows.signals import Signal, send_signals, signal_to

if TYPE_CHECKING:
    from canvas.workflows.run_results import RunResults

_AT_ONCE = 50
"""The most signals in one call: the server does nothing else meanwhile."""
_CALLS = 2
"""The most calls at once: signals are prepared while the server works on those before."""
_BYTES = 1 << 20
"""The most bytes of payloads in one call, except for a single larger one."""


async def send_on_loop(run: "RunResults", name: str, payload: Any, key: str | None) -> None:
    """``Run.signal`` on the running event loop."""
    signal, loop = signal_to(run, name, payload, key), asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        queue = _queues[loop] = _SignalQueue()
    await queue.add(signal, loop)


_Batch = list[tuple[Signal, "asyncio.Future[None]"]]


class _SignalQueue:
    """The signals of one event loop that are to be sent, in their order."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Signal, asyncio.Future[None]]] = []
        self._sending: asyncio.Task[None] | None = None

    def add(self, signal: Signal, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """A future that ends when the signal is sent, or with its error."""
        sent: asyncio.Future[None] = loop.create_future()
        self._waiting.append((signal, sent))
        if self._sending is None or self._sending.done():
            # It begins after the other tasks that are ready now, which may send more.
            self._sending = loop.create_task(self._send())
        return sent

    async def _send(self) -> None:
        try:
            await self._send_waiting()
        finally:
            self._sending = None  # a task refers to its loop, and would keep it

    async def _send_waiting(self) -> None:
        under_way: dict[asyncio.Task[list[Exception | None]], _Batch] = {}
        try:
            while self._waiting or under_way:
                self._begin(under_way)
                done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for call in done:
                    _end(call, under_way.pop(call))
        except BaseException:
            for _, sent in (*chain.from_iterable(under_way.values()), *self._waiting):
                sent.cancel()
            self._waiting.clear()
            raise

    def _begin(self, under_way: "dict[asyncio.Task[list[Exception | None]], _Batch]") -> None:
        """Begin as many calls as there may be at once. Two signals to one run are never under way together."""
        while self._waiting and len(under_way) < _CALLS:
            busy = {signal.run.id for signal, _ in chain.from_iterable(under_way.values())}
            size = _size_of_first([signal for signal, _ in self._waiting[:_AT_ONCE]], busy)
            if size == 0:
                return
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            call = asyncio.to_thread(send_signals, [signal for signal, _ in batch])
            under_way[asyncio.get_running_loop().create_task(call)] = batch


def _end(call: "asyncio.Task[list[Exception | None]]", batch: "_Batch") -> None:
    """Tell the callers of a batch how its call has ended."""
    try:
        problems = call.result()
    except Exception as exc:  # noqa: BLE001 - it is the error of each of them
        problems = [exc] * len(batch)
    for (_, sent), problem in zip(batch, problems, strict=True):
        if sent.done():
            continue  # its caller no longer waits
        if problem is None:
            sent.set_result(None)
        else:
            sent.set_exception(problem)


def _size_of_first(signals: Sequence[Signal], busy: Set[str]) -> int:
    """How many of these go into one call: those of one app, one for each run, up to the limit of bytes, and none to a
    run that is ``busy``."""
    runs = set(busy)
    size = 0
    for at, signal in enumerate(signals):
        size += len(signal.step.value or b"")
        other = signal.run.app is not signals[0].run.app or size > _BYTES
        if signal.run.id in runs or (at and other):
            return at
        runs.add(signal.run.id)
    return len(signals)


_queues: "WeakKeyDictionary[asyncio.AbstractEventLoop, _SignalQueue]" = WeakKeyDictionary()
