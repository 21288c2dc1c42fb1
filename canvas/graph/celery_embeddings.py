"""Graph → messages in Celery's own form: ``chain``, ``callbacks``, ``errbacks`` and ``chord`` embeddings.

Sources: protocol.md §2.1, §2.3; semantics.md C1, C11–C13, H4, H5, H15, H20.
"""

from typing import Any

from canvas.graph.composite_links import ENDS_BODY
from canvas.graph.steps import Fork, Join, Member, Step, Unit
from canvas.graph.wire_signature import Wire, WireEnd, WireEnds, errbacks_of
from canvas.model.compiled import ChordSize, Plan, ResultRef, TaskCall
from canvas.primitives.fields import as_list, signature_dict
from canvas.primitives.links import Distinct

_AS_MEMBER = {"add_to_parent": False, "root_id": None}
"""The options that Celery leaves in the body of a chord that is sent as a group's member (semantics.md W6)."""


class CeleryEmitter:
    """One graph on its way into one plan."""

    def __init__(self, chained: bool, rest: list[Any] | None) -> None:
        """``chained``: the whole is a chain. ``rest``: signatures that follow the whole, the last one first."""
        self._chained = chained
        self._rest = rest
        self._bodies: dict[str, Wire] = {}
        self._result_ids: dict[str, str] = {}
        self._ends: WireEnds | None = None
        self.plan = Plan()

    def begin_plan(self, around: Join | None) -> None:
        """Put what is emitted from now on into a new plan; ``around``: the chord that is a part of both."""
        self._bodies = {} if around is None else {around.id: self._body(around)}
        self._result_ids = {}
        self._ends = None
        self.plan = Plan()

    def emit(self, head: Unit) -> Plan:
        """The messages that start the run at ``head``, its chords, its result."""
        units = units_from(head)
        self._start(units, self._chained, self._rest)
        self.plan.result = self._results(units)
        return self.plan

    def result_of(self, head: Unit) -> ResultRef:
        """The result of the units that start at ``head``."""
        return self._results(units_from(head))

    def _start(self, units: list[Unit], chained: bool, rest: list[Any] | None) -> None:
        first, chain = units[0], None
        if chained or rest is not None or len(units) > 1:
            chain = [*(rest or []), *map(self._signature, reversed(units[1:]))]
        if isinstance(first, Step):
            self._dispatch(first, chain)
            return
        self.start_members(first, chain)
        if first.join is not None:
            self.plan.chords.append(self.chord_size(first.join, first.join.size, self._member_results(first)))

    def start_members(self, fork: Fork, rest: list[Any] | None) -> None:
        """Send a group's members; ``rest`` follows the body of its chord, or each of them."""
        if fork.join is not None and rest:
            self._body(fork.join)["options"]["chain"] = rest
            rest = None
        for member in fork.members:
            if isinstance(member.head, Fork) and member.head.join is not None:
                self._body(member.head.join)["options"].update(_AS_MEMBER)
            self._start(units_from(member.head), member.chained, rest or None)

    def _dispatch(self, step: Step, chain: list[Any] | None) -> None:
        options = {**step.options, **self._membership(step)}
        if chain is not None:
            options["chain"] = [*options["chain"], *chain] if options.get("chain") else chain
        self.plan.calls.append(TaskCall(step.task, step.args, step.kwargs, options))

    def chord_size(self, join: Join, size: int, members: list[ResultRef]) -> ChordSize:
        """The chord that the members of a fork start."""
        nested = False
        for member in members:
            if member.members is not None:
                nested = True
                break
        return ChordSize(join.id, size, members, self._body(join), nested)

    def _signature(self, unit: Unit) -> Wire:
        if isinstance(unit, Step):
            options = {**unit.options, **self._membership(unit)}
            return signature_dict(unit.task, unit.args, unit.kwargs, options, None, unit.immutable)
        members = [self._member(member) for member in unit.members]
        options = {key: value for key, value in unit.options.items() if key != "chain"}
        group = {**({} if unit.join else options), "task_id": unit.id}
        group.setdefault("root_id", None)
        group.setdefault("parent_id", None)
        header = signature_dict("celery.group", (), {"tasks": members}, group, "group", False)
        if unit.join is None:
            return header
        kwargs = {"kwargs": {}, "header": header, "body": self._body(unit.join)}
        return signature_dict("celery.chord", (), kwargs, {**options, "task_id": unit.id}, "chord", False)

    def _member(self, member: Member) -> Wire:
        units = units_from(member.head)
        if len(units) > 1:
            return self._chain(units, member.options)
        sig, before = self._signature(units[0]), units[0].empty_header
        return sig if before is None or sig["subtask_type"] != "group" else _after_nothing(before, sig)

    def _chain(self, units: list[Unit], options: dict[str, Any]) -> Wire:
        """A chain in wire form. A Celery worker links a chain's errbacks to its steps, and would link them twice to the
        members of a group that have them already: these members leave them out."""
        steps = [self._signature(unit) for unit in units]
        if options.get("link_error"):
            self._end_of(steps[-1]).group.leave(Distinct(as_list(options["link_error"])))
        options = {**options, "task_id": self._result_id(units[-1])}
        return signature_dict("celery.chain", (), {"tasks": steps}, options, "chain", False)

    def _body(self, join: Join) -> Wire:
        """The body as every part carries it; made once, so that all parts share it."""
        body = self._bodies.get(join.id)
        if body is None:
            units = join.units or body_units(join)
            body = self._chain(units, dict(join.body_options)) if join.chained else self._signature(units[0])
            if join.live:
                _assign_group(body, join.id)
            if body["subtask_type"] == "chord":
                body = self._ends_with(units, body)
            self._bodies[join.id] = body
        return body

    def _ends_with(self, units: list[Unit], chord: Wire) -> Wire:
        """A body that is a chord, as a chain of one step: when the header fails, a Celery worker ends the id in the
        body's options, and calls the errbacks there. A chord has its own header's id there, and no errbacks.

        The step is a group of that chord: a Celery worker takes a chain that starts with anything else apart. The
        worker links the chain's errbacks to all members of a group that ends the chord: those of some stay theirs.
        """
        end = self._end_of(chord)
        errbacks = self._of_all_steps(chord, end.shared())
        end.group.leave(errbacks)
        options = {"task_id": self._result_id(units[-1]), **({"link_error": list(errbacks)} if errbacks else {})}
        step = signature_dict("celery.group", (), {"tasks": [chord], ENDS_BODY: True}, {}, "group", False)
        return signature_dict("celery.chain", (), {"tasks": [step]}, options, "chain", False)

    def _of_all_steps(self, chord: Wire, errbacks: Distinct) -> Distinct:
        """The errbacks that each step of the chord's body has: a worker links those of a chain to all of its steps."""
        body = chord["kwargs"]["body"]
        while body["subtask_type"] == "chord":
            body = body["kwargs"]["body"]
        if body["subtask_type"] != "chain":
            return errbacks
        steps, own = body["kwargs"]["tasks"], Distinct(errbacks_of(body))
        wrapped = ENDS_BODY in steps[0]["kwargs"]
        ends = [self._end_of(step).errbacks for step in steps]
        return Distinct(
            errback for errback in errbacks
            if errback in own or (not wrapped and all(errback in those for those in ends))
        )  # fmt: skip

    def _end_of(self, sig: Wire) -> WireEnd:
        if self._ends is None:
            self._ends = WireEnds()
        return self._ends.of(sig)

    def _result_id(self, unit: Unit) -> str:
        """The id of a unit's result: for a chord, of its body's, which is made before what is around it."""
        if not isinstance(unit, Fork) or unit.join is None:
            return unit.id
        found = self._result_ids.get(unit.id)
        if found is None:
            found = self._result_ids[unit.id] = self._result_id(body_units(unit.join)[-1])
        return found

    def _membership(self, step: Step) -> dict[str, Any]:
        """The options that the groups around a step give it."""
        if step.part is not None:
            join, index = step.part
            if not join.live:
                return {"group_index": index}
            own = {"group_index": index, "chord": self._body(join)}
            if "group_id" not in step.options:
                own["group_id"] = join.id
            return own
        found: dict[str, Any] = {}
        if step.member_of is not None:
            fork, index = step.member_of
            if "group_index" not in step.options:
                found["group_index"] = index
            if fork.live and fork.join is None and "group_id" not in step.options:
                found = {"group_id": fork.id, **found}
        if step.counts_to is not None and "group_id" not in step.options:
            found.setdefault("group_id", step.counts_to)
        return found

    def _results(self, units: list[Unit], before: ResultRef | None = None) -> ResultRef:
        for unit in units:
            if unit.empty_header is not None:
                before = ResultRef(unit.empty_header, before, [])
            if isinstance(unit, Step):
                before = ResultRef(unit.id, before, None, unit.task, unit.options.get("ignore_result"))
                continue
            before = ResultRef(unit.id, before, self._member_results(unit))
            if unit.join is not None:
                before = self._results(unit.join.units or body_units(unit.join), before)
        assert before is not None
        return before

    def _member_results(self, fork: Fork) -> list[ResultRef]:
        if fork.results is None:
            fork.results = [self._results(one.head.line or units_from(one.head)) for one in fork.members]
        return fork.results


