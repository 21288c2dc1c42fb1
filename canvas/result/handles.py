"""Handles of results: of one task, and of a group under the group's id (semantics.md §4).

The result of a task has children, which may be groups, and a group has members, which are results of tasks.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic

from canvas.caller_warnings import ends_in_caller
from canvas.context import current_app
from canvas.errors import DecodeError, TimeoutError
from canvas.model import states
from canvas.model.record import Handle
from canvas.result.bases import ResultApp
from canvas.result.result_set import ResultSet
from canvas.result.stored_result import StoredResult
from canvas.result.wait_rules import awaiting, check_join_allowed, replies, warn_of_blocked_loop

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R_co = TypeVar("R_co", default=Any, covariant=True)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)


@ends_in_caller("get", "wait", "aget", "maybe_throw", "maybe_reraise", "children", "forget", "revoke")
class AsyncResult(StoredResult, Generic[R_co]):
    """A handle on one task, by its id.

    ``id`` is the task's. A final state is read once and kept; until then every look is one read. Waiting is by
    subscription. ``parent`` is the result of the task before it in a chain; ``task_name`` may be unknown.
    """

    TimeoutError = TimeoutError

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
    ) -> R_co:
        """Wait until it is ready. Returns its value.

        Args:
            timeout: The longest wait in seconds; ``None``: no limit.
            propagate: Whether its exception is raised; otherwise it is the value.
            follow_parents: Whether the exception of an ancestor that failed is raised, within a second (semantics.md
                R6, R7).
            callback: Called with the id and the value; without ``propagate``, not if the final state was read before.
            on_message: Called with each record as it is stored, such as one with a state of your own.
            on_interval: Called about every second meanwhile.
            disable_sync_subtasks: Whether the call is refused inside a task.
            interval, no_ack, EXCEPTION_STATES, PROPAGATE_STATES: Accepted, as in Celery.

        Raises:
            TimeoutError: It is not ready after ``timeout`` seconds.
            RuntimeError: The call is inside a task.
        """
        if self.ignored:
            return None  # type: ignore[return-value]
        if disable_sync_subtasks:
            check_join_allowed()
        known, follow = self.final_record is not None, propagate and follow_parents
        if not known:
            warn_of_blocked_loop()
        if not self.is_settled(follow):
            # Imported late: programs that only send tasks do without.
            from canvas.result.single_wait import wait

            wait(self, timeout, follow, on_message, on_interval)
        return self.maybe_throw(propagate, callback if propagate or not known else None)  # type: ignore[no-any-return]

    wait = get

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], Any] | None = None,
        on_message: Callable[[dict[str, Any]], Any] | None = None,
    ) -> R_co:
        """``get`` on an event loop.

        Inside a task it raises RuntimeError, as ``get`` does, except in the asyncio pool: there the task gives its
        place to another while it waits.
        """
        if self.ignored:
            return None  # type: ignore[return-value]
        place = awaiting()
        known, follow = self.final_record is not None, propagate and follow_parents
        if not self.is_settled(follow):
            from canvas.result.single_wait import wait_async

            async with place:
                await wait_async(self, timeout, follow, on_message)
        return self.maybe_throw(propagate, callback if propagate or not known else None)  # type: ignore[no-any-return]

    def __await__(self) -> Generator[Any, None, R_co]:
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

    @property
    def children(self) -> list[Any] | None:
        """Results of the tasks that this one sent; ``None`` until they are known."""
        children = self.record().children
        return None if children is None else [result_from_tuple(child, self._app) for child in children]

    def forget(self) -> None:
        """Delete its record, and its ancestors'."""
        self.final_record = None
        if self.parent is not None:
            self.parent.forget()
        self.backend.forget(self.id)

    def revoke(
        self, connection: Any = None, terminate: bool = False, signal: str | None = None, wait: bool = False,
        timeout: float | None = None,
    ) -> None:  # fmt: skip
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
        """``revoke`` every task that has one of these stamps: ``headers`` maps names to values or lists of them."""
        control, asked = self.app.control, replies(wait, timeout)
        control.revoke_by_stamped_headers(headers, terminate=terminate, signal=signal or "SIGTERM", **asked)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, None, None, None, self.parent)


