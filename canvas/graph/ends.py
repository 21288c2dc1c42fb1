"""The calls at which a composite ends: the calls that give its result, and the last calls of a header's members."""

from typing import Any

from canvas.primitives.chain import normal_steps
from canvas.primitives.chord import chord
from canvas.primitives.group import flat_members, group
from canvas.primitives.registry import maybe_signature
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


def result_id(sig: Signature[Any]) -> str | None:
    """The id that its result has already, if any; the id of a chain's last step comes before the chain's."""
    if isinstance(sig, chord):
        return result_id(sig.body) if sig["kwargs"].get("body") is not None else None
    task_id: str | None = sig["options"].get("task_id")
    if sig.get("subtask_type") == "chain" and sig.members():
        return result_id(sig.members()[-1]) or task_id
    return task_id


def header_parts(tasks: Any) -> list[Signature[Any]]:
    """The members of a chord's header.

    If all of them end in empty groups, each gets a task at its end whose value is the empty list: without it no part
    would be counted, and the chord would never end.
    """
    tasks = tasks.tasks if isinstance(tasks, group) else tasks
    members = flat_members([task if isinstance(task, Signature) else maybe_signature(task) for task in tasks])
    for member in members:
        if not member.get("subtask_type"):
            return members
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
