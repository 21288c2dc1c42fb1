"""The objects that ``docs/reference/from-celery.md`` calls the same in Celery and in canvas: in pairs, for comparing."""

import importlib
import inspect
import types
from collections.abc import Iterator
from typing import Any

from canvas.celery_names.importer import _member
from canvas.celery_names.names import ALIASES
from canvas.celery_names.stand_ins import StandIn
from tests.as_celery import table

METHODS = (types.FunctionType, classmethod, staticmethod)


def served(module: str, name: str) -> Any:
    """The object that canvas serves; None where it has none."""
    if module in ALIASES and hasattr(importlib.import_module(ALIASES[module]), name):
        return getattr(importlib.import_module(ALIASES[module]), name)
    try:
        return _member(module, name)
    except AttributeError:
        return None


def pairs() -> Iterator[tuple[str, Any, Any]]:
    """The name, Celery's object and canvas', of each function and class; an object of several names comes once."""
    seen = set()
    for module in table.modules():
        for name in sorted(table.public(module)) if table.absent(module) is None else ():
            label = f"{module}.{name}"
            if (label in table.DIFFERS and label not in table.CLASSES) or not table.has(module, name):
                continue
            theirs, ours = getattr(importlib.import_module(module), name), served(module, name)
            kinds = (inspect.isclass(theirs) or inspect.isroutine(theirs)), callable(ours)
            if all(kinds) and not isinstance(ours, StandIn) and (id(theirs), id(ours)) not in seen:
                seen.add((id(theirs), id(ours)))
                yield label, theirs, ours


def methods(theirs: type, ours: Any) -> Iterator[tuple[str, Any, Any]]:
    """The public methods that Celery's class writes in Python, and those of canvas' with their names."""
    for name in dir(theirs):
        if not name.startswith("_") and isinstance(inspect.getattr_static(theirs, name), METHODS):
            own = inspect.getattr_static(ours, name, None)
            # A property of Celery's or of canvas' may bind a class to an app.
            if isinstance(own, METHODS):
                yield name, getattr(theirs, name), getattr(ours, name)
