"""The engine for Celery workflows: compose task graphs, send them, run them."""

from canvas.app import Canvas
from canvas.model.chain import chain
from canvas.model.chord import chord
from canvas.model.current import current_app
from canvas.model.group import group
from canvas.model.signature import Signature, maybe_signature, signature
from canvas.model.spread import chunks, xmap, xstarmap
from canvas.model.stamping import StampingVisitor
from canvas.result import AsyncResult, EagerResult, GroupResult, ResultSet
from canvas.shared import shared_task
from canvas.task import Task
from canvas.version import __version__

__all__ = [
    "AsyncResult",
    "Canvas",
    "EagerResult",
    "GroupResult",
    "ResultSet",
    "Signature",
    "StampingVisitor",
    "Task",
    "__version__",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "xmap",
    "xstarmap",
]
