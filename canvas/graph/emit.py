"""Graph → messages in Celery's own form: ``chain``, ``callbacks``, ``errbacks`` and ``chord`` embeddings.

Sources: protocol.md §2.1, §2.3; semantics.md C1, C11–C13, H4, H5, H15, H20.
"""

from typing import Any

from canvas.graph.shape import Shape
from canvas.graph.steps import Fork, Graph, Join, Step, join_key
from canvas.model.compiled import ChordSize, Plan, ResultRef, TaskCall
from canvas.primitives.fields import as_list, signature_dict
from canvas.primitives.links import distinct

Wire = dict[str, Any]
_AS_MEMBER = {"add_to_parent": False, "root_id": None}
"""What Celery leaves in the body's options of a chord that is sent as a group's member (semantics.md W6)."""


class CeleryEmitter:
    """One graph on its way into one plan."""

    def __init__(self, graph: Graph, chained: bool, rest: list[Any] | None) -> None:
        self._graph = graph
        self._shape = Shape(graph)
        self._chained = chained
        self._rest = rest
        self._bodies: dict[str, Wire] = {}
        self._results: dict[str, str] = {}
        self.plan = Plan()

    def emit(self, head: str) -> Plan:
        """The messages that start the run at ``head``, its chords, its result."""
        units = self._shape.units(head)
        self._start(units, self._chained, self._rest)
        self.plan.result = self._pending_results(units)
        return self.plan

    def pending(self, head: str) -> ResultRef:
        """The result of what starts at ``head``."""
        return self._pending_results(self._shape.units(head))

    def members(self, fork: str) -> list[str]:
        """The heads of a fork's members, in order."""
        return [head for head, _ in self._shape.members[fork]]

    def body_head(self, join: Join) -> str:
        """Where the body of a chord starts."""
        return self._shape.body_units(join)[0]

    def refresh(self) -> None:
        """Look at the graph again, which has changed."""
        self._shape = Shape(self._graph)
        self._results.clear()

    # -- what is sent now

    def _start(self, units: list[str], chained: bool, rest: list[Any] | None) -> None:
        first, tail = units[0], [self._signature(unit) for unit in reversed(units[1:])]
        chain = None if rest is None and not chained and not tail else [*(rest or []), *tail]
        node = self._shape.nodes[first]
        if isinstance(node, Step):
            self._dispatch(node, chain)
            return
        join = self._shape.joins.get(first)
        self.start_members(first, chain)
        if join is not None:
            self.plan.barriers.append(self._barrier(first, join))

    def start_members(self, fork: str, rest: list[Any] | None) -> None:
        """Send a group's members; ``rest`` follows the body of its chord, or each of them."""
        join = self._shape.joins.get(fork)
        if join is not None and rest:
            self._body(join)["options"]["chain"] = rest
            rest = None
        for head, edge in self._shape.members[fork]:
            inner = self._shape.joins.get(head)
            if inner is not None:
                self._body(inner)["options"].update(_AS_MEMBER)
            self._start(self._shape.units(head), edge["chained"], rest or None)

    def _dispatch(self, step: Step, chain: list[Any] | None) -> None:
        options = dict(step.options)
        options.update(self._membership(step))
        if chain is not None:
            options["chain"] = [*options["chain"], *chain] if options.get("chain") else chain
        self.plan.dispatches.append(TaskCall(step.task, step.args, step.kwargs, options))

    def _barrier(self, fork: str, join: Join) -> ChordSize:
        size = self._shape.sizes[join_key(join.id)]
        members = [self._pending_results(self._shape.units(head)) for head, _ in self._shape.members[fork]]
        nested = any(m.members is not None for m in members)
        structure = ResultRef(join.id, None, members).as_tuple() if nested else None
        return ChordSize(join.id, size, structure)

    # -- what a later step sends

    def _signature(self, unit: str) -> Wire:
        node = self._shape.nodes[unit]
        if isinstance(node, Step):
            return signature_dict(
                node.task,
                node.args,
                node.kwargs,
                {**node.options, **self._membership(node)},
                None,
                node.immutable,
            )
        assert isinstance(node, Fork)
        members = [self._member(head, edge["options"]) for head, edge in self._shape.members[unit]]
        options = {key: value for key, value in node.options.items() if key != "chain"}
        join = self._shape.joins.get(unit)
        group = {**({} if join else options), "task_id": node.id}
        group.setdefault("root_id", None)
        group.setdefault("parent_id", None)
        header = signature_dict("celery.group", (), {"tasks": members}, group, "group", False)
        if join is None:
            return header
        kwargs = {"kwargs": {}, "header": header, "body": self._body(join)}
        return signature_dict("celery.chord", (), kwargs, {**options, "task_id": node.id}, "chord", False)

    def _member(self, head: str, options: dict[str, Any]) -> Wire:
        units = self._shape.units(head)
        return self._signature(units[0]) if len(units) == 1 else self._chain(units, options)

    def _chain(self, units: list[str], options: dict[str, Any]) -> Wire:
        steps = [self._signature(unit) for unit in units]
        options = {**options, "task_id": self._result(units[-1])}
        return signature_dict("celery.chain", (), {"tasks": steps}, options, "chain", False)

    def _body(self, join: Join) -> Wire:
        """The body as every part carries it; made once, so that all parts share it."""
        body = self._bodies.get(join.id)
        if body is None:
            units = self._shape.body_units(join)
            body = self._chain(units, dict(join.body_options)) if join.chained else self._signature(units[0])
            if join.live:
                _belong(body, join.id)
            if body["subtask_type"] == "chord":
                body = self._ends_with(units, body)
            self._bodies[join.id] = body
        return body

    def _ends_with(self, units: list[str], chord: Wire) -> Wire:
        """A body that is a chord, as a chain of one step: when the header fails, a Celery worker ends the id in the
        body's options, and calls the errbacks there. A chord has its own header's id there, and no errbacks.

        The step is a group of that chord: a Celery worker takes a chain that starts with anything else apart.
        """
        errbacks = distinct(_errbacks(chord))
        options = {"task_id": self._result(units[-1]), **({"link_error": errbacks} if errbacks else {})}
        step = signature_dict("celery.group", (), {"tasks": [chord]}, {}, "group", False)
        return signature_dict("celery.chain", (), {"tasks": [step]}, options, "chain", False)

    # -- membership

    def _membership(self, step: Step) -> dict[str, Any]:
        """What the groups around a step write into its options."""
        part = self._shape.parts.get(step.id)
        if part is not None:
            join, index = part
            if not join.live:
                return {"group_index": index}
            own = {"group_index": index, "chord": self._body(join)}
            if "group_id" not in step.options:
                own["group_id"] = join.id
            return own
        place = self._shape.places.get(step.id)
        found = self._place(place[0], place[1], step.options) if place else {}
        belongs = self._shape.belongs.get(step.id)
        if belongs is not None and "group_id" not in step.options:
            found.setdefault("group_id", belongs)
        return found

    def _place(self, fork: str, index: int, options: dict[str, Any]) -> dict[str, Any]:
        node = self._shape.nodes[fork]
        assert isinstance(node, Fork)
        placed = {} if "group_index" in options else {"group_index": index}
        if node.live and self._shape.joins.get(fork) is None and "group_id" not in options:
            return {"group_id": node.id, **placed}
        return placed

    # -- results

    def _result(self, unit: str) -> str:
        """The id of a unit's result: for a chord, of its body's; looked up once."""
        found = self._results.get(unit)
        if found is None:
            node = self._shape.nodes[unit]
            join = self._shape.joins.get(unit) if isinstance(node, Fork) else None
            found = node.id if join is None else self._result(self._shape.body_units(join)[-1])
            self._results[unit] = found
        return found

    def _pending_results(self, units: list[str], before: ResultRef | None = None) -> ResultRef:
        for unit in units:
            node = self._shape.nodes[unit]
            if isinstance(node, Step):
                before = ResultRef(node.id, before, None, node.task, node.options.get("ignore_result"))
                continue
            assert isinstance(node, Fork)
            members = [self._pending_results(self._shape.units(head)) for head, _ in self._shape.members[unit]]
            before = ResultRef(node.id, before, members)
            join = self._shape.joins.get(unit)
            if join is not None:
                before = self._pending_results(self._shape.body_units(join), before)
        assert before is not None
        return before


def _errbacks(sig: Wire) -> list[Any]:
    """The errbacks of what gives a signature's result."""
    own, kind = as_list(sig["options"].get("link_error")), sig["subtask_type"]
    if kind == "chord":
        return own + _errbacks(sig["kwargs"]["body"])
    if kind == "chain":
        return own + _errbacks(sig["kwargs"]["tasks"][-1])
    if kind == "group":
        return own + [errback for member in sig["kwargs"]["tasks"] for errback in _errbacks(member)]
    return own


def _belong(body: Wire, group_id: str) -> None:
    """A live body belongs to its header's group, unless it is a part of an outer one (semantics.md R3)."""
    if body["subtask_type"] == "chain":
        _belong(body["kwargs"]["tasks"][-1], group_id)
        return
    if body["subtask_type"] == "chord":
        _belong(body["kwargs"]["body"], group_id)
        return
    body["options"].setdefault("group_id", group_id)
    if body["subtask_type"] == "group":
        for member in body["kwargs"]["tasks"]:
            _belong(member, group_id)
