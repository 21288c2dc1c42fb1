"""A run of a workflow: its results, how it stands, and steering it.

A worker that cancels a run needs no graph: what loads networkx, for a second or longer, is imported where it is used.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Generator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol, Self

from canvas.config.sources import imported
from canvas.errors import CompositionError, InvalidTaskError, RunLost, TaskRevokedError, TimeoutError, WorkflowFailed
from canvas.model import states
from canvas.model.record import Record
from canvas.model.settlement import ChordStart
from canvas.model.workflow_definition import NodeDefinition
from canvas.model.workflow_run import SKIPPED, STAMP, NodeRef, RunNode, stamp_of, stamp_options, task_id_of
from canvas.producer.message_builder import Lineage
from canvas.producer.outbox import Outbox
from canvas.result import AsyncResult
from canvas.result.deadline import deadline
from canvas.result.join_guard import awaiting
from canvas.workflows.chord_callbacks import go_on_here
from canvas.workflows.earlier_attempts import FRESH
from canvas.workflows.engine import RunEngine
from canvas.workflows.lifetimes import record_ids
from canvas.workflows.services import WorkflowServices
from canvas.workflows.status import NodeStatus, RunStatus, ancestors, node_state, run_status
from canvas.workflows.store import run_metadata

TARGETS = ("canvas", "celery")


class Definition(Protocol):
    """A workflow as it was composed."""

    name: str
    entries: list[NodeDefinition]

    @property
    def app(self) -> WorkflowServices: ...


def start(
    flow: Definition,
    *,
    expires: Any = None,
    timeout: float | None = None,
    target: str = "canvas",
    in_process: bool | None = None,
) -> "Run":
    """Start a run of ``flow``, for canvas workers, or with ``target="celery"`` in a form that stock Celery workers run.

    Nodes that have not begun when it ``expires`` (seconds from now, or a time) never do. A run that has not ended
    after ``timeout`` seconds is cancelled, with what runs then; so is each later attempt, and a retry. With
    ``in_process`` (default: ``task_always_eager``) it is carried out here before this returns, and nothing is sent.
    Raises CompositionError, EncodeError, ConfigurationError without a result backend, OperationalError.
    """
    from canvas.graph.run_nodes import run_nodes

    app = flow.app
    nodes = run_nodes(flow.entries)
    if target not in TARGETS:
        raise CompositionError(f"target: expected one of {', '.join(TARGETS)}; got {target!r:.100}")
    about = run_metadata(flow.name, nodes, app.now(), target)
    if expires is not None:
        about["expires"] = _expire(app, nodes, expires)
    if timeout is not None:
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
            raise CompositionError(f"timeout: expected seconds above 0; got {timeout!r:.100}")
        about["timeout"] = timeout
    return _run(app, about, nodes, app.conf.task_always_eager if in_process is None else in_process)


def _run(app: WorkflowServices, about: dict[str, Any], nodes: list[RunNode], in_process: bool) -> "Run":
    """A new run of these nodes."""
    return _run_here("run_here", app, about, nodes) if in_process else Run.begin(app, about, nodes)


def _run_here(function: str, *args: Any) -> Any:
    """Call a function of the module that carries runs out with the worker's code, which is above this one."""
    return imported(f"canvas.worker.in_process:{function}")(*args)


async def astart(flow: Definition, **options: Any) -> "Run":
    """``start``, without blocking the event loop."""
    return await asyncio.to_thread(lambda: start(flow, **options))


def _expire(app: WorkflowServices, nodes: list[RunNode], expires: Any) -> str:
    """Let nodes that say nothing else expire then; the time as text."""
    if isinstance(expires, int | float) and not isinstance(expires, bool):
        expires = app.now() + timedelta(seconds=expires)
    if not isinstance(expires, datetime):
        raise InvalidTaskError(f"expires: expected seconds or a datetime; got {expires!r:.100}")
    when = expires.isoformat()
    for node in nodes:
        if node.sig is not None:
            node.sig = {**node.sig, "options": {"expires": when, **node.sig["options"]}}
    return when


