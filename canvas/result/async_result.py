"""The result of one task (semantics.md R2, R6–R9)."""

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from canvas.context import current_app
from canvas.errors import BrokerError, DecodeError, IncompleteStream, OperationalError, TaskRevokedError, TimeoutError
from canvas.model import states
from canvas.model.record import Handle, Record
from canvas.result.ancestors import Ancestors
from canvas.result.deadline import between, deadline
from canvas.result.join_guard import awaiting, check_join_allowed, warn_of_blocked_loop

_ANSWER_WITHIN = 1.0


class AsyncResult(Handle):
    """A handle on one task, by its id.

    A final state is read once and kept; until then every look is one read. Waiting is by subscription.
    """

    TimeoutError = TimeoutError
    sent_to: str | None = None
    """The queue that its message went into; ``None`` where this handle was not made by sending one message."""
    _app: Any = None
    """The app of its class, where that is ``app.AsyncResult``."""

    def __init__(
        self, id: str, backend: Any = None, task_name: str | None = None, app: Any = None, parent: Any = None
    ) -> None:
        if id is None:
            raise ValueError(f"AsyncResult requires a task id; got {id!r}")
        self.id = id
        if app is not None:
            self._app = app
        self.parent = parent
        self.task_name = task_name
        self.ignored = False
        self._backend = backend
        self._final: Record | None = None

    @property
    def task_id(self) -> str:
        return self.id

    @property
    def app(self) -> Any:
        """The app whose result it is; the current one where none was given."""
        return self._app if self._app is not None else current_app()

    @app.setter
    def app(self, value: Any) -> None:
        self._app = value

    @property
    def backend(self) -> Any:
        return self._backend if self._backend is not None else self.app.backend

    # -- looking

    def _record(self) -> Record:
        if self._final is not None:
            return self._final
        found = self.backend.get_records([self.id])[0]
        return self._keep(found) if found is not None else Record(self.id, states.PENDING)

    def _keep(self, record: Record) -> Record:
        if record.status in states.READY_STATES:
            self._final = record
        return record

    @property
    def state(self) -> str:
        """The stored state; PENDING when nothing is stored (semantics.md R2)."""
        return self._record().status

    status = state

    @property
    def result(self) -> Any:
        """The value, the exception, or a custom state's meta."""
        return self._record().result

    info = result

    @property
    def traceback(self) -> str | None:
        return self._record().traceback

    @property
    def date_done(self) -> datetime | None:
        """When it was over; ``None`` until then. Raises DecodeError for a record in which that is no time."""
        done = self._record().date_done
        if done is None:
            return None
        try:
            return datetime.fromisoformat(done)
        except (ValueError, TypeError):
            raise DecodeError(f"date_done of {self.id}: expected ISO 8601 text; got {done!r:.100}") from None

    def exists(self) -> bool:
        """Whether anything is stored of it."""
        return bool(self.backend.task_result_exists(self.id))

    def ready(self) -> bool:
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        return self.state == states.FAILURE

    @property
    def children(self) -> list[Any] | None:
        """Results of the tasks that this one sent; ``None`` until they are known."""
        children = self._record().children
        return None if children is None else [result_from_tuple(child, self._app) for child in children]

    def _extended(self, key: str) -> Any:
        return self._record().extra.get(key)

    @property
    def name(self) -> Any:
        return self._extended("name") or self.task_name

    @property
    def args(self) -> Any:
        return self._extended("args")

    @property
    def kwargs(self) -> Any:
        return self._extended("kwargs")

    @property
    def worker(self) -> Any:
        return self._extended("worker")

    @property
    def retries(self) -> Any:
        return self._extended("retries")

    @property
    def queue(self) -> Any:
        return self._extended("queue")

    @property
    def root(self) -> Any:
        """The first result of the line this one ends."""
        return self._line()[-1]

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
        if self._final is None:
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
        if self._final is not None:
            return
        with self.backend.watch([self.id]) as watch:
            while self._final is None:
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
        return self._final is not None and self._final.status == states.SUCCESS

    def _arrived(self, record: Record, on_message: Any) -> None:
        self._keep(record)
        if on_message is not None:
            on_message(record.meta())

    def _conclude(self, propagate: bool, callback: Callable[[str, Any], Any] | None) -> Any:
        record = self._final
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
        if self._final is None:
            async with away:
                await self._await(timeout, propagate and follow_parents, on_message)
        return self._conclude(propagate, callback)

    async def _await(self, timeout: float | None, follow_parents: bool, on_message: Any) -> None:
        ancestors = Ancestors(self.backend, self.parent if follow_parents else None)
        left = deadline(timeout)
        async with self.backend.awatch([self.id]) as watch:
            await ancestors.alook()
            while self._final is None:
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
        record = self._record()
        if propagate and record.status in states.PROPAGATE_STATES:
            record.throw()
        if callback is not None:
            callback(self.id, record.result)
        return record.result

    maybe_reraise = maybe_throw

    # -- acting

    def forget(self) -> None:
        """Delete its record, and its ancestors'."""
        self._final = None
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

    # -- lineage

    def leaves(self) -> "list[AsyncResult]":
        """The tasks this handle stands for."""
        return [self]

    def as_tuple(self) -> tuple[Any, ...]:
        """``((id, parent), None)`` (semantics.md R1)."""
        before: Any = None
        for node in reversed(self._line()):
            before = node._own_tuple(before)
        return before  # type: ignore[no-any-return]

    def _line(self) -> list[Any]:
        """This result, its parent, and so on to the first."""
        line: list[Any] = []
        node: Any = self
        while node is not None:
            line.append(node)
            node = node.parent
        return line

    def _own_tuple(self, before: Any) -> tuple[Any, ...]:
        return (self.id, before), None

    def as_list(self) -> list[str]:
        """Its id and those of its ancestors."""
        return [node.id for node in self._line()]

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """``(parent, result)`` of this result and all below it, breadth first.

        Raises IncompleteStream when one is not ready and ``intermediate`` is false.
        """
        pending: list[tuple[Any, Any]] = [(None, self)]
        while pending:
            parent, node = pending.pop(0)
            yield parent, node
            if node.ready():
                pending.extend((node, child) for child in node.children or [])
            elif not intermediate:
                raise IncompleteStream(f"{node!r} is not ready: its children are not known yet")

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """``(result, value)`` of this result and all below it."""
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**kwargs)

    def get_leaf(self) -> Any:
        """The value of the last result below this one."""
        return [value for _, value in self.collect()][-1]

    @property
    def graph(self) -> dict[Any, list[Any]]:
        """Each result below this one → the results that it waits for."""
        found: dict[Any, list[Any]] = {}
        for parent, node in self.iterdeps(intermediate=True):
            found.setdefault(node, [])
            if parent is not None:
                found[parent].append(node)
        return found

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return self.id == other.id
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, None, None, self.parent)


