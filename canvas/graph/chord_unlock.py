"""The task ``celery.chord_unlock``, which Celery's clients send with a chord where the result backend counts no parts.

It looks again and again whether the header has ended, and then sends the body. Workers of both kinds serve it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from canvas.model.compiled import ChordSize, TaskCall

TASK = "celery.chord_unlock"
_FIRST_LOOK = 1
"""Seconds until the first look, as in Celery."""
_ROUTING = ("queue", "exchange", "exchange_type", "routing_key", "headers", "priority")


def unlock_call(chord: ChordSize, new_id: Callable[[], str], defaults: Mapping[str, Any]) -> TaskCall:
    """The call of the task for a chord: it goes where the chord's body goes. ``defaults``: the options that the task of
    the body gives."""
    body = chord.body
    stamped = body["options"].get("stamped_headers") or ()
    given = {**defaults, **body["options"]}
    routing = {name: given[name] for name in _ROUTING if given.get(name) is not None and name not in stamped}
    kwargs = {"result": list(chord.header()[1]), "interval": None, "max_retries": None}
    options = {"route_name": body["task"], "countdown": _FIRST_LOOK, "task_id": new_id(), **routing}
    return TaskCall(TASK, (chord.group_id, body), kwargs, options)
