"""What the end of a node sets going: the nodes after it, one after the other, as effects of one settlement.

A node with one input starts at once; one with several is a chord whose parts are its inputs, and whoever
returns the last of them starts it. Nodes that run no task are settled on the way. What is too much for one settlement
is left to a chord of one part, which is ready at once.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from canvas.errors import CanvasError, CompositionError, RunLost, UpstreamFailed, WorkflowFailed
from canvas.model import states
from canvas.model.compiled import Plan, TaskCall
from canvas.model.record import Record
from canvas.model.settlement import Part, ReadyChord
from canvas.model.workflow_definition import IncomingEdge, NodeDefinition
from canvas.model.workflow_run import (
    CANCEL,
    RUN_HEADER,
    SKIPPED,
    STAMP,
    KnownInput,
    NameOf,
    NodeRef,
    RunNode,
    bind_inputs,
    bound_values,
    extract,
    items_id,
    outline_id,
    stamp_of,
    task_id_of,
)
from canvas.primitives.signature import Signature, maybe_signature
from canvas.producer.message_builder import Lineage
from canvas.producer.outbox import Outbox
from canvas.task.replace import collected
from canvas.telemetry import emit
from canvas.text import safe_repr
from canvas.wire import typed_json
from canvas.wire.signing import end_of, part_of
from canvas.workflows.earlier_attempts import Earlier, digest_of
from canvas.workflows.lifetimes import outlines
from canvas.workflows.services import WorkflowServices
from canvas.workflows.store import RunStore, run_metadata

AT_ONCE = 500
"""Nodes or items that one settlement starts at most."""
_FAILED = frozenset({states.FAILURE, states.REVOKED})


class RunEngine:
    """One settlement's way through one attempt of a run."""

    def __init__(
        self, app: WorkflowServices, runs: RunStore, effects: Outbox, run: str, attempt: int, parent: str | None
    ) -> None:
        """``parent``: the id of the task whose end this is."""
        self._app = app
        self._runs = runs
        self._effects = effects
        self._run = run
        self._attempt = attempt
        self._parent = parent
        self._left = AT_ONCE
        self._ended: list[tuple[int, int, str, Any]] = []

    # -- entrances

    def end(self, place: NodeRef, state: str, value: Any) -> None:
        """The task in ``place`` has ended."""
        if place.item is None:
            self._end(place.node, state, value)
        else:
            self._item(place, state, value)
        self._drain()

    def start(self, timeout: float | None) -> None:
        """The attempt starts, to be cancelled after ``timeout`` seconds."""
        self._record_run(Record(self._run, states.STARTED, None, None, []))
        self.time_out(timeout)
        self._end(0, states.SUCCESS, None)
        self._drain()

    def time_out(self, timeout: float | None) -> None:
        """Have the attempt cancelled then."""
        if timeout is not None:
            sig = self._app.signature(CANCEL, (self._run, self._attempt), countdown=timeout, ignore_result=True)
            self._effects.send(self._effects.plan(sig, (), {}), Lineage(self._run))

    def starting(self, timeout: float | None) -> ReadyChord:
        """What is ready when the attempt is to start, for whoever fires it."""
        group = f"{self._run}.{self._attempt}.start"
        return ReadyChord(group, self._fire(group, ["start", timeout]), [], None)

    def go_on(self, told: Sequence[Any], parts: Sequence[tuple[int, str, Any]]) -> None:
        """The chord of a run is ready: ``told`` says what for; ``parts`` are slot, state and value."""
        kind, number = told[0], told[1] if len(told) > 1 else 0
        match kind:
            case "start":
                self.start(number or None)
            case "node":
                self._start(number, [KnownInput(*part) for part in parts])
            case "items":
                self._collect(number, parts)
            case "undo":
                self._compensate([NodeRef(self._run, attempt, number) for number, attempt in told[1]], told[2])
            case "outs":
                self._ended.append((number, told[2], parts[0][1], parts[0][2]))
            case "map":
                self._go_on_with_items(number, told[2])
            case _:
                raise CompositionError(f"run {self._run}: expected a step of a run; got {kind!r:.100}")
        self._drain()

    def lose(self, told: Sequence[Any], exc: RunLost) -> None:
        """The chord's state is gone, before all its parts were in: its node fails."""
        kind, number = told[0], told[1]
        if kind == "node" and self._node(number).kind == "end":
            self._finish([KnownInput(0, states.FAILURE, exc)])
        else:
            self._fail(number, exc)
        self._drain()

    # -- from node to node

    def _end(self, number: int, state: str, value: Any) -> None:
        self._ended.append((number, 0, *_by_policy(self._node(number), state, value)))

    def _succeed(self, number: int, value: Any) -> None:
        """A node that runs no task of its own has its value."""
        self._record(number, states.SUCCESS, value)
        self._end(number, states.SUCCESS, value)

    def _drain(self) -> None:
        while self._ended:
            number, first, state, value = self._ended.pop()
            node = self._node(number)
            for place in range(first, len(node.outs)):
                if self._left <= 0:
                    self._part(f"{number}.outs.{place}", 0, state, value, ["outs", number, place], 1)
                    break
                self._left -= 1
                self._deliver(node, node.outs[place], state, value)

    def _deliver(self, node: RunNode, out: Any, state: str, value: Any) -> None:
        if node.kind == "choose" and state == states.SUCCESS:
            state, value = (states.SUCCESS, None) if out.arm == value else (SKIPPED, None)
        target = self._node(out.node)
        if target.slots[out.slot] != "data" and state == states.SUCCESS:
            value = None
        if target.open_slots == 1:
            self._start(out.node, [KnownInput(out.slot, state, value)])
        else:
            self._part(str(out.node), out.slot, state, value, ["node", out.node], target.open_slots)

    def _start(self, number: int, came: Sequence[KnownInput]) -> None:
        """All inputs of a node are there."""
        node = self._node(number)
        inputs = sorted((*node.given, *came))
        if node.kind == "end":
            self._finish(inputs)
            return
        failed = next((one for one in inputs if one.state in _FAILED), None)
        if failed is not None:
            self._fail(number, _upstream(node.name, failed.value))
        elif _is_skipped(node, inputs):
            self._record(number, states.SUCCESS, None, canvas=SKIPPED)
            self._ended.append((number, 0, SKIPPED, None))
        else:
            try:
                self._run_node(number, node, inputs)
            except (CanvasError, TypeError, ValueError, LookupError) as exc:
                self._fail(number, exc)

    def _run_node(self, number: int, node: RunNode, inputs: Sequence[KnownInput]) -> None:
        values = [one.value for one in inputs]
        match node.kind:
            case "choose":
                _, slot, pick = node.binds[0]
                value = extract(values[slot], pick, slot, self._source_of(number))
                arm = next((at for at, choice in enumerate(node.choices) if _same(choice, value)), len(node.choices))
                self._ended.append((number, 0, states.SUCCESS, arm))
            case "merge":
                value = next(one.value for one in inputs if one.state != SKIPPED)
                self._succeed(number, value)
            case "map":
                self._map(number, node, values)
            case _:
                assert node.sig is not None
                sig = bind_inputs(node.sig, node.binds, values, self._source_of(number))
                self._send(sig, (), NodeRef(self._run, self._attempt, number))

    def _fail(self, number: int, exc: BaseException) -> None:
        self._record(number, states.FAILURE, exc)
        # A node that never ran has no policy of its own to apply.
        if isinstance(exc, UpstreamFailed):
            self._ended.append((number, 0, states.FAILURE, exc))
        else:
            self._end(number, states.FAILURE, exc)

    # -- maps

    def _item(self, place: NodeRef, state: str, value: Any) -> None:
        """One item of a map has ended."""
        at = place.item
        assert at is not None
        state, value = _by_policy(self._node(place.node), state, value)
        self._part(f"{place.node}.items", at, state, value, ["items", place.node], place.size or 0)

    def _map(self, number: int, node: RunNode, values: list[Any]) -> None:
        over = node.binds[0]
        whole = extract(values[over.slot], over.pick, over.slot, self._source_of(number))
        items = leaves(whole, node.depth, node.name)
        if not items:
            self._succeed(number, whole)
            return
        place = NodeRef(self._run, self._attempt, number)
        if len(items) > self._left or node.depth > 1:
            self._effects.record(Record(items_id(place), states.STARTED, [whole, values], None, []), in_run=True)
        made_of = [node.sig, bound_values(node.binds, values, self._source_of(number))]
        size, digest = len(items), digest_of(made_of, self._app.backend.serializer)
        self._effects.record(Record(outline_id(place), states.STARTED, [size, digest], None, []), in_run=True)
        self._items(number, items, values, 0, Earlier.of(self._app, self._runs, place, size, digest))

    def _items(self, number: int, items: Sequence[Any], values: list[Any], first: int, earlier: "Earlier") -> None:
        node = self._node(number)
        assert node.sig is not None
        sig = bind_inputs(node.sig, node.binds[1:], values, self._source_of(number))
        last = min(len(items), first + max(self._left, 1))
        known = earlier.values(range(first, last))
        for at in range(first, last):
            place = NodeRef(self._run, self._attempt, number, at, len(items))
            if at in known:
                self._item(place, states.SUCCESS, known[at])
                continue
            try:
                self._send(sig, (items[at],), place)
            except (CanvasError, TypeError, ValueError) as exc:
                self._item(place, states.FAILURE, exc)
        self._left -= last - first
        if last < len(items):
            self._part(f"{number}.map.{last}", 0, states.SUCCESS, None, ["map", number, last], 1)

    def _go_on_with_items(self, number: int, first: int) -> None:
        node, (whole, inputs) = self._node(number), self._kept_items(number)
        place, items = NodeRef(self._run, self._attempt, number), leaves(whole, node.depth, node.name)
        (outline,) = outlines(self._app, self._runs, [place])
        if outline is None:
            raise RunLost(f"the outline of {node.name} in run {self._run} is gone from the result backend")
        self._items(number, items, inputs, first, Earlier.of(self._app, self._runs, place, *outline))

    def _kept_items(self, number: int) -> tuple[list[Any], list[Any]]:
        items = items_id(NodeRef(self._run, self._attempt, number))
        kept = self._runs.persist(lambda: self._app.backend.get_records([items]))[0]
        if kept is None:
            raise RunLost(f"the items of {self._node(number).name} in run {self._run} are gone from the result backend")
        return kept.result[0], kept.result[1]

    def _collect(self, number: int, parts: Sequence[tuple[int, str, Any]]) -> None:
        """Every item of a map has ended."""
        failed = next((value for _, state, value in parts if state in _FAILED), None)
        if failed is not None:
            self._record(number, states.FAILURE, failed)
            self._ended.append((number, 0, states.FAILURE, failed))
        else:
            values: Any = [value for _, _, value in parts]
            depth = self._node(number).depth
            if depth > 1:
                values = nested(self._kept_items(number)[0], depth, iter(values))
            self._succeed(number, values)

    # -- the end

    def _finish(self, inputs: Sequence[KnownInput]) -> None:
        failed = next((one.value for one in inputs if one.state in _FAILED), None)
        cause = failed.cause if isinstance(failed, UpstreamFailed) else safe_repr(failed)
        error = None if failed is None else WorkflowFailed(self._run, cause)
        state = states.SUCCESS if error is None else states.FAILURE
        record = Record(self._run, state, error, None, [])
        record.date_done = self._app.now().isoformat()
        self._record_run(record)
        if error is not None:
            about, _ = self._runs.about(self._run)
            numbers = about.get("compensated") or []
            if numbers:
                # What is to be undone has succeeded, which this settlement may be the one to store.
                places = [[number, about["attempts"][number]] for number in numbers]
                self._part("undo", 0, states.FAILURE, None, ["undo", places, about["name"]], 1)
                return
        self._runs.ended(self._run, self._attempt)

    def _compensate(self, places: Sequence[NodeRef], name: str) -> None:
        """Undo what had succeeded, the latest first, one after the other; each whatever became of those before."""
        records = self._runs.persist(lambda: self._app.backend.get_records([task_id_of(place) for place in places]))
        done = [
            (record.date_done or "", place.node, record.result)
            for place, record in zip(places, records, strict=True)
            if record is not None and record.status == states.SUCCESS and record.extra.get("canvas") != SKIPPED
        ]
        entries: list[NodeDefinition] = []
        for _, number, value in sorted(done, key=lambda one: (one[0], one[1]), reverse=True):
            node = self._node(number)
            assert node.compensate is not None
            args = list(node.compensate["args"])
            sig = {**node.compensate, "args": args if node.compensate["immutable"] else [value, *args]}
            before = [IncomingEdge(len(entries) - 1, "order")] if entries else []
            entries.append(NodeDefinition(f"undo {node.name}", "task", sig, sources=before, goes_on=True))
        if entries:
            self._undo(name, entries)
        self._runs.ended(self._run, self._attempt)

    def _undo(self, name: str, entries: list[NodeDefinition]) -> None:
        """Compensations are a run of their own, known by the run they undo."""
        # networkx takes longer to load than all else that a worker needs, and most never run a compensation.
        from canvas.graph.run_nodes import run_nodes

        run, nodes = f"{self._run}.{self._attempt}.undo", run_nodes(entries)
        self._runs.keep(run, run_metadata(f"undo {name}", nodes, self._app.now()), nodes)
        RunEngine(self._app, self._runs, self._effects, run, 0, self._parent).start(None)

    # -- parts of these

    def _node(self, number: int) -> RunNode:
        return self._runs.node(self._run, self._attempt, number)

    def _source_of(self, number: int) -> NameOf:
        """Finds the names of a node's parents, in the first attempt's nodes: later attempts leave edges out."""

        def name_of(slot: int) -> str:
            about, _ = self._runs.about(self._run)
            for node in self._runs.nodes(self._run, 0, about["nodes"]):
                if any(out.node == number and out.slot == slot for out in node.outs):
                    return node.name
            return "result"

        return name_of

    def _id(self, number: int) -> str:
        return task_id_of(NodeRef(self._run, self._attempt, number))

    def _send(self, sig: dict[str, Any], args: tuple[Any, ...], place: NodeRef) -> None:
        options = {"task_id": task_id_of(place), RUN_HEADER: place.as_list(), "ignore_result": False}
        stamp = stamp_of(self._run, self._attempt)
        if sig["subtask_type"] is None:
            plan = _plan_of_task(self._app, sig, args, options, stamp)
        else:
            whole: Signature[Any] = collected(self._app, maybe_signature(sig, self._app).clone())
            whole.stamp(None, False, **{STAMP: stamp})
            plan = self._effects.plan(whole, args, options)
        self._effects.send(plan, Lineage(self._run, self._parent))

    def _record_run(self, record: Record) -> None:
        record.extra = {"attempt": self._attempt}
        self._effects.record(record, in_run=True)

    def _record(self, number: int, state: str, result: Any, **extra: Any) -> None:
        if self._node(number).hidden:
            return
        record = Record(self._id(number), state, result, None, [], parent_id=self._parent)
        record.date_done = self._app.now().isoformat()
        record.extra = extra
        self._effects.record(record, in_run=True)

    def _part(self, name: str, slot: int, state: str, value: Any, told: list[Any], size: int) -> None:
        backend, group = self._app.backend, f"{self._run}.{self._attempt}.{name}"
        payload = backend.encode_part(str(slot), state, value)
        payload = self._app.signer.seal(part_of(group), payload)
        self._effects.parts.append(
            Part(group, str(slot), slot, payload, self._fire(group, told), backend.run_lives, size)
        )

    def _fire(self, group: str, told: list[Any]) -> bytes:
        fire = typed_json.dumps({"run": [self._run, self._attempt], "told": told, "parent_id": self._parent})
        return self._app.signer.seal(end_of(group), fire)