def replies(wait: bool, timeout: float | None) -> dict[str, Any]:
    """Options of a remote control command whose answers are waited for, or not."""
    return {"reply": True, "timeout": _ANSWER_WITHIN if timeout is None else timeout} if wait else {}


class EagerResult(AsyncResult):
    """The result of a task that ran in this process."""

    def __init__(
        self, id: str, ret_value: Any, state: str, traceback: str | None = None, name: str | None = None
    ) -> None:
        super().__init__(id)
        self._final = Record(id, state, ret_value, traceback)
        self._name = name

    @property
    def name(self) -> Any:
        return self._name

    def get(self, timeout: float | None = None, propagate: bool = True, *_: Any, **__: Any) -> Any:
        """The value at once; with ``propagate`` its exception is raised."""
        return self.maybe_throw(propagate=propagate)

    wait = get

    async def aget(self, timeout: float | None = None, propagate: bool = True, *_: Any, **__: Any) -> Any:
        return self.get(propagate=propagate)

    def ready(self) -> bool:
        return True

    def forget(self) -> None:
        return

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        self._final = Record(self.id, states.REVOKED, TaskRevokedError("revoked"))

    def __reduce__(self) -> tuple[Any, ...]:
        record = self._record()
        return EagerResult, (self.id, record.result, record.status, record.traceback, self._name)


_GROUPS: list[Callable[..., Any]] = []


def group_class(cls: Any) -> Any:
    """Enrol the class of results that have members; its file imports this one."""
    _GROUPS[:] = [cls]
    return cls


def result_from_tuple(structure: Any, app: Any = None) -> Any:
    """The handle that a tuple form stands for (semantics.md R1). Raises DecodeError for what is no tuple form."""
    try:
        return _handle(structure, app)
    except (TypeError, ValueError, LookupError, RecursionError) as exc:
        raise DecodeError(f"result: expected ((id, parent), members); got {structure!r:.100}") from exc


def _handle(structure: Any, app: Any) -> Any:
    if structure is None:
        raise TypeError("nothing")
    if isinstance(structure, AsyncResult):
        return structure
    line = []
    node = structure
    while node is not None:
        line.append(node)
        node = node[0][1] if isinstance(node[0], list | tuple) else None
    one, several = (AsyncResult, _GROUPS[0]) if app is None else (app.AsyncResult, app.GroupResult)
    handle: Any = None
    for node in reversed(line):
        task_id = node[0][0] if isinstance(node[0], list | tuple) else node[0]
        members = node[1]
        if members is None:
            handle = one(task_id, parent=handle)
        else:
            handle = several(task_id, [_handle(m, app) for m in members], parent=handle)
    return handle
