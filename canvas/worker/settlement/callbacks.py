"""The messages that a task's callbacks are sent as."""

from typing import Any

from canvas.app.application import Canvas
from canvas.primitives.fields import signature_dict
from canvas.primitives.registry import maybe_signature


def callback_groups(app: Canvas, callbacks: list[Any]) -> list[Any]:
    """The signatures to send callbacks as: one alone, groups each, all others as a group (semantics.md T2)."""
    if len(callbacks) == 1:
        return callbacks
    sigs = [maybe_signature(callback, app) for callback in callbacks]
    together = [sig for sig in sigs if sig.subtask_type != "group"]
    groups: list[Any] = [sig for sig in sigs if sig.subtask_type == "group"]
    if len(together) == 1:
        return [*groups, together[0]]
    return (
        [*groups, app.signature(signature_dict("celery.group", (), {"tasks": together}, {}, "group"))]
        if together
        else groups
    )
