"""The calls at which a composite ends: those that its callbacks follow, and the last ones of a header's members."""

from typing import Any

from canvas.primitives.chain import normal_steps
from canvas.primitives.chord import chord
from canvas.primitives.group import group
from canvas.primitives.signature import Signature


def link_end(sig: Signature[Any], callback: Any) -> None:
    """Link a callback to the calls at the end of ``sig``: each member of a group gets it, as in a message."""
    if isinstance(sig, group):
        for member in sig.tasks:
            link_end(member, callback)
    elif isinstance(sig, chord) and sig.body is not None:
        link_end(sig.body, callback)
    elif sig.subtask_type == "chain" and sig.members():
        link_end(sig.members()[-1], callback)
    else:
        sig.link(callback)


def with_ends(members: list[Signature[Any]]) -> list[Signature[Any]]:
    """The members of a chord's header.

    If all of them end in empty groups, each gets a task at its end whose value is the empty list: without it no part
    would be counted, and the chord would never end.
    """
    ended = _all_ended(members, ())
    return members if ended is None else ended


def _all_ended(members: list[Signature[Any]], around: tuple[int, ...]) -> list[Signature[Any]] | None:
    """``members`` with tasks at their ends, if all of them end in empty groups."""
    found = []
    for member in members:
        ended = _ended(member, around)
        if ended is None:
            return None
        found.append(ended)
    return found


def _ended(sig: Signature[Any], around: tuple[int, ...]) -> Signature[Any] | None:
    """``sig`` with a task at its end, if it ends in an empty group.

    ``around``: the ids of the signatures around it; one that contains itself is refused later.
    """
    if id(sig) in around:
        return None
    inside = (*around, id(sig))
    if isinstance(sig, chord):
        body = None if sig.body is None else _ended(sig.body, inside)
        return None if body is None else sig.with_fields(kwargs={**sig.kwargs, "body": body})
    if sig.subtask_type == "chain":
        steps = normal_steps(sig.members())
        last = _ended(steps[-1], inside) if steps else None
        return None if last is None else sig.with_fields(kwargs={**sig.kwargs, "tasks": [*steps[:-1], last]})
    if sig.subtask_type == "group" and sig.members():
        members = _all_ended(sig.members(), inside)
        return None if members is None else sig.with_fields(kwargs={**sig.kwargs, "tasks": members})
    if sig.subtask_type == "group":
        return Signature("celery.accumulate", ([],), {"index": 0}, immutable=True, app=sig.own_app)
    return None
