"""The finder and the modules that serve the names of Celery, kombu and billiard."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from itertools import chain
from types import CodeType, ModuleType
from typing import Any

from canvas.celery_names import others
from canvas.celery_names.names import (
    ALIASES,
    BILLIARD,
    CELERY,
    KOMBU,
    KOMBUS_WITHOUT,
    KOMBUS_WORDS,
    MEMBERS,
    NAMES_OF,
    NAMES_WITHOUT,
    OF_OTHERS,
    WITHOUT,
)
from canvas.celery_names.stand_ins import stand_in
from canvas.celery_names.version import CELERY_VERSION
from canvas.errors import ConfigurationError
from canvas.version import DOCUMENTATION

_PROGRAM = f"{CELERY}.__main__"
_GUIDE = f"see {DOCUMENTATION}reference/from-celery/"
_STAND_INS, _WORDS = {**NAMES_OF, **KOMBUS_WITHOUT}, {**WITHOUT, **KOMBUS_WORDS}


class ServedModule(ModuleType):
    """A module whose members are objects of canvas, imported when they are first used, or stand-ins."""

    def __init__(self, name: str, members: Mapping[str, str]) -> None:
        """``members``: where each name is, as ``module:attribute``, or ``module`` for a module."""
        super().__init__(name, f"Names of Celery's {name}, served by canvas.")
        self.__path__: list[str] = []
        self.__all__ = [member for member in members if not member.startswith("_")]

    def __getattr__(self, name: str) -> Any:
        found = _member(self.__name__, name)
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        known = (MEMBERS.get(self.__name__, {}), stand_ins(self.__name__), others.names(self.__name__))
        return sorted({*super().__dir__(), *chain.from_iterable(known)})


class _Alias(Loader):
    """Gives a module of canvas a second name."""

    def __init__(self, name: str, target: str) -> None:
        self._name, self._target = name, target
        self._own: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._target)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has written the alias's spec into the module.
        module.__spec__ = self._own
        if self._name.startswith(f"{CELERY}."):
            vars(module)["__getattr__"] = partial(_own_or_member, module, self._name)


class _Members(Loader):
    """Makes a module of names."""

    def __init__(self, members: Mapping[str, str]) -> None:
        self._members = members

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ServedModule(spec.name, self._members)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: members are imported when they are used."""


class _Program(_Members):
    """Makes the module of Celery's command line, which ``python -m celery`` runs too."""

    def get_code(self, name: str) -> CodeType:
        """The code that ``python -m`` runs for this module."""
        return compile(f"from {name} import main\nmain()\n", f"<{name}>", "exec")


class Finder(MetaPathFinder):
    """Finds the modules of one package in canvas: of ``celery``, ``kombu`` or ``billiard``."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module ``name`` as canvas serves it; ``None`` for other packages.

        Raises ModuleNotFoundError for a module of the package that canvas does not know.
        """
        if name != self._package and not name.startswith(f"{self._package}."):
            return None
        if name in ALIASES:
            return ModuleSpec(name, _Alias(name, ALIASES[name]))
        if name == _PROGRAM:
            return ModuleSpec(name, _Program(MEMBERS[name]))
        if name in MEMBERS or name in _STAND_INS:
            return ModuleSpec(name, _Members(MEMBERS.get(name, {})), is_package=True)
        raise ModuleNotFoundError(f"No module named {name!r}: canvas does not serve it; {_GUIDE}", name=name)

    def find_distributions(
        self, context: DistributionFinder.Context = DistributionFinder.Context()  # noqa: B008 - the protocol's default
    ) -> Iterable[Distribution]:  # fmt: skip
        """The distribution ``celery``, for programs that ask for its version."""
        return [_Celery()] if context.name == self._package == CELERY else []


class _OfOthers(MetaPathFinder):
    """Finds canvas' modules that stand for modules of other packages."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, _Alias(name, OF_OTHERS[name])) if name in OF_OTHERS else None


class _Celery(Distribution):
    """The metadata of the Celery whose interface canvas serves."""

    def read_text(self, filename: str) -> str | None:
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: {CELERY}\nVersion: {CELERY_VERSION}\nSummary: served by canvas\n"

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(f"{path}: canvas serves the distribution {CELERY}, which has no files")


def _member(module: str, name: str) -> Any:
    """A name in a module of Celery's: an object of canvas, a module below it, or a stand-in. Raises AttributeError."""
    place = MEMBERS.get(module, {}).get(name)
    if place is not None:
        there, _, attribute = place.partition(":")
        found = import_module(there)
        return getattr(found, attribute) if attribute else found
    below = f"{module}.{name}"
    if below in MEMBERS or below in ALIASES or below in _STAND_INS:
        return import_module(below)
    words = stand_ins(module).get(name)
    if words is not None:
        return stand_in(module, name, words, others.attributes(module, name))
    try:
        return others.find(module, name, words_for(module))
    except AttributeError:
        raise AttributeError(f"canvas has no {name!r} for module {module!r}; {_GUIDE}") from None


def _finds_names(module: ModuleType) -> bool:
    """Whether a module of canvas is of a class of its own, which finds names when they are used."""
    return hasattr(type(module), "__getattr__")


def _own_or_member(module: Any, celerys: str, name: str) -> Any:
    """A name that a module of canvas finds when it is used; else one of Celery's module. Raises AttributeError."""
    if not _finds_names(module):
        return _member(celerys, name)
    try:
        return type(module).__getattr__(module, name)
    except AttributeError as exc:
        try:
            return _member(celerys, name)
        except AttributeError:
            raise exc from None


def serves(module: str, name: str) -> bool:
    """Whether a name of one of Celery's modules has its own entry in the tables of names."""
    below = f"{module}.{name}"
    if name in MEMBERS.get(module, {}) or name in stand_ins(module):
        return True
    if below in MEMBERS or below in ALIASES or below in _STAND_INS:
        return True
    if module not in ALIASES:
        return False
    served: Any = import_module(ALIASES[module])
    if name in vars(served) or not _finds_names(served):
        return name in vars(served)
    try:
        type(served).__getattr__(served, name)
    except AttributeError:
        return False
    return True


def stand_ins(module: str) -> dict[str, str]:
    """The public names of a module that have stand-ins, and the words of each."""
    names = _STAND_INS.get(module, "").split()
    return {**dict.fromkeys(names, words_for(module) or ""), **NAMES_WITHOUT.get(module, {})}


def words_for(module: str) -> str | None:
    """The words of the error for a module of which canvas has no objects; ``None`` for others."""
    parts = module.split(".")
    starts = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_WORDS[start] for start in starts if start in _WORDS), None)


def install() -> None:
    """Serve ``celery`` in this process, and ``kombu`` and ``billiard`` where they are not installed.

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
    sys.meta_path += [Finder(KOMBU), Finder(BILLIARD)]
