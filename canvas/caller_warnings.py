"""The line of the program that called canvas: warnings point at it, and tracebacks end in it."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import ParamSpec, TypeVar

from canvas.errors import CanvasError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_OURS = f"{os.path.dirname(__file__)}{os.sep}"
_EXPLAIN_THEMSELVES = ("canvas.task.arguments", "canvas.workflows.compose.definitions", "canvas.model.record")
"""Modules whose errors of other classes than ``CanvasError`` are for the caller: wrong arguments, failures of tasks."""

_CUT = "_canvas_frames_left_out"
"""The attribute of an error that has come through a method which is called by another one of these."""


class CeleryWarning(UserWarning):
    """The base of the warnings that have a name in Celery."""


class AlwaysEagerIgnored(CeleryWarning):
    """``send_task`` sends in spite of ``task_always_eager``: the task need not be registered here."""


class DuplicateNodenameWarning(CeleryWarning):
    """Several workers have the same node name: remote control cannot tell them apart."""


class DuplicateTaskNameWarning(CeleryWarning):
    """Two functions have the same task name: the task of the first one stays."""


class FixupWarning(CeleryWarning):
    """A framework seems to be used, and cannot be set up."""


def warn_caller(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the first line outside this package that led here."""
    frame, levels = sys._getframe(0), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("canvas."):
        frame, levels = frame.f_back, levels + 1
    warnings.warn(text, category, stacklevel=levels)


def leave_out(exc: BaseException) -> None:
    """Take canvas' frames from an error that explains itself, before ``raise`` raises it again.

    ``raise`` adds no frame of its own, so that the traceback ends in the caller's line. Frames stay where one of them
    is the program's, such as a router's, and while the logger ``canvas`` has the level DEBUG.
    """
    frames, last = exc.__traceback__, ""
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if not file.startswith(_OURS) and file != contextlib.__file__:
            return
        last, frames = frames.tb_frame.f_globals.get("__name__", ""), frames.tb_next
    seen = vars(exc)
    explained = isinstance(exc, CanvasError) or last in _EXPLAIN_THEMSELVES or _CUT in seen
    if explained and logging.getLogger("canvas").level != logging.DEBUG:
        exc.__traceback__ = None
        seen[_CUT] = True


def ends_in_caller(*methods: str) -> Callable[[type[T]], type[T]]:
    """A decorator of a class: the tracebacks of errors of these methods end in the line that calls them."""

    def decorate(decorated: type[T]) -> type[T]:
        for name in methods:
            call = getattr(decorated, name)
            setattr(decorated, name, (_awaited if iscoroutinefunction(call) else _called)(call))
        return decorated

    return decorate


def _called(call: Callable[P, R]) -> Callable[P, R]:
    @wraps(call)
    def without_own_frames(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except Exception as exc:
            leave_out(exc)
            raise

    return without_own_frames


def _awaited(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    @wraps(call)
    async def without_own_frames(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(*args, **kwargs)
        except Exception as exc:
            leave_out(exc)
            raise

    return without_own_frames
