"""The engine for Celery workflows: compose task graphs, send them, run them."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from canvas import context
from canvas.app.application import Canvas
from canvas.app.shared_tasks import shared_task
from canvas.model import states
from canvas.model.ids import new_id as uuid
from canvas.primitives.chain import chain
from canvas.primitives.chord import chord
from canvas.primitives.group import group
from canvas.primitives.mapping import chunks, xmap, xstarmap
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature, set_drawer, signature
from canvas.primitives.stamping import StampingVisitor
from canvas.result import AsyncResult, EagerResult, GroupResult, ResultSet
from canvas.task.task import Task
from canvas.version import __version__

if TYPE_CHECKING:
    from canvas.workflows.compose.builder import Workflow
    from canvas.workflows.compose.decorator import workflow

current_app: Any = context.Proxy(context.current_app)
"""The app made last, or set by ``app.set_current()``. Raises ConfigurationError when there is none."""
current_task: Any = context.Proxy(context.current_task)
"""The task that runs here; false outside tasks."""

subtask = signature


def _draw(sig: Any, form: str) -> str:
    # Imported late: drawing needs networkx, which most programs never load.
    from canvas.graph.pictures.drawing import draw_signature

    return draw_signature(sig, form)


set_drawer(_draw)

__all__ = [
    "AsyncResult",
    "Canvas",
    "EagerResult",
    "GroupResult",
    "ResultSet",
    "Signature",
    "StampingVisitor",
    "Task",
    "Workflow",
    "__version__",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "states",
    "subtask",
    "uuid",
    "workflow",
    "xmap",
    "xstarmap",
]


_MODULES = ("exceptions", "schedules", "signals")
"""Modules that are loaded when they are used as attributes, as programs use Celery's."""


def __getattr__(name: str) -> Any:
    # The modules that compose graphs are loaded at first use: most programs only send tasks.
    if name == "Workflow":
        from canvas.workflows.compose.builder import Workflow

        return Workflow
    if name == "workflow":
        from canvas.workflows.compose.decorator import workflow

        return workflow
    if name in _MODULES:
        return import_module(f"canvas.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if os.environ.get("CANVAS_AS_CELERY") == "1":
    import_module("canvas.as_celery")
