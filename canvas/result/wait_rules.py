"""Waiting for results: how much of a timeout is left, and where waiting is refused.

A task must not wait for results: it blocks the slot that the awaited task may need.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from canvas.caller_warnings import warn_caller
from canvas.model import states
from canvas.result.stored_result import StoredResult

Around = Callable[[], AbstractAsyncContextManager[None]]

_INTERVAL = 1.0
_ANSWER_WITHIN = 1.0
"""Seconds that an answer of workers is waited for by default."""
_denied: ContextVar[bool] = ContextVar("canvas_join_denied", default=False)
_blocks = True
"""Whether a wait in a task of this process is refused."""
_around: ContextVar[Around | None] = ContextVar("canvas_around_awaiting", default=None)


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Within, ``get()`` raises RuntimeError; the worker puts this around user code."""
    token = _denied.set(True)
    try:
        yield
    finally:
        _denied.reset(token)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Within, ``get()`` is allowed in a task. It is for callers that know that it cannot deadlock."""
    token = _denied.set(False)
    try:
        yield
    finally:
        _denied.reset(token)


def let_coroutines_await(around: Around) -> None:
    """Let coroutines of this context await results; each wait is inside the context manager that ``around()`` gives."""
    _around.set(around)


def without_echo(on_message: Callable[[dict[str, Any]], Any] | None) -> Callable[[dict[str, Any]], Any] | None:
    """``on_message``, for the records of a watch. The first of a task may be read, and be announced as well; it counts
    once."""
    if on_message is None:
        return None
    first: dict[str, dict[str, Any] | None] = {}

    def call(meta: dict[str, Any]) -> None:
        task_id = meta["task_id"]
        if task_id not in first:
            first[task_id] = meta
        elif first[task_id] is not None:
            known, first[task_id] = first[task_id], None
            if known == meta:
                return
        on_message(meta)

    return call


def task_join_will_block() -> bool:
    """Whether ``get()`` is refused here: inside a task."""
    return _blocks and _denied.get()


def set_task_join_will_block(blocks: bool) -> None:
    """Allow ``get()`` in all tasks of this process with False; refuse it again with True."""
    global _blocks
    _blocks = blocks


def check_join_allowed() -> None:
    """Raise RuntimeError inside a task."""
    if task_join_will_block():
        from canvas.error_traits import BLOCKING_WAIT, with_note

        refused = RuntimeError(
            "Never call result.get() within a task, and never await a result there! It blocks a worker slot and can "
            "deadlock: compose a chain or chord instead, let the task await the result in the asyncio pool "
            "(`worker -P asyncio`), or use allow_join_result() if you know that it cannot."
        )
        raise with_note(refused, BLOCKING_WAIT)


def awaiting() -> AbstractAsyncContextManager[None]:
    """The context manager for a wait for results on an event loop.

    Raises RuntimeError inside a task, unless the pool gives the slot of a waiting task to another task.
    """
    around = _around.get()
    if around is not None:
        return around()
    check_join_allowed()
    return nullcontext()


def warn_of_blocked_loop() -> None:
    """Warn if a blocking wait would block a running event loop."""
    asyncio = sys.modules.get("asyncio")
    # A cell of a notebook always runs on a loop, and has nothing else to do meanwhile.
    if asyncio is None or asyncio._get_running_loop() is None or "ipykernel" in sys.modules:
        return
    text = "result.get() blocks the running event loop until the result is there: use `await result.aget()`"
    warn_caller(text, RuntimeWarning)


def deadline(timeout: float | None) -> Callable[[], float | None]:
    """A function that returns how many of these seconds are left, from now on; ``None`` if there is no timeout."""
    if timeout is not None and not isinstance(timeout, int | float):
        raise TypeError(f"timeout: expected seconds (int or float), or None; got {timeout!r:.100}")
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    return lambda: None if timeout is None else max(0.0, deadline - time.monotonic())


def poll_interval(left: float | None, on_interval: Callable[[], Any] | None) -> float | None:
    """How many seconds to wait at once: all that are ``left``, or at most one second with ``on_interval``, which is
    called now."""
    if on_interval is None:
        return left
    on_interval()
    return _INTERVAL if left is None else min(_INTERVAL, left)


def replies(wait: bool, timeout: float | None) -> dict[str, Any]:
    """Options of a remote control command: whether, and for how long, its caller waits for the workers' answers."""
    return {"reply": True, "timeout": _ANSWER_WITHIN if timeout is None else timeout} if wait else {}


def concluded(leaf: StoredResult, propagate: bool) -> StoredResult:
    """The result, which has ended. With ``propagate`` raises the exception that it has ended with."""
    record = leaf.record()
    if propagate and record.status in states.PROPAGATE_STATES:
        record.throw()
    return leaf


class CallsInOrder:
    """A callback of ``get`` that calls ``callback`` for each member once those before it have arrived too."""

    def __init__(self, results: list[Any], callback: Callable[[str, Any], Any]) -> None:
        self._callback = callback
        self._order = [getattr(member, "id", None) or "" for member in results]
        self._arrived: dict[str, Any] = {}
        self._called = 0

    def __call__(self, member_id: str, value: Any) -> None:
        self._arrived[member_id] = value
        while self._called < len(self._order) and (next_id := self._order[self._called]) in self._arrived:
            self._called += 1
            self._callback(next_id, self._arrived[next_id])


class MemberCallbacks:
    """Calls ``callback`` for each member of a set once all that is in it has arrived; without one, nothing."""

    def __init__(
        self, results: list[Any], callback: Callable[[str, Any], Any] | None, value_of: Callable[[Any], Any]
    ) -> None:
        """``value_of`` gives the value of a member that has arrived."""
        self._callback = callback
        self._value_of = value_of
        self._waiting: dict[str, list[tuple[Any, set[str]]]] = {}
        for member in results if callback is not None else ():
            ids = {leaf.id for leaf in member.leaves() if not leaf.ignored}
            for task_id in ids:
                self._waiting.setdefault(task_id, []).append((member, ids))
            if not ids:
                self._call(member)

    def arrived(self, task_id: str) -> None:
        """The result of this task is there."""
        for member, ids in self._waiting.pop(task_id, ()):
            ids.discard(task_id)
            if not ids:
                self._call(member)

    def _call(self, member: Any) -> None:
        assert self._callback is not None
        self._callback(getattr(member, "id", None) or "", self._value_of(member))
