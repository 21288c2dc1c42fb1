"""Several results that are waited for together (semantics.md R5, G10–G14)."""

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from canvas.caller_warnings import ends_in_caller
from canvas.context import current_app
from canvas.errors import TimeoutError
from canvas.model import states
from canvas.model.record import Record
from canvas.result.bases import ResultApp, ResultBase
from canvas.result.stored_result import StoredResult
from canvas.result.wait_rules import (
    CallsInOrder,
    MemberCallbacks,
    awaiting,
    check_join_allowed,
    concluded,
    deadline,
    poll_interval,
    replies,
    warn_of_blocked_loop,
    without_echo,
)


@ends_in_caller()
class ResultSet(ResultBase):
    """Results that are waited for together; values come in the order of the results."""

    _app: ResultApp | None = None
    """The app of its class, if that is ``app.ResultSet`` or ``app.GroupResult``."""

    def __init__(self, results: Iterable[Any], app: ResultApp | None = None, **_: Any) -> None:
        self.results: list[Any] = list(results)
        if app is not None:
            self._app = app
        self.parent = None

    @property
    def app(self) -> Any:
        """The app whose results they are: its own, a member's, or the current one."""
        if self._app is None:
            return next((leaf._app for leaf in self.leaves() if leaf._app is not None), None) or current_app()
        return self._app

    @app.setter
    def app(self, value: Any) -> None:
        self._app = value

    @property
    def backend(self) -> Any:
        """The result backend that they are read from."""
        return self.app.backend

    supports_native_join = True  # every result backend of canvas waits for many at once

    def add(self, result: Any) -> None:
        """Add a result that is not in it yet."""
        if result not in self.results:
            self.results.append(result)

    def remove(self, result: Any) -> None:
        """Remove a result, or the one of an id. Raises KeyError when it is not there."""
        try:
            self.results.remove(result)
        except ValueError:
            raise KeyError(result) from None

    def discard(self, result: Any) -> None:
        """Remove a result, if it is there."""
        if result in self.results:
            self.results.remove(result)

    def update(self, results: Iterable[Any]) -> None:
        """Add those of ``results`` that are not in it yet."""
        for result in results:
            self.add(result)

    def clear(self) -> None:
        """Remove all results."""
        self.results.clear()

    @property
    def children(self) -> list[Any]:
        """Its results."""
        return self.results

    def leaves(self) -> list[StoredResult]:
        """The results of its tasks, also of those in nested groups."""
        return [leaf for result in self.results for leaf in result.leaves()]

    def _refresh(self) -> list[StoredResult]:
        """The tasks in it whose results are kept, after one read of all that are not final yet."""
        leaves = [leaf for leaf in self.leaves() if not leaf.ignored]
        unknown = [leaf for leaf in leaves if leaf.final_record is None]
        if unknown:
            records = self.backend.get_records([leaf.id for leaf in unknown])
            for leaf, record in zip(unknown, records, strict=True):
                if record is not None:
                    leaf.keep(record)
        return leaves

    def successful(self) -> bool:
        """Whether all tasks have succeeded. Tasks whose results are ignored do not count."""
        return all(_is(leaf, states.SUCCESS) for leaf in self._refresh())

    def failed(self) -> bool:
        """Whether any task has ended in FAILURE."""
        return any(_is(leaf, states.FAILURE) for leaf in self._refresh())

    def waiting(self) -> bool:
        """Whether any is not ready; tasks whose results are ignored are not waited for."""
        return any(leaf.final_record is None for leaf in self._refresh())

    def ready(self) -> bool:
        """Whether all are ready; tasks whose results are ignored are not waited for."""
        return not self.waiting()

    def completed_count(self) -> int:
        """How many tasks have succeeded."""
        return sum(_is(leaf, states.SUCCESS) for leaf in self._refresh())

    def maybe_throw(self, callback: Callable[[str, Any], Any] | None = None, propagate: bool = True) -> None:
        """Raise the first member's exception, in order, if one failed and ``propagate`` is true."""
        for result in self.results:
            result.maybe_throw(callback=callback, propagate=propagate)

    maybe_reraise = maybe_throw

    def get(
        self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None, no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], Any] | None = None, disable_sync_subtasks: bool = True,
        on_interval: Callable[[], Any] | None = None,
    ) -> Any:  # fmt: skip
        """Wait for all. Returns their values in order. ``on_interval`` is called about every second meanwhile.

        With ``propagate`` the first exception to arrive is raised. With ``callback`` it is called as
        ``callback(id, value)`` for each member as its value arrives (a group's: the list of its members' values), and
        the return value is ``None``. A task whose result is ignored is not waited for; its value is ``None``.
        Raises TimeoutError, and RuntimeError inside a task unless all are results of ``apply()``.
        """
        if not all(leaf.eager for leaf in self.leaves()):
            if disable_sync_subtasks:
                check_join_allowed()
            warn_of_blocked_loop()
        members = MemberCallbacks(self.results, callback, _value)
        for leaf in self._arrivals(timeout, propagate, on_message, on_interval):
            members.arrived(leaf.id)
        return None if callback is not None else self._values()

    def join(
        self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5,
        callback: Callable[[str, Any], Any] | None = None, no_ack: bool = True,
        on_message: Any = None, disable_sync_subtasks: bool = True, on_interval: Any = None,
    ) -> Any:  # fmt: skip
        """``get`` that calls ``callback`` in the order of the members, and then returns an empty list."""
        ordered = None if callback is None else CallsInOrder(self.results, callback)
        found = self.get(timeout, propagate, interval, ordered, no_ack, on_message, disable_sync_subtasks, on_interval)
        return found if callback is None else []

    def join_native(
        self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5,
        callback: Any = None, no_ack: bool = True, on_message: Any = None, on_interval: Any = None,
        disable_sync_subtasks: bool = True,
    ) -> Any:  # fmt: skip
        """``get``, with Celery's order of the last two parameters."""
        return self.get(
            timeout, propagate, interval, callback, no_ack, on_message, disable_sync_subtasks, on_interval
        )  # fmt: skip

    def _values(self) -> list[Any]:
        return [_value(result) for result in self.results]

    def iter_native(
        self, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True, on_message: Any = None,
        on_interval: Any = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
        """``(task_id, meta)`` of each task whose result is kept, as they arrive."""
        for leaf in self._arrivals(timeout, False, on_message, on_interval):
            yield leaf.id, leaf.record().meta()

    def iterate(self, timeout: float | None = None, propagate: bool = True, **_: Any) -> Iterator[Any]:
        """The values of the tasks whose results are kept, as they arrive."""
        for leaf in self._arrivals(timeout, propagate, None):
            yield leaf.record().result

    def _arrivals(
        self, timeout: float | None, propagate: bool, on_message: Any, on_interval: Any = None
    ) -> Iterator[StoredResult]:
        """Each task once, as it becomes final; without the tasks whose results are ignored."""
        pending = {leaf.id: leaf for leaf in self.leaves() if not leaf.ignored}
        for task_id in [task_id for task_id, leaf in pending.items() if leaf.final_record is not None]:
            yield concluded(pending.pop(task_id), propagate)
        if not pending:
            return
        left, on_message = deadline(timeout), without_echo(on_message)
        with self.backend.watch(list(pending)) as watch:
            while pending:
                found = watch.next(poll_interval(left(), on_interval))
                if found is None and left() != 0:
                    continue
                if found is None:
                    raise TimeoutError(f"The operation timed out: {len(pending)} results not ready after {timeout} s")
                leaf = _arrived(pending, found, on_message)
                if leaf is not None:
                    watch.drop(leaf.id)
                    yield concluded(leaf, propagate)

    async def aget(
        self, timeout: float | None = None, propagate: bool = True,
        callback: Callable[[str, Any], Any] | None = None, on_message: Callable[[dict[str, Any]], Any] | None = None,
        **_: Any,
    ) -> Any:  # fmt: skip
        """``get`` on an event loop; inside a task as ``AsyncResult.aget``."""
        members = MemberCallbacks(self.results, callback, _value)
        kept = [leaf for leaf in self.leaves() if not leaf.ignored]
        pending = {leaf.id: leaf for leaf in kept if leaf.final_record is None}
        for arrived in kept:
            if arrived.final_record is not None:
                members.arrived(arrived.id)
        left, place, on_message = deadline(timeout), awaiting(), without_echo(on_message)
        if pending:
            async with place, self.backend.awatch(list(pending)) as watch:
                while pending:
                    found = await watch.next(left())
                    if found is None:
                        raise TimeoutError(
                            f"The operation timed out: {len(pending)} results not ready after {timeout} s"
                        )
                    leaf = _arrived(pending, found, on_message)
                    if leaf is not None:
                        members.arrived(concluded(leaf, propagate).id)
        if propagate:
            self.maybe_throw()
        return None if callback is not None else self._values()

    def __await__(self) -> Generator[Any, None, Any]:
        return self.aget().__await__()

    def forget(self) -> None:
        """Delete the records."""
        for result in self.results:
            result.forget()

    def revoke(
        self, connection: Any = None, terminate: bool = False, signal: str | None = None, wait: bool = False,
        timeout: float | None = None,
    ) -> None:  # fmt: skip
        """Ask workers not to run any of them; ``wait`` and ``timeout`` as in ``AsyncResult.revoke``."""
        ids = [leaf.id for leaf in self.leaves()]
        self.app.control.revoke(ids, terminate=terminate, signal=signal or "SIGTERM", **replies(wait, timeout))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __getitem__(self, index: int) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __eq__(self, other: object) -> bool:
        return other.results == self.results if isinstance(other, ResultSet) else NotImplemented

    def __hash__(self) -> int:
        raise TypeError("a ResultSet changes and cannot be hashed; hash its results")

    def __reduce__(self) -> tuple[Any, ...]:
        return ResultSet, (self.results,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(str(r.id) for r in self.results)}]>"


def _is(leaf: StoredResult, state: str) -> bool:
    return leaf.final_record is not None and leaf.final_record.status == state


def _arrived(pending: dict[str, StoredResult], found: tuple[str, Record], on_message: Any) -> StoredResult | None:
    """The handle that became final with this record, taken out of ``pending``."""
    task_id, record = found
    leaf = pending.get(task_id)
    if leaf is None:
        return None
    if on_message is not None:
        on_message(record.meta())
    leaf.keep(record)
    return pending.pop(task_id) if leaf.final_record is not None else None


def _value(result: Any) -> Any:
    """The value of a member: a list for one that has members itself."""
    if isinstance(result, ResultSet):
        return result._values()
    return None if result.ignored else result.record().result
