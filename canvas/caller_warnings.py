"""Warnings that point at the line of the program that called canvas."""

import sys
import warnings


def warn_caller(text: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the first line outside this package that led here."""
    frame, levels = sys._getframe(0), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("canvas."):
        frame, levels = frame.f_back, levels + 1
    warnings.warn(text, category, stacklevel=levels)
