"""Names of ``celery.utils.imports``: objects by their path."""

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import entry_points
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


def symbol_by_name(
    name: Any, aliases: Mapping[str, str] | None = None, imp: Any = None, package: str | None = None, sep: str = ".",
    default: Any = None, **options: Any,
) -> Any:  # fmt: skip
    """The object at ``package.module:name`` or ``package.module.name``; any object but text is returned as it is.

    ``imp`` imports modules in place of ``importlib.import_module``; it gets ``options``. Without an object there: the
    ``default``, if it is not ``None``; else raises ImportError or AttributeError.
    """
    if not isinstance(name, str):
        return name
    try:
        return _symbol(name, aliases, partial(imp or importlib.import_module, **options), package, sep)
    except (ImportError, AttributeError):
        if default is None:
            raise
        return default


def _symbol(
    name: str, aliases: Mapping[str, str] | None, load: Callable[..., Any], package: str | None, sep: str
) -> Any:  # fmt: skip
    name = (aliases or {}).get(name, name)
    module, _, attribute = name.rpartition(":" if ":" in name else sep)
    if not module:
        module, attribute = name, ""
    found = load(module, package=package)
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


class NotAPackage(Exception):
    """A name is used as that of a package, and is that of a module."""


@contextmanager
def cwd_in_path() -> Iterator[Any]:
    """The working directory is on the Python path inside the block."""
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield here
    finally:
        if added and here in sys.path:
            sys.path.remove(here)


def find_module(module: str, path: Any = None, imp: Any = None) -> Any:
    """Import ``module``, which may be in the working directory. Raises ImportError, and NotAPackage for a name below a
    module."""
    with cwd_in_path():
        for end in range(1, module.count(".") + 1):
            parent = (imp or importlib.import_module)(".".join(module.split(".")[:end]))
            if not hasattr(parent, "__path__"):
                raise NotAPackage(f"{parent.__name__} is not a package")
        return (imp or importlib.import_module)(module)


def reload_from_cwd(module: ModuleType, reloader: Any = None) -> ModuleType:
    """Load a module again."""
    with cwd_in_path():
        found: ModuleType = (reloader or importlib.reload)(module)
        return found


def module_file(module: ModuleType) -> str:
    """The path of a module's source."""
    name = module.__file__ or ""
    return name[:-1] if name.endswith(".pyc") else name


def load_extension_class_names(namespace: str) -> Iterator[tuple[str, str]]:
    """The entry points of a group: the name of each, and the path of its object."""
    return ((point.name, point.value) for point in entry_points(group=namespace))


def load_extension_classes(namespace: str) -> Iterator[tuple[str, Any]]:
    """The entry points of a group: the name of each, and its object. One that cannot be imported is left out, with a
    warning."""
    for name, path in load_extension_class_names(namespace):
        try:
            found = symbol_by_name(path)
        except (ImportError, SyntaxError) as exc:
            warnings.warn(f"Cannot load {namespace} extension {path!r}: {exc!r}", stacklevel=2)
        else:
            yield name, found