def _after_nothing(header_id: str, body: Wire) -> Wire:
    """A group that is the body of a chord without header: as a group, it would dissolve into the one around."""
    header = signature_dict("celery.group", (), {"tasks": []}, {"task_id": header_id}, "group", False)
    kwargs = {"kwargs": {}, "header": header, "body": body}
    return signature_dict("celery.chord", (), kwargs, {"task_id": header_id}, "chord", False)


def _assign_group(body: Wire, group_id: str) -> None:
    """A live body belongs to its header's group, unless it is a part of an outer one (semantics.md R3)."""
    if body["subtask_type"] == "chain":
        _assign_group(body["kwargs"]["tasks"][-1], group_id)
        return
    if body["subtask_type"] == "chord":
        _assign_group(body["kwargs"]["body"], group_id)
        return
    body["options"].setdefault("group_id", group_id)
    if body["subtask_type"] == "group":
        for member in body["kwargs"]["tasks"]:
            _assign_group(member, group_id)


def units_from(head: Unit) -> list[Unit]:
    """``head`` and the units after it, in order; after a chord come the units that follow its body."""
    if head.line is None:
        line = []
        unit: Unit | None = head
        while unit is not None:
            line.append(unit)
            unit = unit.next if isinstance(unit, Step) else _after(unit)
        head.line = line
    return head.line


def _after(unit: Unit) -> Unit | None:
    while isinstance(unit, Fork) and unit.join is not None:
        unit = body_units(unit.join)[-1]
    return unit.next


def body_units(join: Join) -> list[Unit]:
    """The units that Celery's form embeds as the body of ``join``."""
    if join.units is None:
        assert join.body is not None
        units = [join.body]
        while len(units) < join.extent:
            following = _after(units[-1])
            if following is None:
                break
            units.append(following)
        join.units = units
    return join.units
