"""A group, or a chord, whose members an iterator gives: read, compiled and handed over in slices.

The graph holds one slice at a time. Of the slices before, only the members' results are kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from canvas.errors import BrokerError
from canvas.graph.celery_embeddings import CeleryEmitter
from canvas.graph.lower import Lowering, Opened, PartialCall
from canvas.model.compiled import Plan, ResultRef
from canvas.model.gc_pause import gc_paused
from canvas.primitives.chord import chord
from canvas.primitives.cycles import OptionCheck, check_member
from canvas.primitives.group import flat_members
from canvas.primitives.lazy_list import LazyList, count_read, unread
from canvas.primitives.signature import Signature

SLICE = 200
"""Members in a slice, at most."""
READ_WITHIN = 0.2
"""Seconds for which the members of a slice are read: a slice of an iterator that is slow has fewer members."""

_ADDRESS = ("queue", "exchange", "routing_key", "priority", "serializer", "compression")
_PAST = datetime(2000, 1, 1, tzinfo=UTC)


def streams(sig: Signature[Any]) -> bool:
    """Whether to send in slices: there are more members to read than a slice has, or reading them is slow."""
    return unread(sig.kwargs.get("header" if sig.subtask_type == "chord" else "tasks"), SLICE, READ_WITHIN)


class Stream:
    """One application of a group or chord, as plans to be sent one after the other."""

    def __init__(
        self, sig: Signature[Any], call: PartialCall, lowering: Lowering, check: OptionCheck | None
    ) -> None:  # fmt: skip
        """``check`` is called with the options of each member and callback, and of the body.

        Raises CompositionError for a chord without a body."""
        self._lowering = lowering
        self._check = check
        if isinstance(body := sig["kwargs"].get("body"), dict):
            check_member(body, check)
        call.options = {key: value for key, value in call.options.items() if value is not None}
        rest = [*(call.options.pop("chain", None) or ()), *(sig.options.get("chain") or ())] or None
        if "chain" in sig.options:
            sig = sig.with_fields(options={key: value for key, value in sig.options.items() if key != "chain"})
        self._emitter = CeleryEmitter(False, rest)
        self._rest = rest
        self._opened = self._open(sig, call)
        self._join = self._opened.fork.join
        self._members: LazyList[Signature[Any]] = sig.kwargs["header" if isinstance(sig, chord) else "tasks"]
        self._results: list[ResultRef] = []
        self._count = self._parts = 0

    def _open(self, sig: Signature[Any], call: PartialCall) -> Opened:
        if isinstance(sig, chord):
            return self._lowering.open_chord(sig, call, True)[0]
        options = {**sig.options, **call.options}
        group_id = sig.options.get("task_id") or call.options.get("task_id") or self._lowering.new_id()
        return self._lowering.open_group(group_id, options, call, True)

    def plans(self) -> Iterator[Plan]:
        """Plans of one slice each; the last has the chord to start before it is sent, and the result.

        Raises CompositionError for a member that cannot be compiled; earlier slices are sent by then.
        """
        slice_: list[Signature[Any]] = []
        # Members that were read already, and slowly, are sent before the next is read.
        full = monotonic() + (-1 if 0 < count_read(self._members) <= SLICE else READ_WITHIN)
        for member in self._members:
            if slice_ and (len(slice_) == SLICE or monotonic() > full):
                yield self._plan(slice_)
                slice_, full = [], monotonic() + READ_WITHIN
            slice_.append(member)
        last = self._plan(slice_)
        if self._join is not None and not self._parts:
            # All members end in empty groups: one part, the empty list, starts the body.
            nothing: Signature[Any] = Signature("celery.accumulate", ([],), {"index": 0}, immutable=True)
            last.calls += self._plan([nothing]).calls
        yield self._ended(last)

    def _plan(self, given: list[Signature[Any]]) -> Plan:
        nodes, emitter, fork = self._lowering.nodes, self._emitter, self._opened.fork
        kept = len(nodes)
        with gc_paused():
            for member in flat_members(given):
                check_member(member, self._check)
                segment = self._lowering.add_member(self._opened, self._count, member)
                if self._join is not None:
                    self._lowering.add_parts(self._opened, self._count, segment)
                    self._parts += len(segment.tails)
                self._count += 1
            emitter.begin_plan(self._join)
            emitter.start_members(fork, self._rest)
            self._results += [emitter.result_of(member.head) for member in fork.members]
            while len(nodes) > kept:
                nodes.popitem()
            fork.members.clear()
            if self._join is not None:
                emitter.plan.around = emitter.chord_size(self._join, 0, [])
        return emitter.plan

    def _ended(self, plan: Plan) -> Plan:
        header = ResultRef(self._opened.fork.id, None, self._results)
        if len(self._results) == 1 and self._results[0].members is not None:
            header = self._results[0]
        plan.result = plan.trail = header
        if self._join is not None:
            plan.chords.append(self._emitter.chord_size(self._join, max(self._parts, 1), self._results))
            assert self._join.body is not None
            body = self._emitter.result_of(self._join.body)
            plan.result = replace(body, parent=header)
        return plan


class Slices:
    """Plans that are sent one after the other; their end if that is interrupted."""

    def __init__(self, plans: Iterator[Plan]) -> None:
        self._plans = plans
        self._last: Plan | None = None
        self._sent = 0

    def __iter__(self) -> Iterator[Plan]:
        for plan in self._plans:
            self._last = plan
            yield plan
            self._sent += len(plan.calls)

    def ending(self, exc: BaseException) -> Signature[Any] | None:
        """The signature that ends a chord in FAILURE after ``exc`` has interrupted the sending; ``None`` for a
        group, or if nothing was sent. ``exc`` gets a note with the number of tasks that were sent."""
        plan, surely_not_sent = self._last, isinstance(exc, Exception) and not isinstance(exc, BrokerError)
        if plan is None or not plan.calls or (not self._sent and surely_not_sent):
            return None
        sent = f"{self._sent} tasks were sent before"
        if plan.around is None or (plan.chords and not surely_not_sent):
            exc.add_note(sent)
            return None
        body = plan.around.body
        exc.add_note(f"{sent}; the chord's body {body['options'].get('task_id')} ends in FAILURE")
        # A member that has expired does not run, and fails its chord on each kind of worker.
        call = plan.calls[-1]
        kept = {name: call.options[name] for name in _ADDRESS if name in call.options}
        member: Signature[Any] = Signature(
            call.task, call.args, call.kwargs, {**kept, "expires": _PAST}, immutable=True
        )
        return chord([member], Signature.from_dict(body))


def stream(
    sig: Signature[Any],
    call: PartialCall,
    *,
    new_id: Callable[[], str],
    reply_to: str | None,
    errback_on_header: bool,
    check: OptionCheck | None = None,
) -> Iterator[Plan]:
    """The plans of one application of ``sig``, for which ``streams`` is true."""
    return Stream(sig, call, Lowering(new_id, reply_to, errback_on_header), check).plans()
