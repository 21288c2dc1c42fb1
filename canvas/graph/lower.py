"""Signature tree → graph of steps: what each primitive means, and which option goes where.

Options given to a composite reach its steps here, while it is *live* (sent with this plan). A composite that a
later step will send is *pending*: it keeps its own options, and whoever sends it distributes them.
Sources: semantics.md C3–C10, C17, C18, G2–G5, G11, H1–H13.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from canvas.errors import CompositionError
from canvas.graph.ends import header_parts, result_id
from canvas.graph.links import link_error_to_body, linked
from canvas.graph.steps import Fork, Graph, Join, Segment, Step, fork_key, join_key, node_of, targets
from canvas.model.options import LAST_STEP
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

    fork: str
    live: bool
    call: PartialCall
    """What each member is called with."""
    links: list[Any]
    errbacks: list[Any]
    """Callbacks of the whole, which are each member's."""


class Lowering:
    """One signature tree on its way into one graph."""

    def __init__(self, new_id: Callable[[], str], reply_to: str | None, errback_on_header: bool = False) -> None:
        self.graph: Graph = nx.DiGraph()
        self.new_id = new_id
        self._reply_to = reply_to
        self._errback_on_header = errback_on_header
        self._open: list[int] = []

    def lower(self, sig: Signature[Any], call: PartialCall, live: bool = True) -> Segment:
        """Add ``sig`` to the graph. Raises CompositionError naming the step that cannot be."""
        if id(sig) in self._open:
            refuse_cycles(sig)
        self._open.append(id(sig))
        try:
            kind = sig.subtask_type
            if kind == "chain":
                return self._chain(sig, call, live)
            if kind == "group":
                return self._group(sig, call, live)
            if kind == "chord":
                return self._chord(sig, call, live)  # type: ignore[arg-type]
            return self._task(sig, call)
        finally:
            self._open.pop()

    # -- one task

    def _task(self, sig: Signature[Any], call: PartialCall) -> Segment:
        args, kwargs, options = sig.merged_with(call.args, call.kwargs, _given(call.options))
        options = dict(options)
        step = options.get("task_id") or self.new_id()
        options["task_id"] = step
        if self._reply_to:
            options.setdefault("reply_to", self._reply_to)
        if step in self.graph:
            raise CompositionError(
                f"duplicate task id {step!r}: {sig.task} and another step both have it; "
                "leave ids out, or freeze a copy per use (sig.clone())"
            )
        self.graph.add_node(step, node=Step(step, sig.task, tuple(args), kwargs, options, sig.immutable))
        return Segment(step, step, [step])

    # -- one after the other

    def _chain(self, sig: Signature[Any], call: PartialCall, live: bool) -> Segment:
        options = {**sig.options, **call.options} if live else dict(sig.options)
        args = (*call.args, *sig.args) if call.args and not sig.immutable else tuple(sig.args)
        steps = normal_steps(sig.members())
        if not steps:
            raise CompositionError("empty chain: expected at least one step")
        last = {key: options.pop(key) for key in LAST_STEP if options.get(key) is not None}
        if "task_id" in last and result_id(steps[-1]) is not None:
            del last["task_id"]
        links, errbacks = as_list(options.pop("link", None)), as_list(options.pop("link_error", None))
        root = options.pop("root_id", None)
        options.pop("parent_id", None)
        spans: list[Segment] = []
        for position, original in enumerate(steps):
            mine = PartialCall(args, call.kwargs, dict(options)) if position == 0 else PartialCall()
            final = position == len(steps) - 1
            if final:
                mine.options.update(last)
            if root is not None:
                mine.options["root_id"] = root
            step = linked(original, links if final else [], errbacks, self._errback_on_header)
            spans.append(self._in_sequence(step, mine, live and position == 0, final))
            if position:
                self._follow(spans[-2], spans[-1])
        return Segment(spans[0].head, spans[-1].exit, spans[-1].tails)

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

    def _follow(self, before: Segment, after: Segment) -> None:
        self.graph.add_edge(before.exit, after.head, kind="next", index=0)

    # -- side by side

    def _group(self, sig: Signature[Any], call: PartialCall, live: bool) -> Segment:
        options = {**sig.options, **_given(call.options)}
        group_id = sig.options.get("task_id") or call.options.get("task_id") or self.new_id()
        opened = self.open_group(group_id, options, call, live)
        spans = [self.add_member(opened, index, member) for index, member in enumerate(flat_members(sig.members()))]
        fork = opened.fork
        return Segment(fork, fork, [tail for span in spans for tail in span.tails])

    def open_group(self, group_id: str, options: dict[str, Any], call: PartialCall, live: bool) -> "Opened":
        """A group whose members are to come; ``options``: its own and the call's."""
        # A Celery worker would let those of a group replace its members' own.
        links, errbacks = as_list(options.pop("link", None)), as_list(options.pop("link_error", None))
        fork = self._fork(group_id, options, live)
        inherited = {k: v for k, v in options.items() if k not in ("task_id", *LAST_STEP)} if live else {}
        return Opened(fork, live, PartialCall(call.args, call.kwargs, inherited), links, errbacks)

    def add_member(self, opened: "Opened", index: int, given: Signature[Any]) -> Segment:
        """A member of a group, or of a chord's header."""
        member, call = linked(given, opened.links, opened.errbacks, self._errback_on_header), opened.call
        mine = PartialCall(call.args, call.kwargs, dict(call.options))
        return self._member(opened.fork, index, member, mine, opened.live)

    def _fork(self, group_id: str, options: dict[str, Any], live: bool) -> str:
        key = fork_key(group_id)
        if key in self.graph:
            raise CompositionError(f"duplicate group id {group_id!r}: two groups of one workflow have it")
        self.graph.add_node(key, node=Fork(group_id, options, live))
        return key

    def _member(self, fork: str, index: int, member: Signature[Any], call: PartialCall, live: bool) -> Segment:
        span = self.lower(member, call, live)
        chained = member.subtask_type == "chain"
        kept = _without_link(member.options) if chained and not live else {}
        self.graph.add_edge(fork, span.head, kind="member", index=index, options=kept, chained=chained)
        if not span.exit.startswith("fork:"):
            for tail in span.tails:
                self.graph.nodes[tail]["place"] = (fork, index)
        return span

    # -- side by side, then together

    def _chord(self, sig: chord, call: PartialCall, live: bool) -> Segment:
        header = header_parts(sig.tasks)
        if not header:
            return self._headless(sig, call, live)
        opened, tail = self.open_chord(sig, call, live)
        spans = [self.add_member(opened, index, member) for index, member in enumerate(header)]
        for index, span in enumerate(spans):
            self.add_parts(opened, index, span)
        return Segment(opened.fork, tail.exit, tail.tails)

    def open_chord(self, sig: chord, call: PartialCall, live: bool) -> tuple["Opened", Segment]:
        """A chord whose header is to come, and its body."""
        body, options, kwargs = self._call_of(sig, call, live)
        args = (*call.args, *sig.args) if call.args and not sig.immutable else tuple(sig.args)
        fork = self._fork(_header_id(sig) or self.new_id(), options, live)
        inherited = header_options(options) if live else {}
        opened = Opened(fork, live, PartialCall(args, kwargs, inherited), [], [])
        return opened, self._joined(fork.removeprefix("fork:"), body, options, live)

    def _call_of(
        self, sig: chord, call: PartialCall, live: bool
    ) -> tuple[Signature[Any], dict[str, Any], dict[str, Any]]:
        """What a call makes of a chord: its body, its options, the keyword arguments of its header."""
        kwargs = {**sig.kwargs.get("kwargs", {}), **call.kwargs}
        body = body_of(sig, kwargs.pop("body", None))
        options = {**sig.options, **_given(call.options)} if live else dict(sig.options)
        return self._body(sig, body, options, call, live), options, kwargs

    def _headless(self, sig: chord, call: PartialCall, live: bool) -> Segment:
        """With no header there is nothing to wait for: the body starts with an empty list (H7), as one of the header's
        group (R3)."""
        body, options, _ = self._call_of(sig, call, live)
        if not live:  # nobody sends the chord, which would give its options to the body
            body = body.with_fields(options=body.merged_with((), {}, body_options(options))[2])
        group_id = _header_id(sig) or self.new_id()
        span = self.lower(body, PartialCall(([],)), live)
        for tail in span.tails:
            self.graph.nodes[tail].setdefault("belongs", group_id)
        self._close(span.head)
        return span

    def _close(self, head: str) -> None:
        """Let what starts here take nothing from whatever comes before it."""
        node = node_of(self.graph, head)
        if isinstance(node, Step):
            node.immutable = True
        for member in targets(self.graph, head, "member"):
            self._close(member)

    def _body(
        self, sig: chord, body: Signature[Any], options: dict[str, Any], call: PartialCall, live: bool
    ) -> Signature[Any]:
        if not live:
            task_id = options.get("task_id")
            if task_id is None or _header_id(sig) is not None or result_id(body) is not None:
                return body
            return body.with_fields(options={**body.options, "task_id": task_id})
        carried = body_options(options)
        if result_id(body) is None and (task_id := call.options.get("task_id") or options.get("task_id")):
            carried["task_id"] = task_id
        if options.get("chord") is not None:
            carried["chord"] = options["chord"]
        body = body.with_fields(options=body.merged_with((), {}, carried)[2])
        links, errbacks = as_list(options.get("link")), as_list(options.get("link_error"))
        if links or errbacks:
            body = body.clone()
        for callback in links:
            body.link(callback)
        for errback in errbacks:
            link_error_to_body(body, errback)
        return body

    def _joined(self, group_id: str, body: Signature[Any], options: dict[str, Any], live: bool) -> Segment:
        """A chord's join and body; where the body ends."""
        key = join_key(group_id)
        chained = body.subtask_type == "chain"
        units = len(normal_steps(body.members())) if chained else 1
        kept = _left_to_chain(body.options) if chained else {}
        join = Join(group_id, options, live, units, chained and units > 1, kept)
        self.graph.add_node(key, node=join)
        tail = self.lower(body, PartialCall(), live=False)
        self.graph.add_edge(key, tail.head, kind="body", index=0)
        return tail

    def add_parts(self, opened: "Opened", index: int, span: Segment) -> None:
        """A header member's value is a part; a member that ends in a group gives one per member of that."""
        join, nested = join_key(opened.fork.removeprefix("fork:")), span.exit.startswith("fork:")
        for inner, tail in enumerate(span.tails):
            self.graph.add_edge(tail, join, kind="part", index=inner if nested else index)


def _without_link(options: dict[str, Any]) -> dict[str, Any]:
    """A chain's options without its callbacks, which the last step has taken over. Its errbacks stay: they are
    called when a header in front of the chain fails."""
    return {key: value for key, value in options.items() if key != "link"}


def _left_to_chain(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _without_link(options).items() if key not in LAST_STEP}


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _header_id(sig: chord) -> str | None:
    """The group id of a header that is frozen, which then is the chord's too; else a chord's id is its body's."""
    return sig.tasks.options.get("task_id") if isinstance(sig.tasks, group) else None
