"""Signatures in wire form, as plain dicts: made, copied, taken apart; where they end."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from canvas.graph.composite_links import ENDS_BODY
from canvas.primitives.fields import as_list, signature_dict
from canvas.primitives.links import Distinct

Wire = dict[str, Any]


def chord_dict(header: list[Wire], body: Wire) -> Wire:
    """A chord in wire form."""
    return signature_dict("celery.chord", [], {"kwargs": {}, "header": header, "body": body}, {}, "chord")


def line(collect: Callable[[], Wire], sig: Any) -> list[Wire]:
    """A signature as steps, one after the other, each a copy; a group becomes a chord that gives a list."""
    kind, mine = sig["subtask_type"], copied(sig)
    if kind == "chain":
        steps = [step for one in sig["kwargs"]["tasks"] for step in line(collect, one)]
        steps[-1]["options"] |= mine["options"]
        return steps
    if kind == "group":
        return [chord_dict(mine["kwargs"]["tasks"], collect())]
    return [mine]


def copied(sig: Any) -> Wire:
    """A signature whose parts may be changed."""
    mine: Wire = {**sig, "options": dict(sig["options"]), "kwargs": dict(sig["kwargs"])}
    kwargs = mine["kwargs"]
    if sig["subtask_type"] in ("chain", "group"):
        kwargs["tasks"] = [copied(one) for one in kwargs["tasks"]]
    elif sig["subtask_type"] == "chord":
        header = kwargs["header"]
        kwargs["header"] = copied(header) if isinstance(header, dict) else [copied(one) for one in header]
        kwargs["body"] = copied(kwargs["body"])
    return mine


def last_task(sig: Wire) -> Wire:
    """The task whose result is that of a signature, which does not end in a group."""
    if sig["subtask_type"] == "chain":
        return last_task(sig["kwargs"]["tasks"][-1])
    return last_task(sig["kwargs"]["body"]) if sig["subtask_type"] == "chord" else sig


def tasks_of(sig: Wire) -> Iterator[Wire]:
    """The tasks that a signature is composed of."""
    kwargs, kind = sig["kwargs"], sig["subtask_type"]
    if kind in ("chain", "group"):
        inner = kwargs["tasks"]
    elif kind == "chord":
        header = kwargs["header"]
        inner = [*([header] if isinstance(header, dict) else header), kwargs["body"]]
    else:
        yield sig
        return
    for one in inner:
        yield from tasks_of(one)


def first_step(sig: Wire) -> Wire:
    """The step that a chain begins with; another signature itself."""
    return first_step(sig["kwargs"]["tasks"][0]) if sig["subtask_type"] == "chain" else sig


class GroupEnd:
    """A group that signatures end in."""

    def __init__(self, members: Sequence[Wire]) -> None:
        self._members = members
        self._held = Distinct(errback for member in members for errback in Distinct(errbacks_of(member)))
        counted = zip(self._held, self._held.counts, strict=True)
        self.of_some = Distinct(errback for errback, count in counted if count < len(members))
        """The errbacks of some of the members only."""

    def leave(self, errbacks: Distinct) -> None:
        """Take errbacks from the members, which get them from the composite around."""
        if not any(errback in self._held for errback in errbacks):
            return
        for member in self._members:
            left = [errback for errback in errbacks_of(member) if errback not in errbacks]
            member["options"].pop("link_error", None)
            if left:
                member["options"]["link_error"] = left
        self._held, self.of_some = self._held.without(errbacks), self.of_some.without(errbacks)


class WireEnd(NamedTuple):
    """Where a signature ends."""

    sig: Wire
    errbacks: Distinct
    """The errbacks that all tasks share which give its result; a composite's own come first."""
    group: GroupEnd
    """The group that it ends in; one without members if it ends in a task."""

    def shared(self) -> Distinct:
        """The errbacks that all members of the group have, or the composite around it."""
        return self.errbacks.without(self.group.of_some)


class WireEnds:
    """Where signatures end. Each is looked at once, so those inside of it have to be complete."""

    def __init__(self) -> None:
        self._known: dict[int, WireEnd] = {}

    def of(self, sig: Wire) -> WireEnd:
        found = self._known.get(id(sig))
        if found is None:
            found = self._known[id(sig)] = self._end(sig)
        return found

    def _end(self, sig: Wire) -> WireEnd:
        kwargs, kind, own = sig["kwargs"], sig["subtask_type"], errbacks_of(sig)
        if kind == "group" and ENDS_BODY not in kwargs:
            group = GroupEnd(kwargs["tasks"])
            inner = (errback for member in kwargs["tasks"] for errback in self.of(member).errbacks)
            return WireEnd(sig, Distinct((*own, *inner)).without(group.of_some), group)
        if kind not in ("chain", "group", "chord"):
            return WireEnd(sig, Distinct(own), _NO_GROUP)
        end = self.of(kwargs["body"] if kind == "chord" else kwargs["tasks"][-1])
        return WireEnd(sig, Distinct((*own, *end.errbacks)) if own else end.errbacks, end.group)


_NO_GROUP = GroupEnd(())


def errbacks_of(sig: Wire) -> list[Any]:
    """The errbacks of a signature itself."""
    return as_list(sig["options"].get("link_error"))


def estimated_bytes(sigs: Sequence[Wire]) -> list[int]:
    """About how many bytes each signature's message has. A value that stands in several places is counted in each, and
    measured once."""
    known: dict[int, int] = {}

    def size(value: Any) -> int:
        if isinstance(value, str):
            return len(value) + 4
        if not isinstance(value, dict | list | tuple):
            return 2 + (len(repr(value)) if value is not None else 4)
        found = known.get(id(value))
        if found is None:
            inner = value.values() if isinstance(value, dict) else value
            found = 2 + sum(map(size, inner)) + (sum(map(size, value)) if isinstance(value, dict) else 0)
            known[id(value)] = found
        return found

    # The body of a message is JSON in base64, beside its headers.
    return [size(sig) * 4 // 3 + 1000 for sig in sigs]
