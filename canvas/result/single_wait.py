"""Waiting for the result of one task, with a look at the tasks before it now and then (semantics.md R6, R7)."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from canvas.errors import BrokerError, OperationalError, TimeoutError
from canvas.interruptions import raise_interruption
from canvas.model import states
from canvas.model.record import Record
from canvas.result.stored_result import StoredResult
from canvas.result.wait_rules import deadline, poll_interval, without_echo

_FIRST_PAUSE = 0.05
_LAST_PAUSE = 1.0
_TIMES_A_LOOK = 20
_NAMED = 3
"""How many of the tasks that are missing an error names."""


class Ancestors:
    """The tasks before one result that have not succeeded yet, the first of all first.

    They are looked at, not subscribed to: a client that waits for a chord's body is not sent the 100,000 values of its
    header. Looks are a second apart at most, but take no more than a twentieth of the time.
    """

    def __init__(self, backend: Any, parent: Any) -> None:
        """``parent``: the handle before the result, ``None`` if there is none to look at."""
        line = []
        while parent is not None:
            line.append(parent)
            parent = parent.parent
        self._backend = backend
        self._unsure = [leaf for node in reversed(line) for leaf in node.leaves()]
        self._pause = _FIRST_PAUSE

    def next_look(self, left: float | None) -> float | None:
        """Seconds to wait until the next look, when ``left`` are left in all."""
        return min(left if left is not None else math.inf, self._pause) if self._unsure else left

    def check(self) -> None:
        """Raise the error of the first task that failed. While the server is unreachable this does nothing: the wait
        itself raises."""
        failed = None
        with self._looking():
            candidates = self._candidates(self._backend.succeeded(_ids(self._unsure)))
            failed = self._failed(candidates, self._backend.get_records(_ids(candidates)))
        if failed is not None:
            failed.throw()

    async def acheck(self) -> None:
        """``check`` on an event loop."""
        failed = None
        with self._looking():
            candidates = self._candidates(await self._backend.asucceeded(_ids(self._unsure)))
            failed = self._failed(candidates, await self._backend.aget_records(_ids(candidates)))
        if failed is not None:
            failed.throw()

    def missing(self) -> str:
        """The tasks that had no success at the last look, for an error's text; empty if there are none."""
        if not self._unsure:
            return ""
        ids = ", ".join([*_ids(self._unsure[:_NAMED]), *(["…"] if len(self._unsure) > _NAMED else [])])
        some = "1 task before it has" if len(self._unsure) == 1 else f"{len(self._unsure)} tasks before it have"
        where = "look for messages that wait (canvas queues) and for running tasks (canvas inspect active)"
        return f"{some} not succeeded ({ids}): {where}"

    @contextmanager
    def _looking(self) -> Iterator[None]:
        began = time.monotonic()
        with suppress(OperationalError):
            yield
        self._pause = max(min(self._pause * 2, _LAST_PAUSE), (time.monotonic() - began) * _TIMES_A_LOOK)

    def _candidates(self, succeeded: Sequence[bool | None]) -> list[Any]:
        """The tasks with a record that may not be a success; the successful ones are not looked at again."""
        found = list(zip(self._unsure, succeeded, strict=True))
        self._unsure = [leaf for leaf, success in found if not success]
        return [leaf for leaf, success in found if success is False]

    def _failed(self, candidates: list[Any], records: Sequence[Record | None]) -> Record | None:
        kept = [leaf.keep(record) for leaf, record in zip(candidates, records, strict=True) if record is not None]
        return next((record for record in kept if record.status in states.PROPAGATE_STATES), None)


def _ids(leaves: list[Any]) -> list[str]:
    return [leaf.id for leaf in leaves]


def wait(
    result: StoredResult,
    timeout: float | None,
    follow_parents: bool,
    on_message: Callable[[dict[str, Any]], Any] | None,
    on_interval: Callable[[], Any] | None,
) -> None:
    """Wait until ``result`` has a final record.

    Raises the error of the first ancestor that failed, with ``follow_parents``; TimeoutError after ``timeout`` seconds.
    """
    ancestors = Ancestors(result.backend, result.parent if follow_parents else None)
    left, on_message = deadline(timeout), without_echo(on_message)
    if result.final_record is None:
        with suppress(OperationalError):  # the wait below tries for longer
            stored = result.backend.get_records([result.id], retry=False)[0]
            if stored is not None and stored.status in states.READY_STATES:
                _arrived(result, stored, on_message)
    if result.final_record is not None and result.final_record.status == states.SUCCESS:
        return
    ancestors.check()
    if result.final_record is not None:
        return
    with result.backend.watch([result.id]) as watch:
        while result.final_record is None:
            found = watch.next(poll_interval(ancestors.next_look(left()), on_interval))
            if found is not None:
                _arrived(result, found[1], on_message)
            if found is None or found[1].status in states.PROPAGATE_STATES:
                ancestors.check()
            if found is None and left() == 0:
                raise TimeoutError(_timeout_text(result, timeout, ancestors.missing()))


async def wait_async(
    result: StoredResult,
    timeout: float | None,
    follow_parents: bool,
    on_message: Callable[[dict[str, Any]], Any] | None,
) -> None:
    """``wait`` on an event loop."""
    ancestors = Ancestors(result.backend, result.parent if follow_parents else None)
    left, on_message = deadline(timeout), without_echo(on_message)
    if result.final_record is not None:
        await ancestors.acheck()
        return
    async with result.backend.awatch([result.id]) as watch:
        await ancestors.acheck()
        while result.final_record is None:
            found = await watch.next(ancestors.next_look(left()))
            if found is not None:
                _arrived(result, found[1], on_message)
            if found is None or found[1].status in states.PROPAGATE_STATES:
                await ancestors.acheck()
            if found is None and left() == 0:
                # Imported late: a program on an event loop has imported it already; all others do without.
                import asyncio

                raise TimeoutError(await asyncio.to_thread(_timeout_text, result, timeout, ancestors.missing()))


def _arrived(result: StoredResult, record: Record, on_message: Callable[[dict[str, Any]], Any] | None) -> None:
    result.keep(record)
    if on_message is not None:
        on_message(record.meta())


def _timeout_text(result: StoredResult, timeout: float | None, missing: str) -> str:
    """The text of a wait's TimeoutError: the task's state, and the tasks that it waits for (``missing``) or the length
    of the queue that its message was sent to.

    Each server is asked once. One that does not answer is a reason for the timeout, and the text says so."""
    text = f"The operation timed out: {result.id} is not ready after {timeout} s"
    try:
        stored = result.backend.get_records([result.id], retry=False)[0]
    except Exception as exc:  # noqa: BLE001 - whatever a store raises, the wait has timed out
        raise_interruption(exc)
        return f"{text}; its state cannot be read: {exc}"
    text += f", its state is {states.PENDING if stored is None else stored.status}"
    if missing and stored is None:
        return f"{text}; {missing}"
    if result.sent_to is None or result.app is None:
        return text if stored else f"{text}; nothing is stored of it: do its workers store results in this backend?"
    queue = result.sent_to
    try:
        waiting = result.app.driver.admin.queue_length(queue, retry=False)
    except BrokerError as exc:
        return f"{text}; its queue cannot be read: {exc}"
    if not waiting:
        return f"{text}; no message waits in its queue {queue!r}"
    some = "1 message waits" if waiting == 1 else f"{waiting} messages wait"
    return f"{text}; {some} in its queue {queue!r}: does a worker take from it (worker -Q {queue})?"
