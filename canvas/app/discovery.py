"""Import the modules that define an app's tasks."""

import importlib
from collections.abc import Callable, Iterable

Packages = Iterable[str] | Callable[[], Iterable[str]] | None


def check_packages(packages: Packages) -> None:
    """Raise TypeError for text, which would be read as packages of one letter each."""
    if isinstance(packages, str):
        raise TypeError(f"autodiscover_tasks: expected a list of packages; got {packages!r}: write [{packages!r}]")


def import_modules(names: Iterable[str]) -> None:
    """Import each module that the settings ``include`` and ``imports`` name. Raises ImportError."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as exc:
            exc.add_note(f"The setting include, or imports, names {name!r}")
            raise


def import_related_modules(packages: Packages, related_name: str | None) -> None:
    """Import ``<package>.<related_name>`` of each package that has such a module. Raises ImportError."""
    for package in packages() if callable(packages) else packages or ():
        import_related(package, related_name)


def import_related(package: str, related_name: str | None) -> None:
    """Import a package and its related module. ``package`` may also name a class in one, as Django names its apps."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as exc:
        parent, _, name = package.rpartition(".")
        if exc.name != package or not parent or not hasattr(importlib.import_module(parent), name):
            raise
        package = parent.removesuffix(".apps")
    name = f"{package}.{related_name}" if related_name else package
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise
