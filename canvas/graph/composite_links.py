"""Callbacks and errbacks of composites: which of its tasks a link of the whole belongs to."""

from typing import Any

from canvas.primitives.chord import chord
from canvas.primitives.fields import as_list
from canvas.primitives.group import group
from canvas.primitives.links import has_signature
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature

ENDS_BODY = "ends_body"
"""A keyword of the group around a chord that is a body: what is linked to the group belongs to the chord's result."""


def linked(step: Signature[Any], links: list[Any], errbacks: list[Any], errback_on_header: bool) -> Signature[Any]:
    """A step with the callbacks of the chain around it; its own stay its own."""
    if not links and not errbacks:
        return step
    step = step.linkable()
    for callback in links:
        _link_each(step, callback)
    for errback in errbacks:
        if isinstance(step, chord):
            _link_error_to_chord(step, errback, errback_on_header)
        elif ENDS_BODY in step.kwargs:
            link_error_to_body(step, errback)
        else:
            step.link_error(errback)
    return step


def _link_error_to_chord(step: chord, errback: Any, on_header: bool) -> None:
    """Like ``chord.link_error``; does nothing if the body has the errback already."""
    body = step.body_or_raise()
    if _has_errback(body, errback):
        return
    for member in step.header:
        if on_header:
            member.link_error(maybe_signature(errback).clone(immutable=True))
        elif isinstance(member, chord):
            _link_error_to_chord(member, errback, on_header)
    body.link_error(errback)


def link_error_to_body(body: Signature[Any], errback: Any) -> None:
    """Link an errback to the tasks that give a body's result, and not to headers in it."""
    if isinstance(body, group):
        for member in body.tasks:
            link_error_to_body(member, errback)
    elif isinstance(body, chord):
        link_error_to_body(body.body_or_raise(), errback)
    else:
        body.link_error(errback)


def _has_errback(sig: Signature[Any], errback: Any) -> bool:
    """Whether all tasks that give a signature's result have an errback."""
    if has_signature(as_list(sig.options.get("link_error")), errback):
        return True
    if isinstance(sig, group):
        return bool(sig.tasks) and all(_has_errback(member, errback) for member in sig.tasks)
    if isinstance(sig, chord):
        return _has_errback(sig.body_or_raise(), errback)
    return sig.subtask_type == "chain" and bool(sig.members()) and _has_errback(sig.members()[-1], errback)


def _link_each(sig: Signature[Any], callback: Any) -> None:
    """Link so that members keep their own callbacks (semantics.md C17, as it should be)."""
    if isinstance(sig, group):
        for member in sig.tasks:
            _link_each(member, callback)
    else:
        sig.link(callback)
