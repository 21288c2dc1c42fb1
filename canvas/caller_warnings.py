"""The line of the program that called canvas: warnings point at it, and tracebacks end in it."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from inspect import getattr_static, iscoroutinefunction, isgeneratorfunction, unwrap
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from canvas.errors import CanvasError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_OURS = f"{os.path.dirname(__file__)}{os.sep}"
_PYTHON = os.path.dirname(contextlib.__file__)
_BETWEEN = (
    _OURS,
    contextlib.__file__,
    os.path.join(_PYTHON, "asyncio", ""),
    os.path.join(_PYTHON, "concurrent", "futures", ""),
)
"""Files whose frames are left out: those of canvas, and those by which it calls itself, such as on another thread."""
_EXPLAIN_THEMSELVES = frozenset(
    {
        "canvas.task.arguments", "canvas.task.definition_checks", "canvas.workflows.compose.definitions",
        "canvas.workflows.compose.other_names", "canvas.model.record", "canvas.primitives.misuse",
        "canvas.drivers.retry_policy", "canvas.schedules.crontab", __name__,
    }
)  # fmt: skip
"""Modules whose errors of other classes than ``CanvasError`` are for the caller: wrong arguments, failures of tasks.

An error whose last frame is in this module was raised by the call of a method with arguments it does not take.
"""

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
        if not frames.tb_frame.f_code.co_filename.startswith(_BETWEEN):
            return
        last, frames = frames.tb_frame.f_globals.get("__name__", ""), frames.tb_next
    seen = vars(exc)
    explained = isinstance(exc, CanvasError) or last in _EXPLAIN_THEMSELVES or _CUT in seen
    if explained and logging.getLogger("canvas").level != logging.DEBUG:
        exc.__traceback__ = None
        seen[_CUT] = True


def ends_in_caller(*methods: str, known_as: str = "") -> Callable[[type[T]], type[T]]:
    """A decorator of a class: the tracebacks of errors of these methods and properties end in the line that uses them;
    without names, of all its public methods and properties.

    Python's own errors for wrong arguments name the decorated class, and not the base that has the method.

    ``known_as``: the name by which programs call the class or its only instance; default: the name of the class.
    """

    def decorate(decorated: type[T]) -> type[T]:
        kinds = FunctionType, property, classmethod
        public = [name for name, value in vars(decorated).items() if isinstance(value, kinds) and name[0] != "_"]
        for name in methods or public:
            shown = f"{known_as or decorated.__name__}.{name}".removesuffix(".__call__").removesuffix(".__init__")
            setattr(decorated, name, _trimmed(getattr_static(decorated, name), name, shown))
        return decorated

    return decorate


def _trimmed(found: Any, name: str, shown: str) -> Any:
    """A method, a property or a class method without canvas' frames in the tracebacks of its errors."""
    if isinstance(found, property):
        return property(without_own_frames(found.fget), found.fset, found.fdel) if found.fget is not None else found
    if isinstance(found, classmethod):
        return classmethod(_trimmed(found.__func__, name, shown))
    if found.__name__ == name:  # an alias is named as the method that it is
        unwrap(found).__qualname__ = found.__qualname__ = shown
    if iscoroutinefunction(found):
        return _awaited(found)
    return _generated(found) if isgeneratorfunction(found) else without_own_frames(found)


def without_own_frames(call: Callable[P, R]) -> Callable[P, R]:
    """``call``, whose errors that explain themselves have a traceback that ends in the line that calls it."""

    @wraps(call)
    def trimmed(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except Exception as exc:
            leave_out(exc)
            raise

    return trimmed


def _generated(call: Callable[P, Iterator[R]]) -> Callable[P, Iterator[R]]:
    @wraps(call)
    def trimmed(*args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        try:
            yield from call(*args, **kwargs)
        except Exception as exc:
            leave_out(exc)
            raise

    return trimmed


def _awaited(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    @wraps(call)
    async def trimmed(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(*args, **kwargs)
        except Exception as exc:
            leave_out(exc)
            raise

    return trimmed