def _by_policy(node: RunNode, state: str, value: Any) -> tuple[str, Any]:
    """What those after a node see of its end, or a map's of an item's."""
    return (states.SUCCESS, node.default) if state in _FAILED and node.goes_on else (state, value)


def _plan_of_task(
    app: WorkflowServices, sig: dict[str, Any], args: tuple[Any, ...], options: dict[str, Any], stamp: str
) -> Plan:
    """A lone task's plan, without the way through a signature. Raises TypeError for arguments that don't fit."""
    given = tuple(sig["args"]) if sig["immutable"] else (*args, *sig["args"])
    names = [*(sig["options"].get("stamped_headers") or ()), STAMP]
    merged = {**sig["options"], **options, "stamped_headers": names, STAMP: stamp}
    task = app.tasks.get(sig["task"])
    if task is not None:
        task.check_arguments(given, sig["kwargs"])
    return Plan([TaskCall(sig["task"], given, sig["kwargs"], merged)])


def advance_all(app: WorkflowServices, runs: RunStore, effects: Outbox, parent: str | None) -> None:
    """Set going what follows every place of a run that ``effects`` say has ended."""
    while effects.ends:
        place, state, value = effects.ends.pop()
        try:
            RunEngine(app, runs, effects, place.run, place.attempt, parent).end(place, state, value)
        except RunLost as exc:
            end_lost(effects, place.run, place.attempt, exc)


