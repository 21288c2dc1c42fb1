"""Names of ``celery.utils.imports``: objects by their path."""

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from canvas.app.application import Canvas
from canvas.app.registry import task_name


def qualname(obj: Any) -> str:
    """``module.name`` of a class or function, or of an object's class."""
    if not hasattr(obj, "__name__") and hasattr(obj, "__class__"):
        obj = obj.__class__
    name: str = getattr(obj, "__qualname__", None) or obj.__name__
    return name if "." in name else f"{obj.__module__}.{name}"


def symbol_by_name(name: Any, aliases: dict[str, str] | None = None, package: str | None = None, sep: str = ".") -> Any:
    """The object at ``package.module:name`` or ``package.module.name``; an object that is no text is returned.

    Raises ImportError or AttributeError when there is none.
    """
    if not isinstance(name, str):
        return name
    name = (aliases or {}).get(name, name)
    module, _, attribute = name.rpartition(":" if ":" in name else sep)
    if not module:
        module, attribute = name, ""
    found: Any = importlib.import_module(module, package)
    return getattr(found, attribute) if attribute else found


def instantiate(name: Any, *args: Any, **kwargs: Any) -> Any:
    """An object of the class at ``name``. Raises as ``symbol_by_name``."""
    return symbol_by_name(name)(*args, **kwargs)


def import_from_cwd(module: str, imp: Any = None, package: str | None = None) -> ModuleType:
    """Import a module that may be in the working directory. Raises ImportError."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    found: ModuleType = (imp or importlib.import_module)(module, package=package)
    return found


def gen_task_name(app: Canvas, name: str, module_name: str | None) -> str:
    """The name that ``app`` gives to the task ``name`` of a module."""
    return task_name(app.main, name, module_name)