def _lasting(nodes: list[RunNode], expired: str | None) -> list[RunNode]:
    """Nodes without the time at which their first run expired: it may be over."""
    if expired is None:
        return nodes
    return [
        replace(node, sig={**node.sig, "options": {k: v for k, v in node.sig["options"].items() if k != "expires"}})
        if node.sig is not None and node.sig["options"].get("expires") == expired
        else node
        for node in nodes
    ]


class Run:
    """One run; ``app.workflow(id)`` finds it from anywhere."""

    def __init__(
        self, app: WorkflowServices, run: str, about: dict[str, Any], attempt: int, nodes: list[RunNode]
    ) -> None:
        """``nodes``: those of the first attempt."""
        self.app = app
        self.id = run
        self.about = about
        self.attempt = attempt
        self.nodes = nodes
        self._numbers = {node.name: number for number, node in enumerate(nodes) if not node.hidden}

    @classmethod
    def begin(cls, app: WorkflowServices, about: dict[str, Any], nodes: list[RunNode]) -> Self:
        """A new run of these nodes, its first messages sent."""
        run = cls(app, app.new_id(), about, 0, nodes)
        effects = run._beginning(nodes, {})
        app.runs.keep(run.id, about, nodes)
        go_on_here(app, app.runs, app.driver.settler.settle([effects.settlement()]).verdicts)
        return run

    @classmethod
    def find(cls, app: WorkflowServices, run: str) -> Self:
        """The run of that id. Raises RunLost."""
        try:
            about, attempt = app.runs.about(run)
        except RunLost as exc:
            if app.conf.task_always_eager and not app.conf.task_store_eager_result:
                exc.add_note("task_always_eager is on: a run is found by its id only with task_store_eager_result")
            raise
        return cls(app, run, about, attempt, app.runs.nodes(run, 0, about["nodes"]))

    @property
    def name(self) -> str:
        return str(self.about["name"])

    def __getitem__(self, name: str) -> AsyncResult:
        """The result of a node."""
        try:
            number = self._numbers[name]
        except KeyError:
            raise KeyError(f"run {self.id} has no node {name!r}; it has {', '.join(self._numbers)}") from None
        return self.app.AsyncResult(task_id_of(self._place(number)))

    def __iter__(self) -> Any:
        return iter(self._numbers)

    def __repr__(self) -> str:
        return f"<Run {self.id} of {self.name}>"

    # -- results

    @property
    def result(self) -> AsyncResult:
        """The run itself: SUCCESS, or FAILURE with WorkflowFailed, when it has ended. Stock workers do not store it."""
        return self.app.AsyncResult(self.id)

    @property
    def state(self) -> str:
        """PENDING, STARTED, SUCCESS, FAILURE; CANCELLING and CANCELLED after ``cancel``."""
        return self.status().state

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.status().over if self._stock else self.result.ready()

    @property
    def _stock(self) -> bool:
        return bool(self.about["target"] == "celery")

    def get(self, timeout: float | None = None) -> Any:
        """Wait until it has ended; the value of the last node, or of all last nodes by name.

        A last node that failed and lets the run go on has its ``default``. Raises the error of the node that failed,
        TaskRevokedError for a run that was cancelled, WorkflowFailed when no cause is known, TimeoutError.
        """
        if self._stock:
            self._wait_for_nodes(timeout)
            return self._conclude(self.status().state)
        own = self.result
        own.get(timeout=timeout, propagate=False)
        return self._conclude(own.state)

    def _conclude(self, state: str) -> Any:
        self.refresh()
        if state != states.SUCCESS:
            self._raise_cause()
        sinks = self._sinks()
        values = self._last_values(sinks)
        return next(iter(values.values())) if len(sinks) == 1 and values else values

    def _wait_for_nodes(self, timeout: float | None) -> None:
        """Stock workers tell of nodes only, and send what follows one before they store its result: wait for all."""
        patience = deadline(timeout)
        ids = {task_id_of(self._place(number)): number for number in self._numbers.values()}
        left, failed = set(ids.values()), False
        with self.app.backend.watch(list(ids)) as watch:
            while left and not (failed and self.status().over):
                found = watch.next(patience())
                if found is None:
                    raise TimeoutError(f"The operation timed out: run {self.id} has not ended after {timeout} s")
                state = found[1].status
                if state in states.READY_STATES:
                    left.discard(ids[found[0]])
                    failed = failed or state in states.PROPAGATE_STATES

    async def aget(self, timeout: float | None = None) -> Any:
        """``get`` on an event loop."""
        if self._stock:
            return await asyncio.to_thread(self.get, timeout)
        own = self.result
        await own.aget(timeout=timeout, propagate=False)
        return await asyncio.to_thread(self._conclude, own.state)

    def __await__(self) -> Generator[Any, None, Any]:
        return self.aget().__await__()

    def results(self) -> dict[str, Any]:
        """The values of the nodes that have succeeded, by name."""
        return self._values(list(self._numbers.values()))

    def _sinks(self) -> list[int]:
        end = len(self.nodes) - 1
        return [number for number in self._numbers.values() if any(out.node == end for out in self.nodes[number].outs)]

    def _values(self, numbers: list[int]) -> dict[str, Any]:
        found = zip(numbers, self._records(numbers), strict=True)
        return {
            self.nodes[number].name: record.result
            for number, record in found
            if record is not None and record.status == states.SUCCESS
        }

    def _last_values(self, sinks: list[int]) -> dict[str, Any]:
        """What the last nodes come to, by name: a node that failed and lets the run go on has its default."""
        values: dict[str, Any] = {}
        for number, record in zip(sinks, self._records(sinks), strict=True):
            node = self.nodes[number]
            if record is not None and record.status == states.SUCCESS:
                values[node.name] = record.result
            elif record is not None and record.status in states.READY_STATES and node.goes_on:
                values[node.name] = node.default
        return values

    def _raise_cause(self) -> NoReturn:
        """Raise the error of a node that failed itself, or TaskRevokedError for a run that was cancelled."""
        if self.about.get("cancelled"):
            nodes = [f"{node.name} ({node.error})" for node in self.status().nodes if node.state == states.REVOKED]
            named = f"; nodes that had not ended: {', '.join(nodes):.200}" if nodes else ""
            overdue = self.app.runs.is_overdue(self.id, self.attempt)
            why = f": it had not ended after its timeout of {self.about['timeout']:g} s" if overdue else ""
            raise TaskRevokedError(f"run {self.id} of {self.name!r} was cancelled{why}{named}")
        failed = WorkflowFailed(self.id, "a node failed")
        for number, record in zip(self._numbers.values(), self._records(list(self._numbers.values())), strict=True):
            if record is None or self.nodes[number].goes_on:
                continue
            if node_state(record) in (states.FAILURE, states.REVOKED):
                failed.add_note(f"node {self.nodes[number].name}")
                try:
                    record.throw()
                except Exception as exc:
                    raise exc from failed
        raise failed

    def _records(self, numbers: list[int]) -> list[Record | None]:
        return self.app.backend.get_records([task_id_of(self._place(number)) for number in numbers])

    def _place(self, number: int) -> NodeRef:
        return NodeRef(self.id, self.about["attempts"][number], number)

    # -- looking

    def refresh(self) -> "Run":
        """Read what others have done to the run meanwhile. Raises RunLost."""
        self.about, self.attempt = self.app.runs.about(self.id)
        return self

    def status(self) -> RunStatus:
        """How it stands: its state, its nodes with states and times, its critical path."""
        return self._status(self._look())

    def _look(self) -> list[Record | None]:
        """The records of all nodes as they are now, and the run's own after them."""
        self.refresh()
        return self.app.backend.get_records([*self._ids(), self.id])

    def _ids(self) -> list[str]:
        return [task_id_of(self._place(number)) for number in range(len(self.nodes))]

    def _status(self, found: list[Record | None]) -> RunStatus:
        *records, own = found
        if own is not None and own.extra.get("attempt", self.attempt) != self.attempt:
            own = None
        return run_status(self.id, self.about, self.nodes, records, own, self._ids())

    async def progress(self) -> AsyncIterator[NodeStatus]:
        """Each node as it ends, those that had ended before first, until the run has ended.

        A node comes after the nodes that it depends on.
        """
        numbers = {task_id_of(self._place(number)): number for number in self._numbers.values()}
        ids = self._ids()
        told: set[str] = set()
        async with self.app.backend.awatch([*numbers, self.id]) as watch:
            while True:
                async with awaiting():
                    found = await watch.next(None)
                assert found is not None
                task_id, record = found
                if record.status not in states.READY_STATES or task_id in told:
                    continue
                told.add(task_id)
                if task_id == self.id:
                    break
                needed = {ids[number] for number in ancestors(self.nodes, numbers[task_id])} & numbers.keys() - told
                if needed:
                    for status in (await asyncio.to_thread(self.status)).nodes:
                        if status.task_id in needed and status.ended is not None:
                            told.add(status.task_id)
                            yield status
                yield NodeStatus.of(self.nodes[numbers[task_id]], task_id, record)
                if self._stock and (await asyncio.to_thread(self.status)).over:
                    break
        for status in (await asyncio.to_thread(self.status)).nodes:
            if status.task_id not in told and status.ended is not None:
                yield status

    def draw(self, form: str = "text") -> str:
        """A picture, coloured by state: ``text``, ``mermaid``, ``dot``, ``svg``."""
        from canvas.graph.pictures.drawing import draw_run

        return draw_run(self.nodes, {node.name: node.state for node in self.status().nodes}, form)

    def _repr_svg_(self) -> str:
        return self.draw("svg")

    # -- steering

    def cancel(self, terminate: bool = False, signal: str = "SIGTERM") -> bool:
        """Start no more of its nodes, and with ``terminate`` end those that run; False when it has ended already.

        What waits in a queue is REVOKED when a worker finds it there. Safe to call again.
        """
        return self._cancel(terminate, signal)

    def _cancel(self, terminate: bool, signal: str = "SIGTERM", overdue: int | None = None) -> bool:
        """``overdue``: the attempt whose time is over; no other one is cancelled."""
        if self.status().over or overdue not in (None, self.attempt):
            return False
        self.app.runs.cancel(self.id, self.attempt, overdue is not None and not self.about["cancelled"])
        self.app.control.revoke_by_stamped_headers(
            {STAMP: stamp_of(self.id, self.attempt)}, terminate=terminate, signal=signal
        )
        return True

    def resume(self, force: bool = False) -> bool:
        """Run the nodes again that failed, and those that never ran; the results of all others are used as they are.
        Nodes that were compensated run again too, and what stands on them.

        False when there is nothing to do: the run succeeded, goes on, or somebody else has just resumed it. With
        ``force`` a run is resumed that has not ended, because what was to go on is lost; what still runs of it leads to
        nothing more.
        """
        return _run_here("resume_here", self, force) if self.app.conf.task_always_eager else self._resume(force)

    def _resume(self, force: bool) -> bool:
        from canvas.graph.run_nodes import resumed, with_values

        found = self._look()
        status = self._status(found)
        if status.state == states.SUCCESS or not (force or status.over):
            return False
        ended, before = self._ended(found[:-1]), self.attempt
        undone = self._undone(ended) if status.over else set()
        ended = {number: how for number, how in ended.items() if number not in undone}
        ended |= {number: (states.SUCCESS, None) for number in self._chosen(ended)}
        again = Run(self.app, self.id, self._about_again(undone), before + 1, self.nodes)
        again.about["attempts"] = [
            known if number in ended else again.attempt for number, known in enumerate(self.about["attempts"])
        ]
        nodes = _lasting(self.nodes, self.about.get("expires"))
        left = resumed(nodes, ended)
        effects = again._beginning(with_values(nodes, ended) if self._stock else left, ended)
        start = None if self._stock else again._advance(effects).starting(again.about.get("timeout"))
        if not self.app.runs.advance(self.id, before, again.about, left, start):
            return False
        self.app.runs.outlive(self.id, record_ids(self.app, self.app.runs, self.id, before, self.nodes))
        self.app.control.keep_revoked_stamps({STAMP: stamp_of(self.id, before)})
        settler = self.app.driver.settler
        if start is None:
            verdict = settler.settle([effects.settlement()]).verdicts[0]
        else:
            verdict = settler.dispatch_chord(effects.firing(start.group_id))
        go_on_here(self.app, self.app.runs, [verdict])
        self.about, self.attempt = again.about, again.attempt
        return True

    def retry(self) -> "Run":
        """A new run of the same workflow, from its start."""
        about = run_metadata(self.name, self.nodes, self.app.now(), self.about["target"])
        about |= {"timeout": self.about["timeout"]} if "timeout" in self.about else {}
        return self._run_again(about, _lasting(self.nodes, self.about.get("expires")))

    def _run_again(self, about: dict[str, Any], nodes: list[RunNode]) -> "Run":
        return _run(self.app, about, nodes, self.app.conf.task_always_eager)

    def _about_again(self, undone: set[int]) -> dict[str, Any]:
        about = {key: value for key, value in self.about.items() if key != "cancelled"}
        fresh = {str(number): self.attempt + 1 for number in undone if self.nodes[number].kind == "map"}
        return {**about, FRESH: {**about.get(FRESH, {}), **fresh}} if fresh else about

    def _ended(self, records: list[Record | None]) -> dict[int, tuple[str, Any]]:
        """State and value of the nodes that have ended, as those after them see it."""
        ended: dict[int, tuple[str, Any]] = {}
        for number, record in enumerate(records):
            node, state = self.nodes[number], None if record is None else node_state(record)
            if record is not None and state in (states.SUCCESS, SKIPPED):
                ended[number] = (str(state), record.result)
            elif state == states.FAILURE and node.goes_on:
                ended[number] = (states.SUCCESS, node.default)
        return ended

    def _undone(self, ended: Collection[int]) -> set[int]:
        """The nodes that compensate, and have ended, and what stands on them."""
        undone: set[int] = set()
        for number, node in enumerate(self.nodes):
            if number in undone or (number in ended and node.compensate is not None):
                undone.add(number)
                undone.update(out.node for out in node.outs)
        return undone

    def _chosen(self, ended: Collection[int]) -> list[int]:
        """The branches that need not be decided again: all that follows them has ended."""
        return [
            number
            for number, node in enumerate(self.nodes)
            if node.kind == "choose" and all(out.node in ended for out in node.outs)
        ]

    def _beginning(self, nodes: list[RunNode], ended: dict[int, tuple[str, Any]]) -> Outbox:
        """What starts an attempt: that it runs is stored, and its first messages are sent."""
        effects, timeout = Outbox(self.app), self.about.get("timeout")
        if self._stock:
            self._embed(effects, nodes, ended)
            self._advance(effects).time_out(timeout)
        else:
            self.app.runs.hold(self.id, self.attempt, nodes, self.about)
            self._advance(effects).start(timeout)
        return effects

    def _advance(self, effects: Outbox) -> RunEngine:
        return RunEngine(self.app, self.app.runs, effects, self.id, self.attempt, None)

    def _embed(self, effects: Outbox, nodes: list[RunNode], ended: dict[int, tuple[str, Any]]) -> None:
        """The run in Celery's own form; values of what has ended come from identity tasks."""
        from canvas.graph.celery_form import Embedding
        from canvas.graph.wire_signature import estimated_bytes

        app = self.app

        def id_of(number: int) -> str:
            return app.new_id() if number in ended else task_id_of(NodeRef(self.id, self.attempt, number))

        stamp = stamp_options(self.id, self.attempt)
        embedding = Embedding(nodes, id_of, app.new_id, stamp)
        roots, limit = embedding.roots(), app.conf.task_message_max_bytes
        largest = max(estimated_bytes(roots))
        if limit and largest > limit:
            raise CompositionError(
                f"{self.name}: a message would have about {largest:,} bytes, more than task_message_max_bytes "
                f"({limit:,}): what follows {embedding.costliest()!r} stands in each of its parents' messages; let "
                "fewer nodes lead there, or run it on canvas workers (target='canvas')"
            )
        for root in roots:
            effects.send(effects.plan(root, (), {}), Lineage(self.id))
        expires = app.backend.chord_lives
        effects.joins += [ChordStart(barrier.group_id, barrier.size, expires) for barrier in embedding.barriers]


def end_overdue(app: WorkflowServices, run: str, attempt: int) -> str:
    """Cancel an attempt whose time is over; says what became of it."""
    try:
        found = Run.find(app, run)
    except RunLost:
        return "forgotten"
    if not found._cancel(terminate=True, overdue=attempt):
        return "had ended"
    return "cancelled"