def end_lost(effects: Outbox, run: str, attempt: int, exc: Exception) -> None:
    """End a run in failure that cannot go on, because what it needs is gone."""
    emit("run.lost", run=run, reason=str(exc))
    record = Record(run, states.FAILURE, exc, None, [])
    record.extra = {"attempt": attempt}
    effects.record(record)


def _is_skipped(node: RunNode, inputs: Sequence[KnownInput]) -> bool:
    """A node is left out with what it needs; a branch's own result only with all its arms."""
    needed = [one.state == SKIPPED for one in inputs if node.slots[one.slot] != "order"]
    return bool(needed) and (all(needed) if node.kind == "merge" else any(needed))


def _same(choice: Any, value: Any) -> bool:
    """JSON's equality: True is not 1."""
    return type(choice) is type(value) and bool(choice == value)


def leaves(whole: Any, depth: int, name: str) -> list[Any]:
    """The items of lists that are nested so deep. Raises CompositionError for what is no list."""
    if not isinstance(whole, list | tuple):
        raise CompositionError(f"{name}: expected a list to map over; got {type(whole).__name__} {whole!r:.100}")
    if depth == 1:
        return list(whole)
    return [leaf for inner in whole for leaf in leaves(inner, depth - 1, name)]


def nested(whole: Sequence[Any], depth: int, values: Iterator[Any]) -> list[Any]:
    """Values in the places of such items."""
    if depth == 1:
        return [next(values) for _ in whole]
    return [nested(inner, depth - 1, values) for inner in whole]


def _upstream(name: str, cause: Any) -> UpstreamFailed:
    return UpstreamFailed(name, cause.cause if isinstance(cause, UpstreamFailed) else safe_repr(cause))
