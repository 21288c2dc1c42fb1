"""The results of a workflow's run, and the states of its nodes, read from the result backend."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from itertools import count
from typing import Any, Self

from canvas.caller_warnings import ends_in_caller
from canvas.errors import TaskRevokedError, TimeoutError, WorkflowFailed
from canvas.model import states
from canvas.model.record import Record
from canvas.model.run_index import in_celery_form
from canvas.model.workflow_run import IN_ROUNDS, NodeRef, RunNode, last_nodes, task_id_of
from canvas.result import AsyncResult
from canvas.result.wait_rules import awaiting, deadline
from canvas.workflows.compose.other_names import OtherMethods
from canvas.workflows.progress.causes import to_blame
from canvas.workflows.progress.celery_workers import items_of_celery, nodes_of_celery
from canvas.workflows.progress.unfinished import timeout_error
from canvas.workflows.run_records import page_work
from canvas.workflows.services import WorkflowServices
from canvas.workflows.status import NodeStatus, RunStatus, ancestors, node_state, run_state, run_status
from canvas.workflows.steps.earlier_attempts import usable_before


@ends_in_caller(known_as="Run")
class RunResults(OtherMethods):
    """The results of one run."""

    def __init__(
        self, app: WorkflowServices, run: str, about: dict[str, Any], attempt: int, nodes: list[RunNode]
    ) -> None:
        """``run``: its id. ``about``: its metadata. ``attempt``: the number of the latest one. ``nodes``: those of the
        first one."""
        self.app = app
        self.id = run
        self.about = about
        self.attempt = attempt
        self.nodes = nodes
        self._numbers = {node.name: number for number, node in enumerate(nodes) if not node.hidden}

    @property
    def name(self) -> str:
        """The workflow's name."""
        return str(self.about["name"])

    @property
    def key(self) -> str | None:
        """The ``run_key`` that it was started with."""
        return self.about.get("run_key")

    def __getitem__(self, name: str) -> AsyncResult:
        """The result of a node."""
        return self.app.AsyncResult(task_id_of(self._place(self._number(name))))

    def _number(self, name: str) -> int:
        try:
            return self._numbers[name]
        except KeyError:
            raise KeyError(f"run {self.id} has no node {name!r}; it has {', '.join(self._numbers)}") from None

    def __iter__(self) -> Any:
        return iter(self._numbers)

    @property
    def result(self) -> AsyncResult:
        """The result of the run itself: SUCCESS, or FAILURE with WorkflowFailed. Celery workers do not store it."""
        return self.app.AsyncResult(self.id)

    @property
    def state(self) -> str:
        """PENDING, STARTED, SUCCESS, FAILURE; CANCELLING and CANCELLED after ``cancel``."""
        return self.query()

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.status().over if in_celery_form(self.about) else self.result.ready()

    def successful(self) -> bool:
        """Whether it has ended with success."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether it has failed. A run that was cancelled has not."""
        return self.state == states.FAILURE

    def get(self, timeout: float | None = None, propagate: bool = True) -> Any:
        """Wait until it has ended. Returns the value of the last node, or of all last nodes by name.

        A last node that failed with ``on_failure="continue"`` has its ``default``. Raises the error of the node that
        failed, TaskRevokedError for a run that was cancelled, WorkflowFailed when no cause is known; without
        ``propagate`` it returns this error. Raises TimeoutError.
        """
        if in_celery_form(self.about):
            self._wait_for_nodes(timeout)
            return self.conclude(self.status().state, propagate)
        own = self.result
        try:
            own.get(timeout=timeout, propagate=False)
        except TimeoutError:
            raise timeout_error(self.id, timeout, len(self.nodes), self.status) from None
        return self.conclude(own.state, propagate)

    def conclude(self, state: str, propagate: bool = True) -> Any:
        """The value of the run, which has ended in ``state``; raises or returns the error as ``get`` does."""
        self.refresh()
        if state != states.SUCCESS:
            cause = self._cause()
            if propagate:
                raise cause
            return cause
        sinks = last_nodes(self.nodes)
        values = self._last_values(sinks)
        return next(iter(values.values())) if len(sinks) == 1 and values else values

    def _wait_for_nodes(self, timeout: float | None) -> None:
        """Wait for all nodes: Celery workers record nodes only, and send the next tasks before they store a result."""
        seconds_left = deadline(timeout)
        ids = {task_id_of(self._place(number)): number for number in self._numbers.values()}
        left, failed = set(ids.values()), False
        with self.app.backend.watch(list(ids)) as watch:
            while left and not (failed and self.status().over):
                found = watch.next(seconds_left())
                if found is None:
                    raise timeout_error(self.id, timeout, len(self.nodes), self.status)
                state = found[1].status
                if state in states.READY_STATES:
                    left.discard(ids[found[0]])
                    failed = failed or state in states.PROPAGATE_STATES

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> Any:
        """``get`` on an event loop."""
        if in_celery_form(self.about):
            return await asyncio.to_thread(self.get, timeout, propagate)
        own = self.result
        try:
            await own.aget(timeout=timeout, propagate=False)
        except TimeoutError:
            raise await asyncio.to_thread(timeout_error, self.id, timeout, len(self.nodes), self.status) from None
        return await asyncio.to_thread(self.conclude, own.state, propagate)

    def __await__(self) -> Generator[Any, None, Any]:
        return self.aget().__await__()

    def results(self) -> dict[str, Any]:
        """The values of the nodes that have succeeded, by name."""
        return self._values(list(self._numbers.values()))

    def _values(self, numbers: list[int]) -> dict[str, Any]:
        found = zip(numbers, self._records(numbers), strict=True)
        return {
            self.nodes[number].name: record.result
            for number, record in found
            if record is not None and record.status == states.SUCCESS
        }

    def _last_values(self, sinks: list[int]) -> dict[str, Any]:
        """The values of the last nodes by name: a node that failed with ``on_failure="continue"`` has its default."""
        values: dict[str, Any] = {}
        for number, record in zip(sinks, self._records(sinks), strict=True):
            node = self.nodes[number]
            if record is not None and record.status == states.SUCCESS:
                values[node.name] = record.result
            elif record is not None and record.status in states.READY_STATES and node.continue_on_failure:
                values[node.name] = node.default
        return values

    def _cause(self) -> Exception:
        """The error of a node that failed itself, or TaskRevokedError for a run that was cancelled."""
        if self.about.get("cancelled"):
            nodes = [f"{node.name} ({node.error})" for node in self.status().nodes if node.state == states.REVOKED]
            named = f"; nodes that had not ended: {', '.join(nodes):.200}" if nodes else ""
            overdue = self.app.run_store.is_overdue(self.id, self.attempt)
            why = f": it had not ended after its timeout of {self.about['timeout']:g} s" if overdue else ""
            return TaskRevokedError(f"run {self.id} of {self.name!r} was cancelled{why}{named}")
        failed = WorkflowFailed(self.id, "a node failed")
        records = self._records(list(range(len(self.nodes))))
        states_now = [
            None if one is None else node_state(node, one) for node, one in zip(self.nodes, records, strict=True)
        ]
        # Celery's workers deal with no failure, and pass it on as the failures of the nodes after it.
        blamed = set() if in_celery_form(self.about) else to_blame(self.nodes, states_now)
        for number in self._numbers.values():
            record = records[number]
            if record is None or self.nodes[number].continue_on_failure:
                continue
            if record.status == states.IGNORED:
                name = self.nodes[number].name
                failed = WorkflowFailed(self.id, f"{name}: the task raised Ignore, so that the node has no result")
            if states_now[number] in (states.FAILURE, states.REVOKED) and (number in blamed or not blamed):
                failed.add_note(f"node {self.nodes[number].name}")
                try:
                    record.throw()
                except Exception as exc:  # noqa: BLE001 - the caller raises it
                    exc.__cause__ = failed
                    return exc
        return failed

    def pages(self, name: str) -> Iterator[Any]:
        """The results of the node ``name``, which works page by page: for each page that is done the value of its work,
        in order. Raises KeyError."""
        place = self._place(self._number(name))
        attempts = [place, *usable_before(self.app.run_store, place)]
        for page in count():
            ids = [task_id_of(page_work(attempt, page)) for attempt in attempts]
            done = [record for record in self.app.backend.get_records(ids) if record is not None]
            found = next((record for record in done if record.status == states.SUCCESS), None)
            if found is None:
                return
            yield found.result

    def _records(self, numbers: list[int]) -> list[Record | None]:
        return self.app.backend.get_records([task_id_of(self._place(number)) for number in numbers])

    def _place(self, number: int) -> NodeRef:
        return NodeRef(self.id, self.about["attempts"][number], number)

    def refresh(self) -> Self:
        """Read the run's metadata again: other processes may have changed it. Raises RunLost."""
        self.about, self.attempt = self.app.run_store.metadata(self.id)
        return self

    def status(self) -> RunStatus:
        """The status of the run: its state, its nodes with states and times, its critical path."""
        found = self._look()
        status = self._status(found)
        left = [number for number, record in enumerate(found[:-1]) if record is None or record.status == states.STARTED]
        left = [number for number in left if self.nodes[number].kind in ("map", *IN_ROUNDS)]
        if left and not status.over:
            places = [(self._place(number), self.nodes[number]) for number in left]
            status.by_celery |= items_of_celery(self.app, places, [found[number] for number in left])
        return status

    def query(self, name: str | None = None) -> str:
        """The state of the run, or of its node ``name``, as it is now: it waits for nothing.

        It reads the record of the run, or of the node, where ``status`` reads those of all nodes; all are read for a
        node that has no record yet, and for a run of Celery workers. Raises KeyError for an unknown name, RunLost.
        """
        number = None if name is None else self._number(name)
        self.refresh()
        if not in_celery_form(self.about):
            if number is None:
                return run_state(self.about, self._of_this_attempt(*self.app.backend.get_records([self.id])))
            (record,) = self._records([number])
            if record is not None:
                return node_state(self.nodes[number], record)
        status = self.status()
        return status.state if name is None else next(node.state for node in status.nodes if node.name == name)

    def _look(self) -> list[Record | None]:
        """The records of all nodes as they are now, and the run's own after them."""
        self.refresh()
        return self.app.backend.get_records([*self._ids(), self.id])

    def _ids(self) -> list[str]:
        return [task_id_of(self._place(number)) for number in range(len(self.nodes))]

    def _status(self, found: list[Record | None]) -> RunStatus:
        *records, own = found
        status = run_status(self.id, self.about, self.nodes, records, self._of_this_attempt(own), self._ids())
        if not status.over:
            status.by_celery = nodes_of_celery(self.about, self.nodes, records)
        return status

    def _of_this_attempt(self, own: Record | None) -> Record | None:
        """The run's own record; ``None`` for one that an earlier attempt has left."""
        return own if own is None or own.extra.get("attempt", self.attempt) == self.attempt else None

    async def progress(self) -> AsyncIterator[NodeStatus]:
        """Each node as it ends, until the run has ended; first the nodes that have ended already.

        A node comes after the nodes that it depends on.
        """
        numbers = {task_id_of(self._place(number)): number for number in self._numbers.values()}
        ids = self._ids()
        seen: set[str] = set()
        async with self.app.backend.awatch([*numbers, self.id]) as watch:
            while True:
                async with awaiting():
                    found = await watch.next(None)
                assert found is not None
                task_id, record = found
                if record.status not in states.READY_STATES or task_id in seen:
                    continue
                seen.add(task_id)
                if task_id == self.id:
                    break
                needed = {ids[number] for number in ancestors(self.nodes, numbers[task_id])} & numbers.keys() - seen
                if needed:
                    for status in (await asyncio.to_thread(self.status)).nodes:
                        if status.task_id in needed and status.ended is not None:
                            seen.add(status.task_id)
                            yield status
                yield NodeStatus.of(self.nodes[numbers[task_id]], task_id, record)
                if in_celery_form(self.about) and (await asyncio.to_thread(self.status)).over:
                    break
        for status in (await asyncio.to_thread(self.status)).nodes:
            if status.task_id not in seen and status.ended is not None:
                yield status
