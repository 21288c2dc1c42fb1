"""Exceptions from other threads, raised in a coroutine at its current ``await``."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from threading import get_ident
from typing import Any

from canvas.errors import SoftTimeLimitExceeded
from canvas.model.outcome import Outcome


class Interruptible:
    """A coroutine that an exception can be raised in, wherever it waits. Its methods belong to the loop's thread."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        """``task`` is to await it."""
        self.ended_as: Outcome | None = None
        self.open = False
        self._task = task
        self._raising: BaseException | None = None
        self._coroutine: Any = None

    def watch(self, coroutine: Any) -> "Interruptible":
        """Itself, to be awaited instead of ``coroutine``."""
        self._coroutine = coroutine
        return self

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._coroutine.__await__()
        self.open = True
        try:
            waited = next(steps)
            while True:
                try:
                    answer = yield waited
                except BaseException as exc:  # noqa: BLE001 - handed on to the coroutine
                    waited = steps.throw(self.raised(exc))
                else:
                    waited = steps.send(answer)
        except StopIteration as over:
            return over.value
        finally:
            self.open = False

    def interrupt(self, exc: BaseException) -> None:
        """Raise ``exc`` in it; does nothing when it has ended."""
        if self.open:
            self._raising = exc
            self._task.cancel()

    def end(self, outcome: Outcome) -> None:
        """Cancel it; ``outcome`` is the outcome of its task."""
        if self.open:
            self.ended_as = outcome
            self.interrupt(asyncio.CancelledError())

    def raised(self, exc: BaseException) -> BaseException:
        """The exception to raise in the coroutine instead of the cancellation that woke it."""
        wanted, self._raising = self._raising, None
        if wanted is None:
            return exc
        self._task.uncancel()
        return wanted


class ThreadCoroutine:
    """A coroutine that a thread runs on an event loop of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._loop = loop
        self._task = loop.create_task(self._await(coroutine), context=copy_context())
        self._run = Interruptible(self._task)

    async def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await self._run.watch(coroutine)

    def result(self) -> Any:
        """Run it to its end, on the calling thread."""
        running_by_thread[get_ident()] = self
        try:
            while True:
                try:
                    return self._loop.run_until_complete(self._task)
                except SoftTimeLimitExceeded as exc:
                    if self._task.done():
                        raise
                    self._run.interrupt(exc)  # it came while the loop itself ran
        except (SystemExit, KeyboardInterrupt):
            # The cancellation of another task comes through the loop. A pending one must not reach the next coroutine.
            while not self._task.done():
                self._task.cancel()
                with suppress(SystemExit, KeyboardInterrupt, asyncio.CancelledError, Exception):
                    self._loop.run_until_complete(self._task)
            raise
        finally:
            del running_by_thread[get_ident()]

    def interrupt(self, exc: BaseException, wanted: Callable[[], bool]) -> None:
        """Raise ``exc`` in it at its next ``await``, if that is still wanted then. Can be called from any thread."""

        def call() -> None:
            if wanted():
                self._run.interrupt(exc)

        self._loop.call_soon_threadsafe(call)


def driven_elsewhere(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it to its end on a loop that another thread runs, in the context of the calling thread."""
    ended: Future[Any] = Future()

    async def run() -> None:
        try:
            ended.set_result(await coroutine)
        except BaseException as exc:  # noqa: BLE001 - raised on the thread that waits
            ended.set_exception(exc)

    def start() -> None:
        task = loop.create_task(run(), context=context)
        _elsewhere.add(task)
        task.add_done_callback(_elsewhere.discard)

    context = copy_context()
    loop.call_soon_threadsafe(start)
    return ended.result()


_elsewhere: set[asyncio.Task[None]] = set()
"""A loop keeps only weak references to its tasks."""


running_by_thread: dict[int, ThreadCoroutine] = {}
"""By thread."""


def on_another_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine, for a caller on a thread whose loop is running already: a task that is called as a
    function."""
    context = copy_context()
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(context.run, asyncio.run, coroutine).result()
