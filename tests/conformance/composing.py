"""The names of `celery.canvas`."""

from canvas import *  # noqa: F403
from canvas.primitives.chain import _chain
from canvas.primitives.chord import chord as _chord

__all__ = ["_chain", "_chord"]
