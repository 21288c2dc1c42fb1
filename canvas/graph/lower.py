"""Signature tree → graph of steps: the meaning of each primitive, and which step gets which option.

Options given to a composite reach its steps here, while it is *live* (sent with this plan). A composite that a
later step will send is *pending*: it keeps its own options, and the step that sends it distributes them.
Edges lead from a signature to its successors, and no signature contains itself: the graph has no cycle.
Sources: semantics.md C3–C10, C17, C18, G2–G5, G11, H1–H13.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from canvas.errors import CompositionError
from canvas.graph.composite_links import ENDS_BODY, link_error_to_body, linked
from canvas.graph.ends import with_ends
from canvas.graph.steps import Fork, Join, Member, Node, Segment, Step, Unit
from canvas.model.call_options import LAST_STEP, given
from canvas.primitives.chain import normal_steps
from canvas.primitives.chord import body_of, body_options, chord, header_options
from canvas.primitives.cycles import refuse_cycles
from canvas.primitives.fields import as_list
from canvas.primitives.group import flat_members, group
from canvas.primitives.signature import Signature


@dataclass(slots=True)
class PartialCall:
    """Partial arguments and options on their way down to the steps."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Opened:
    """A group, or a chord's header, whose members are added one by one."""

    fork: Fork
    call: PartialCall
    """The arguments and options that each member is called with."""
    links: list[Any]
    errbacks: list[Any]
    """Callbacks of the whole, which each member has."""


