"""Find the app that ``-A`` names."""

import importlib
import importlib.util
import os
import re
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from canvas.app.application import Canvas
from canvas.errors import ConfigurationError

_LIKELY = ("app", "canvas", "celery")
"""Attributes that are looked at first, and modules of a package."""
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep


def find_app(name: str) -> Canvas:
    """The Canvas at ``module:attribute``, ``module.attribute``, or in ``module`` (or package ``module.celery``).

    In a module it is ``app``, ``canvas`` or ``celery``, else the first Canvas. Raises ConfigurationError with the
    name that was looked for and the names that were found, or with the traceback of a module that raises.
    """
    _look_here()
    _check_name(name)
    found = _attribute(f"-A {name}", name) if ":" in name else _in_module(name)
    if isinstance(found, ModuleType):
        found = _app_of(found, name)
    if not isinstance(found, Canvas):
        raise ConfigurationError(f"-A {name}: expected a Canvas app; found {_described(found)}")
    return found


def configure(app: Canvas, name: str) -> None:
    """Give the app the settings of module ``name``. Raises ConfigurationError when there is none."""
    _look_here()
    try:
        app.config_from_object(name, force=True)
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(f"--config {name}: cannot import it: {exc}") from exc


def find_object(name: str) -> Any:
    """The object at ``module:attribute``. Raises ConfigurationError if there is none."""
    if not name.partition(":")[2]:
        raise ConfigurationError(f"{name}: expected module:attribute, such as {name.rstrip(':') or 'proj'}:flow")
    _look_here()
    return _attribute(name, name)


def _look_here() -> None:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _check_name(name: str) -> None:
    """Raises ConfigurationError for text that names no module, such as the path of a file."""
    module, colon, attribute = name.partition(":")
    is_file = module.endswith(".py") and Path(*module.split(".")[:-1]).with_suffix(".py").is_file()
    if _is_dotted(module) and bool(colon) == bool(attribute) and not is_file:
        return
    meant = module.replace(os.sep, "/").removesuffix(".py").strip("./").replace("/", ".")
    remedy = f"write -A {meant}{colon if attribute else ''}{attribute}" if _is_dotted(meant) else "such as -A proj:app"
    raise ConfigurationError(f"-A {name or repr(name)}: expected a module's name, with or without :attribute; {remedy}")


def _is_dotted(name: str) -> bool:
    # Python imports files of such names too, if not by a statement.
    return all(re.fullmatch(r"[\w-]+", part) for part in name.split("."))


def _attribute(said: str, name: str) -> Any:
    module_name, _, path = name.partition(":")
    module = _imported(module_name, said)
    found: Any = module
    for part in path.split("."):
        if not hasattr(found, part):
            near = _near(path, [key for key in vars(module) if not key.startswith("_")])
            raise ConfigurationError(f"{said}: module {module_name} has no {path!r}{near}")
        found = getattr(found, part)
    return found


def _in_module(name: str) -> Any:
    """The module ``name``, or the attribute of a module."""
    parent, _, attribute = name.rpartition(".")
    if not parent:
        return _imported(name, f"-A {name}")
    module = _imported(parent, f"-A {name}")
    if hasattr(module, attribute) and not isinstance(getattr(module, attribute), ModuleType):
        return getattr(module, attribute)
    if not hasattr(module, "__path__"):
        near = _near(attribute, [key for key in vars(module) if not key.startswith("_")])
        raise ConfigurationError(f"-A {name}: module {parent} has no {attribute!r}{near}")
    return _imported(name, f"-A {name}")


def _imported(name: str, said: str) -> ModuleType:
    """Import a module. An exception of the module is shown with its traceback."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not (name == exc.name or name.startswith(f"{exc.name}.")):
            raise ConfigurationError(_failed(said, name, exc)) from exc
        near = _near(name, sorted(path.stem for path in Path().glob("*.py")))
        raise ConfigurationError(
            f"{said}: there is no module {exc.name!r} in {os.getcwd()} or on the Python path{near}"
        ) from None
    except Exception as exc:
        raise ConfigurationError(_failed(said, name, exc)) from exc


def _failed(said: str, name: str, exc: BaseException) -> str:
    """The traceback of a module that cannot be imported, from its own lines on."""
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if not frame.filename.startswith((_OURS, "<frozen importlib")) and frame.filename != importlib.__file__
    ]
    lines = traceback.format_list(frames) + traceback.format_exception_only(exc)
    return f"{said}: module {name} raises {type(exc).__name__} when it is imported:\n{''.join(lines)}".rstrip()


def _app_of(module: ModuleType, name: str) -> Any:
    for attribute in _LIKELY:
        if isinstance(getattr(module, attribute, None), Canvas):
            return getattr(module, attribute)
    if hasattr(module, "__path__"):
        for part in ("celery", "canvas"):
            if importlib.util.find_spec(f"{module.__name__}.{part}") is not None:
                return _app_of(_imported(f"{module.__name__}.{part}", f"-A {name}"), name)
    for value in list(vars(module).values()):
        if isinstance(value, Canvas):
            return value
    raise ConfigurationError(_no_app(module, name))


def _no_app(module: ModuleType, name: str) -> str:
    for key, value in vars(module).items():
        if any(f"{kind.__module__}.{kind.__qualname__}" == "celery.app.base.Celery" for kind in type(value).__mro__):
            return (
                f"-A {name}: {key} of module {module.__name__} is a Celery app; run `canvas celery -A {name} ...`, "
                "which takes the project as it is, or make it a Canvas: from canvas import Canvas as Celery"
            )
    return (
        f"-A {name}: module {module.__name__} defines no Canvas app; name the module that does, as in -A proj.celery, "
        "or the app itself, as in -A proj.main:app"
    )


def _near(name: str, known: list[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _described(value: object) -> str:
    return f"{type(value).__name__} {value!r:.100}"
