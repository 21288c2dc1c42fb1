"""The finder and the modules that serve the names of Celery and kombu."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

from canvas.celery_names.names import ALIASES, CELERY, KOMBU, MEMBERS, NAMES_WITHOUT, OF_OTHERS, WITHOUT
from canvas.celery_names.version import CELERY_VERSION
from canvas.errors import ConfigurationError

_GUIDE = "see docs/reference/from-celery.md"


class ServedModule(ModuleType):
    """A module whose members are objects of canvas, imported when they are first used."""

    def __init__(self, name: str, members: Mapping[str, str]) -> None:
        """``members``: where each name is, as ``module:attribute``, or ``module`` for a module."""
        super().__init__(name, f"Names of Celery's {name}, served by canvas.")
        self._members = members
        self.__path__: list[str] = []
        self.__all__ = [member for member in members if not member.startswith("_")]

    def __getattr__(self, name: str) -> Any:
        place = self.__dict__.get("_members", {}).get(name)
        if place is None:
            if f"{self.__name__}.{name}" in MEMBERS or f"{self.__name__}.{name}" in ALIASES:
                return import_module(f"{self.__name__}.{name}")
            why = NAMES_WITHOUT.get(self.__name__, {}).get(name)
            text = f"canvas {why}; it has no" if why else "canvas has no"
            raise AttributeError(f"{text} {name!r} for module {self.__name__!r}; {_GUIDE}")
        module, _, attribute = place.partition(":")
        found: Any = import_module(module)
        if attribute:
            found = getattr(found, attribute)
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._members})


class _Alias(Loader):
    """Gives a module of canvas a second name."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._own: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._target)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has written the alias's spec into the module.
        module.__spec__ = self._own


class _Members(Loader):
    """Makes a module of names."""

    def __init__(self, members: Mapping[str, str]) -> None:
        self._members = members

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ServedModule(spec.name, self._members)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: members are imported when they are used."""


class Finder(MetaPathFinder):
    """Finds the modules of one package of Celery's world in canvas."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module ``name`` as canvas serves it; ``None`` for other packages.

        Raises ModuleNotFoundError, with the alternative, for a module of the package that canvas does not have.
        """
        if name != self._package and not name.startswith(f"{self._package}."):
            return None
        if name in ALIASES:
            return ModuleSpec(name, _Alias(ALIASES[name]))
        if name in MEMBERS:
            return ModuleSpec(name, _Members(MEMBERS[name]), is_package=True)
        raise ModuleNotFoundError(f"No module named {name!r}: {_alternative(name)}", name=name)

    def find_distributions(
        self, context: DistributionFinder.Context = DistributionFinder.Context()  # noqa: B008 - the protocol's default
    ) -> Iterable[Distribution]:  # fmt: skip
        """The distribution ``celery``, for programs that ask for its version."""
        return [_Celery()] if context.name == self._package == CELERY else []


class _OfOthers(MetaPathFinder):
    """Finds canvas' modules that stand for modules of other packages."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, _Alias(OF_OTHERS[name])) if name in OF_OTHERS else None


class _Celery(Distribution):
    """The metadata of the Celery whose interface canvas serves."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {CELERY}\nVersion: {CELERY_VERSION}\nSummary: served by canvas\n"

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(f"{path}: canvas serves the distribution {CELERY}, which has no files")


def _alternative(name: str) -> str:
    parents: Iterator[str] = (name.rsplit(".", levels)[0] for levels in range(name.count(".") + 1))
    found = next((WITHOUT[parent] for parent in parents if parent in WITHOUT), None)
    return f"canvas {found}" if found else f"canvas does not serve it; {_GUIDE}"


def install() -> None:
    """Serve ``celery`` in this process, and ``kombu`` where it is not installed.

    Raises ConfigurationError when Celery's own modules are loaded already.
    """
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    loaded = sys.modules.get(CELERY)
    if loaded is not None:
        place = getattr(loaded, "__file__", None)
        raise ConfigurationError(
            f"canvas.as_celery: the module 'celery' is loaded already, from {place}; "
            "import canvas.as_celery before anything that imports celery, or start with: canvas celery"
        )
    sys.meta_path[:0] = [Finder(CELERY), _OfOthers()]
    sys.meta_path.append(Finder(KOMBU))