class Lowering:
    """One signature tree on its way into one graph."""

    def __init__(self, new_id: Callable[[], str], reply_to: str | None, errback_on_header: bool = False) -> None:
        self.nodes: dict[str, Node] = {}
        """The graph's nodes, by their keys."""
        self.new_id = new_id
        self._reply_to = reply_to
        self._errback_on_header = errback_on_header
        self._open: list[int] = []

    def lower(self, sig: Signature[Any], call: PartialCall, live: bool = True) -> Segment:
        """Add ``sig`` to the graph. Raises CompositionError naming the step that cannot be added."""
        if id(sig) in self._open:
            refuse_cycles(sig)
        self._open.append(id(sig))
        try:
            kind = sig.get("subtask_type")
            if kind == "chain":
                return self._chain(sig, call, live)
            if kind == "group":
                return self._group(sig, call, live)
            if kind == "chord":
                return self._chord(sig, call, live)  # type: ignore[arg-type]
            return self._task(sig, call)
        finally:
            self._open.pop()

    def _task(self, sig: Signature[Any], call: PartialCall) -> Segment:
        args, kwargs, options = sig.merged_with(call.args, call.kwargs, given(call.options) if call.options else None)
        options = dict(options)
        step_id = options.get("task_id") or self.new_id()
        options["task_id"] = step_id
        if self._reply_to:
            options.setdefault("reply_to", self._reply_to)
        if step_id in self.nodes:
            raise CompositionError(
                f"duplicate task id {step_id!r}: {sig.task} and another step both have it; "
                "leave ids out, or freeze a copy per use (sig.clone())"
            )
        step = Step(step_id, sig["task"], tuple(args), kwargs, options, bool(sig.get("immutable")))
        self.nodes[step_id] = step
        return Segment(step, step, [step])

    def _chain(self, sig: Signature[Any], call: PartialCall, live: bool) -> Segment:
        options = {**sig.options, **call.options} if live else dict(sig.options)
        args = (*call.args, *sig.args)
        members = sig.members()
        # The chain around a chord that is a body has options alone: the chord starts as it would alone.
        steps = normal_steps(members, unroll=not (members and ENDS_BODY in members[0].kwargs))
        if not steps:
            raise CompositionError("empty chain: expected at least one step")
        last = {key: options.pop(key) for key in LAST_STEP if options.get(key) is not None}
        if "task_id" in last and steps[-1].result_id is not None:
            del last["task_id"]
        links, errbacks = as_list(options.pop("link", None)), as_list(options.pop("link_error", None))
        root = options.pop("root_id", None)
        options.pop("parent_id", None)
        segments: list[Segment] = []
        for position, original in enumerate(steps):
            mine = PartialCall(args, call.kwargs, dict(options)) if position == 0 else PartialCall()
            final = position == len(steps) - 1
            if final:
                mine.options.update(last)
            if root is not None:
                mine.options["root_id"] = root
            step = linked(original, links if final else [], errbacks, self._errback_on_header)
            segments.append(self._in_sequence(step, mine, live and position == 0, final))
            if position:
                segments[-2].exit.next = segments[-1].head
        kind = segments[0].kind if len(segments) == len(sig.members()) == 1 else "chain"
        return Segment(segments[0].head, segments[-1].exit, segments[-1].tails, kind)

    def _in_sequence(self, step: Signature[Any], call: PartialCall, live: bool, final: bool) -> Segment:
        if live:
            return self.lower(step, call)
        if call.options and step.subtask_type is not None:
            step = self._pending_with(step, call.options)
            call = PartialCall()
        return self.lower(step, call, live=False)

    def _pending_with(self, step: Signature[Any], options: dict[str, Any]) -> Signature[Any]:
        """A composite last step with its chain's id and membership: a chord's go to its body."""
        target = step.body if isinstance(step, chord) else step
        merged = target.merged_with((), {}, options)[2]
        changed = target.with_fields(options=merged)
        return step.with_fields(kwargs={**step.kwargs, "body": changed}) if isinstance(step, chord) else changed

    def _group(self, sig: Signature[Any], call: PartialCall, live: bool) -> Segment:
        options = {**sig.options, **given(call.options)}
        group_id = sig.options.get("task_id") or call.options.get("task_id") or self.new_id()
        opened = self.open_group(group_id, options, call, live)
        segments = [self.add_member(opened, index, member) for index, member in enumerate(flat_members(sig.members()))]
        return Segment(opened.fork, opened.fork, [tail for segment in segments for tail in segment.tails], "group")

    def open_group(self, group_id: str, options: dict[str, Any], call: PartialCall, live: bool) -> "Opened":
        """A group whose members are added later; ``options``: its own and the call's."""
        # In a Celery worker the options of a group would replace those of its members.
        links, errbacks = as_list(options.pop("link", None)), as_list(options.pop("link_error", None))
        fork = self._fork(group_id, options, live)
        inherited = {k: v for k, v in options.items() if k not in ("task_id", *LAST_STEP)} if live else {}
        return Opened(fork, PartialCall(call.args, call.kwargs, inherited), links, errbacks)

    def add_member(self, opened: "Opened", index: int, sig: Signature[Any]) -> Segment:
        """A member of a group, or of a chord's header."""
        if opened.links or opened.errbacks:
            sig = linked(sig, opened.links, opened.errbacks, self._errback_on_header)
        fork, call = opened.fork, opened.call
        segment = self.lower(sig, PartialCall(call.args, call.kwargs, dict(call.options)), fork.live)
        chained = sig.get("subtask_type") == "chain"
        kept = _without_link(sig.options) if chained and not fork.live else {}
        fork.members.append(Member(segment.head, chained, kept))
        if isinstance(segment.exit, Step):
            for tail in segment.tails:
                tail.member_of = (fork, index)
        return segment

    def _fork(self, group_id: str, options: dict[str, Any], live: bool) -> Fork:
        fork = Fork(f"fork:{group_id}", group_id, options, live)
        if fork.key in self.nodes:
            raise CompositionError(f"duplicate group id {group_id!r}: two groups of one workflow have it")
        self.nodes[fork.key] = fork
        return fork

    def _chord(self, sig: chord, call: PartialCall, live: bool) -> Segment:
        header = sig.flat_header()
        if not header:
            return self._headless(sig, call, live)
        if header[0].get("subtask_type"):
            header = with_ends(header)
        opened, tail = self.open_chord(sig, call, live)
        segments = [self.add_member(opened, index, member) for index, member in enumerate(header)]
        for index, segment in enumerate(segments):
            self.add_parts(opened, index, segment)
        return Segment(opened.fork, tail.exit, tail.tails, "chord")

    def open_chord(self, sig: chord, call: PartialCall, live: bool) -> tuple["Opened", Segment]:
        """A chord whose header members are added later, and the segment of its body."""
        body, options, kwargs = self._call_of(sig, call, live)
        args = tuple(sig["args"])
        if call.args and not sig.get("immutable"):
            args = (*call.args, *args)
        fork = self._fork(_header_id(sig) or self.new_id(), options, live)
        inherited = header_options(options) if live and options else {}
        opened = Opened(fork, PartialCall(args, kwargs, inherited), [], [])
        return opened, self._joined(fork, body)

    def _call_of(
        self, sig: chord, call: PartialCall, live: bool
    ) -> tuple[Signature[Any], dict[str, Any], dict[str, Any]]:
        """A chord with the arguments of its call: its body, its options, the keyword arguments of its header."""
        kwargs = {**sig["kwargs"].get("kwargs", {}), **call.kwargs}
        body = body_of(sig, kwargs.pop("body", None))
        options = dict(sig["options"])
        if live and call.options:
            options.update(given(call.options))
        return self._body(sig, body, options, call, live), options, kwargs

    def _headless(self, sig: chord, call: PartialCall, live: bool) -> Segment:
        """Without a header the body starts at once, with an empty list (semantics.md H7), as a member of the header's
        group (semantics.md R3)."""
        body, options, _ = self._call_of(sig, call, live)
        if not live:  # the chord itself is not sent, so its options are given to the body here
            body = body.with_fields(options=body.merged_with((), {}, body_options(options))[2])
        group_id = _header_id(sig) or self.new_id()
        segment = self.lower(body, PartialCall(([],)), live)
        for tail in segment.tails:
            if tail.counts_to is None:
                tail.counts_to = group_id
        self._close(segment.head)
        segment.head.empty_header = group_id
        return segment._replace(kind="chord")

    def _close(self, head: Unit) -> None:
        """Let the tasks that start here take no result of a task before them."""
        if isinstance(head, Step):
            head.immutable = True
        else:
            for member in head.members:
                self._close(member.head)

    def _body(
        self, sig: chord, body: Signature[Any], options: dict[str, Any], call: PartialCall, live: bool
    ) -> Signature[Any]:
        if not live:
            task_id = options.get("task_id")
            if task_id is None or _header_id(sig) is not None or body.result_id is not None:
                return body
            return body.with_fields(options={**body.options, "task_id": task_id})
        carried = body_options(options)
        if body.result_id is None and (task_id := call.options.get("task_id") or options.get("task_id")):
            carried["task_id"] = task_id
        if options.get("chord") is not None:
            carried["chord"] = options["chord"]
        body = body.with_fields(options=body.merged_with((), {}, carried)[2])
        if options.get("link") or options.get("link_error"):
            body = body.linkable()
            for callback in as_list(options.get("link")):
                body.link(callback)
            for errback in as_list(options.get("link_error")):
                link_error_to_body(body, errback)
        return body

    def _joined(self, fork: Fork, body: Signature[Any]) -> Segment:
        """Add a chord's join and body. Returns the segment of the body."""
        chained = body.get("subtask_type") == "chain"
        units = len(normal_steps(body.members())) if chained else 1
        kept = _left_to_chain(body.options) if chained else {}
        join = fork.join = Join(f"join:{fork.id}", fork.id, fork.options, fork.live, units, chained and units > 1, kept)
        self.nodes[join.key] = join
        tail = self.lower(body, PartialCall(), live=False)
        join.body = tail.head
        return tail

    def add_parts(self, opened: "Opened", index: int, segment: Segment) -> None:
        """A header member's value is a part; a member that ends in a group gives one per member of that."""
        join, nested = opened.fork.join, isinstance(segment.exit, Fork)
        assert join is not None
        for inner, tail in enumerate(segment.tails):
            tail.part = (join, inner if nested else index)
            join.size += 1


def _without_link(options: dict[str, Any]) -> dict[str, Any]:
    """A chain's options without its callbacks, which the last step has taken over. Its errbacks stay: they are
    called when a header in front of the chain fails."""
    return {key: value for key, value in options.items() if key != "link"}


def _left_to_chain(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _without_link(options).items() if key not in LAST_STEP}


def _header_id(sig: chord) -> str | None:
    """The group id of a frozen header, which is the chord's id too; otherwise a chord has the id of its body."""
    header = sig["kwargs"]["header"]
    return header.options.get("task_id") if isinstance(header, group) else None
