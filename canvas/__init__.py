"""The engine for Celery workflows: compose task graphs, send them, run them."""

from typing import TYPE_CHECKING, Any

from canvas.app import Canvas
from canvas.model import current, states
from canvas.model.chain import chain
from canvas.model.chord import chord
from canvas.model.group import group
from canvas.model.ids import new_id as uuid
from canvas.model.signature import Signature, maybe_signature, set_drawer, signature
from canvas.model.spread import chunks, xmap, xstarmap
from canvas.model.stamping import StampingVisitor
from canvas.result import AsyncResult, EagerResult, GroupResult, ResultSet
from canvas.shared import shared_task
from canvas.task import Task
from canvas.version import __version__

if TYPE_CHECKING:
    from canvas.workflows import Workflow, workflow

current_app: Any = current.Proxy(current.current_app)
"""The app made last, or set by ``app.set_current()``. Raises ConfigurationError when there is none."""
current_task: Any = current.Proxy(current.current_task)
"""The task that runs here; false outside tasks."""

subtask = signature


def _draw(sig: Any, form: str) -> str:
    # Drawing needs networkx, which most programs never load.
    from canvas.graph.picture import draw_signature

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


def __getattr__(name: str) -> Any:
    if name not in ("Workflow", "workflow"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # What composes graphs is loaded when it is first asked for: most programs only send tasks.
    from canvas import workflows

    return getattr(workflows, name)
