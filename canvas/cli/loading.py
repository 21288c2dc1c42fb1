"""Find the app that ``-A`` names."""

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from canvas.app import Canvas
from canvas.errors import ConfigurationError


def find_app(name: str) -> Canvas:
    """The Canvas at ``module:attribute``, ``module.attribute``, or in ``module`` (or package ``module.canvas``).

    Raises ConfigurationError saying what was looked for and what was found.
    """
    _look_here()
    found = _attribute(name) if ":" in name else _in_module(name)
    if not isinstance(found, Canvas):
        raise ConfigurationError(f"-A {name}: expected a Canvas app; found {type(found).__name__} {found!r:.100}")
    return found


def configure(app: Canvas, name: str) -> None:
    """Give the app the settings of module ``name``. Raises ConfigurationError when there is none."""
    _look_here()
    try:
        app.config_from_object(name, force=True)
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(f"--config {name}: cannot import it: {exc}") from exc


def find_object(name: str) -> Any:
    """The object at ``module:attribute``."""
    _look_here()
    return _attribute(name)


def _look_here() -> None:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _attribute(name: str) -> Any:
    module_name, _, path = name.partition(":")
    found: Any = _module(module_name, name)
    for part in path.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{name}: module {module_name} has no {path!r}")
        found = getattr(found, part)
    return found


def _in_module(name: str) -> Any:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as exc:
        parent, dot, attribute = name.rpartition(".")
        if not dot or exc.name is None or not name.startswith(exc.name):
            raise ConfigurationError(f"-A {name}: cannot import it: {exc}") from exc
        return _attribute(f"{parent}:{attribute}")
    return _app_of(module, name)


def _module(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        raise ConfigurationError(f"{name}: cannot import {module_name}: {exc}") from exc


def _app_of(module: ModuleType, name: str) -> Any:
    for attribute in ("app", "canvas", "celery"):
        if isinstance(getattr(module, attribute, None), Canvas):
            return getattr(module, attribute)
    apps = {id(value): value for value in vars(module).values() if isinstance(value, Canvas)}
    if len(apps) == 1:
        return next(iter(apps.values()))
    if not apps and hasattr(module, "__path__"):
        for part in ("canvas", "celery"):
            try:
                return _app_of(importlib.import_module(f"{name}.{part}"), f"{name}.{part}")
            except ModuleNotFoundError as exc:
                if exc.name != f"{name}.{part}":
                    raise
    raise ConfigurationError(f"-A {name}: expected one Canvas in module {name}, found {len(apps)}; say -A {name}:NAME")
