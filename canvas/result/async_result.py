"""The result of one task (semantics.md R2, R6–R9)."""

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from canvas.errors import BrokerError, OperationalError, TimeoutError
from canvas.model import states
from canvas.model.record import Record
from canvas.result.ancestors import Ancestors
from canvas.result.deadline import between, deadline
from canvas.result.join_guard import awaiting, check_join_allowed, warn_of_blocked_loop
from canvas.result.stored_result import StoredResult
from canvas.result.tuples import single_result

_ANSWER_WITHIN = 1.0
"""Seconds that an answer of workers is waited for by default."""


@single_result
class AsyncResult(StoredResult):
    """A handle on one task, by its id.

    A final state is read once and kept; until then every look is one read. Waiting is by subscription.
    """

    TimeoutError = TimeoutError

    # -- waiting

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
        on_interval: Callable[[], Any] | None = None,
        disable_sync_subtasks: bool = True,
        EXCEPTION_STATES: Any = None,
        PROPAGATE_STATES: Any = None,
    ) -> Any:
        """Wait until it is ready; its value. ``on_interval`` is called about every second meanwhile.

        With ``propagate`` its exception is raised, and with ``follow_parents`` that of the first ancestor that
        failed, within a second of its failure (semantics.md R6, R7). Raises TimeoutError after ``timeout`` seconds.
        """
        if self.ignored:
            return None
        if disable_sync_subtasks:
            check_join_allowed()
        if self.final_record is None:
            warn_of_blocked_loop()
            self._wait(timeout, propagate and follow_parents, on_message, on_interval)
        return self._conclude(propagate, callback)

    wait = get

    def _wait(self, timeout: float | None, follow_parents: bool, on_message: Any, on_interval: Any) -> None:
        ancestors = Ancestors(self.backend, self.parent if follow_parents else None)
        left = deadline(timeout)
        with suppress(OperationalError):  # the wait has more patience
            stored = self.backend.get_records([self.id], retry=False)[0]
            if stored is not None and stored.status in states.READY_STATES:
                self._arrived(stored, on_message)
        if self._succeeded():
            return
        ancestors.look()
        if self.final_record is not None:
            return
        with self.backend.watch([self.id]) as watch:
            while self.final_record is None:
                found = watch.next(between(ancestors.patience(left()), on_interval))
                if found is not None:
                    self._arrived(found[1], on_message)
                if found is None or found[1].status in states.PROPAGATE_STATES:
                    ancestors.look()
                if found is None and left() == 0:
                    raise TimeoutError(self._late(timeout))

    def _late(self, timeout: float | None) -> str:
        """What the error of a wait says, with what one look at the task's queue shows."""
        text = f"The operation timed out: {self.id} is not ready after {timeout} s"
        if self.sent_to is None or self.app is None:
            return text
        try:
            waiting = self.app.driver.broker.queue_length(self.sent_to)
        except BrokerError:
            return text
        if not waiting:
            return f"{text}; no message waits in its queue {self.sent_to!r}"
        some = "1 message waits" if waiting == 1 else f"{waiting} messages wait"
        return f"{text}; {some} in its queue {self.sent_to!r}: does a worker take from it (worker -Q {self.sent_to})?"

    def _succeeded(self) -> bool:
        """Whether it has ended so that none of its ancestors can have failed."""
        return self.final_record is not None and self.final_record.status == states.SUCCESS

    def _arrived(self, record: Record, on_message: Any) -> None:
        self.keep(record)
        if on_message is not None:
            on_message(record.meta())

    def _conclude(self, propagate: bool, callback: Callable[[str, Any], Any] | None) -> Any:
        record = self.final_record
        assert record is not None
        if propagate:
            self.maybe_throw()
        if callback is not None:
            callback(self.id, record.result)
        return record.result

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
    ) -> Any:
        """``get`` on an event loop.

        Inside a task it raises RuntimeError, as ``get`` does, except in the asyncio pool: there the task gives its
        place to another while it waits.
        """
        if self.ignored:
            return None
        away = awaiting()
        if self.final_record is None:
            async with away:
                await self._await(timeout, propagate and follow_parents, on_message)
        return self._conclude(propagate, callback)

    async def _await(self, timeout: float | None, follow_parents: bool, on_message: Any) -> None:
        ancestors = Ancestors(self.backend, self.parent if follow_parents else None)
        left = deadline(timeout)
        async with self.backend.awatch([self.id]) as watch:
            await ancestors.alook()
            while self.final_record is None:
                found = await watch.next(ancestors.patience(left()))
                if found is not None:
                    self._arrived(found[1], on_message)
                if found is None or found[1].status in states.PROPAGATE_STATES:
                    await ancestors.alook()
                if found is None and left() == 0:
                    # A program on an event loop has imported it already; all others do without.
                    import asyncio

                    raise TimeoutError(await asyncio.to_thread(self._late, timeout))

    def __await__(self) -> Generator[Any, None, Any]:
        return self.aget().__await__()

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], Any] | None = None) -> Any:
        """Raise the task's exception if it failed; else its value."""
        record = self.record()
        if propagate and record.status in states.PROPAGATE_STATES:
            record.throw()
        if callback is not None:
            callback(self.id, record.result)
        return record.result

    maybe_reraise = maybe_throw

    # -- acting

    def forget(self) -> None:
        """Delete its record, and its ancestors'."""
        self.final_record = None
        if self.parent is not None:
            self.parent.forget()
        self.backend.forget(self.id)

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Ask workers not to run it, or with ``terminate`` to stop it.

        With ``wait``, return when the workers have answered, after ``timeout`` seconds (1 by default) at the latest.
        ``connection`` is Celery's, and not needed here.
        """
        control = self.app.control
        control.revoke(self.id, terminate=terminate, signal=signal or "SIGTERM", **replies(wait, timeout))

    def revoke_by_stamped_headers(
        self,
        headers: dict[str, Any],
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> None:
        """``revoke`` every task that has one of these stamps."""
        control, asked = self.app.control, replies(wait, timeout)
        control.revoke_by_stamped_headers(headers, terminate=terminate, signal=signal or "SIGTERM", **asked)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, None, None, self.parent)


def replies(wait: bool, timeout: float | None) -> dict[str, Any]:
    """Options of a remote control command whose answers are waited for, or not."""
    return {"reply": True, "timeout": _ANSWER_WITHIN if timeout is None else timeout} if wait else {}
