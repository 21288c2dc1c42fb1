"""Warnings that point at the line of the program that called canvas, and their classes."""

import sys
import warnings


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