@ends_in_caller("save", "delete", "restore", "forget")
class GroupResult(ResultSet, Handle):
    """The results of a group, under the group's id."""

    id: str | None = None
    results: list[Any] = None  # type: ignore[assignment] # of the class: a mock made of it has the attribute

    def __init__(
        self,
        id: str | None = None,
        results: Iterable[Any] | None = None,
        parent: Any = None,
        app: ResultApp | None = None,
        **_: Any,
    ) -> None:
        # Set here rather than by the base's __init__: every group that is sent makes one.
        self.results = list(results or ())
        if app is not None:
            self._app = app
        self.id = id
        self.parent = parent

    def save(self, backend: Any = None) -> Any:
        """Keep the group's structure for ``GroupResult.restore(id)``. Returns the group itself."""
        ignored = [one.id for one in _with_ancestors(self) if one.ignored]
        (backend or self.backend).save_group(self.id, self.as_tuple(), ignored)
        return self

    def delete(self, backend: Any = None) -> None:
        """Remove the kept structure."""
        (backend or self.backend).delete_group(self.id)

    @classmethod
    def restore(cls, id: str, backend: Any = None, app: ResultApp | None = None) -> "GroupResult | None":
        """The group that was saved under ``id``; ``None`` when there is none.

        A task whose result is ignored is not waited for, if canvas saved the group.
        """
        app = app or cls._app
        saved = (backend or (app or current_app()).backend).saved_group(id)
        if saved is None:
            return None
        group: GroupResult = result_from_tuple(saved.structure, app)
        for one in _with_ancestors(group) if saved.ignored else ():
            one.ignored = one.id in saved.ignored
        return group

    def as_tuple(self) -> tuple[Any, ...]:
        """``((id, parent), [members])`` (semantics.md R1)."""
        return self.own_tuple(self.parent.as_tuple() if self.parent is not None else None)

    def own_tuple(self, before: Any) -> tuple[Any, ...]:
        """The tuple form, where ``before`` is that of its parent."""
        return (self.id, before), [result.as_tuple() for result in self.results]

    def forget(self) -> None:
        """Delete the members' records and the kept structure, its ancestors' too."""
        super().forget()
        if self.id is not None and self.backend.stores:
            self.delete()
        if self.parent is not None:
            self.parent.forget()

    def __str__(self) -> str:
        return str(self.id)

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return other.id == self.id and other.results == self.results and other.parent == self.parent
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<GroupResult: {self.id} [{', '.join(str(r.id) for r in self.results)}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        return GroupResult, (self.id, self.results, self.parent)


def _with_ancestors(result: Any) -> Iterator[AsyncResult]:
    """The tasks of a result and of all that came before it."""
    while result is not None:
        yield from result.leaves()
        result = result.parent


def result_from_tuple(r: Any, app: ResultApp | None = None) -> Any:
    """The handle that a tuple form ``r``, ``((id, parent), members)``, stands for (semantics.md R1).

    Raises DecodeError for a value that is not a tuple form.
    """
    try:
        return _handle(r, app)
    except (TypeError, ValueError, LookupError, RecursionError) as exc:
        raise DecodeError(f"result: expected ((id, parent), members); got {r!r:.100}") from exc


def _handle(structure: Any, app: ResultApp | None) -> Any:
    if structure is None:
        raise TypeError("nothing")
    if isinstance(structure, AsyncResult):
        return structure
    line = []
    node = structure
    while node is not None:
        line.append(node)
        node = node[0][1] if isinstance(node[0], list | tuple) else None
    one, several = (AsyncResult, GroupResult) if app is None else (app.AsyncResult, app.GroupResult)
    handle: Any = None
    for node in reversed(line):
        task_id = node[0][0] if isinstance(node[0], list | tuple) else node[0]
        members = node[1]
        if members is None:
            handle = one(task_id, parent=handle)
        else:
            handle = several(task_id, [_handle(m, app) for m in members], parent=handle)
    return handle
