"""Drivers of other packages: a class or function by its path, or an entry point of the group ``canvas.drivers``."""

import re
from collections.abc import Mapping
from importlib import import_module
from inspect import isfunction
from typing import Any

from canvas.drivers.ports import StoreParts
from canvas.drivers.ports.capabilities import Capability
from canvas.drivers.ports.chords import ChordStore
from canvas.drivers.ports.results import ResultStore
from canvas.drivers.ports.runs import RunRecords
from canvas.drivers.third_party.described_store import describe
from canvas.drivers.third_party.failures import described
from canvas.errors import ConfigurationError, RefusedError

_PATH = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*)(?::|\.)([A-Za-z_]\w*)")
_NO_BACKEND = "A Celery backend cannot be used as it is"


def class_path(path: str) -> tuple[str, str] | None:
    """Module and name of a class whose path a result backend is: ``module:Class`` or ``module.Class``."""
    found = _PATH.fullmatch(path)
    # A host name has no capital letter, and a port no letter.
    return (found[1], found[2]) if found is not None and (":" in path or found[2][0].isupper()) else None


def is_path(url: str) -> bool:
    """Whether a result backend is the path of a class, perhaps with ``+`` and a URL."""
    path, _, rest = url.partition("+")
    return class_path(path) is not None and ("://" in rest or not rest)


def open_path(url: str, options: Mapping[str, Any]) -> StoreParts:
    """The store that the class at a path makes. Raises ConfigurationError."""
    path, _, address = url.partition("+")
    found = class_path(path)
    assert found is not None
    try:
        made = getattr(import_module(found[0]), found[1])
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(f"result_backend {path!r}: {exc}") from exc
    return store_of(made, path, address or url, options)


def entry_point_names() -> list[str]:
    """The schemes that packages register drivers for."""
    return sorted(_entry_points())


def _entry_points() -> dict[str, Any]:
    # Imported late: importlib.metadata is slow to import, and few programs have a driver of their own.
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group="canvas.drivers")}


def open_entry(name: str, part: str, url: str, options: Mapping[str, Any]) -> Any:
    """The broker, or the store, that the entry point of a scheme opens. Raises ConfigurationError."""
    loaded = _entry_points()[name].load()
    opener = getattr(loaded, f"open_{part}", None)
    if opener is not None:
        return opener(url, options)
    if part == "results" and callable(loaded):
        return store_of(loaded, name, url, options)
    raise ConfigurationError(f"{part} URL: the driver {name!r} has no open_{part}")


def store_of(make: Any, name: str, url: str, options: Mapping[str, Any]) -> StoreParts:
    """The parts of the store that ``make(url, options)`` returns: a StoreParts, or one object that is a
    ``ResultStore``; if it has ``start_chords`` also a ``ChordStore``, and if it has ``save_run`` a ``RunRecords`` too.
    Raises ConfigurationError for one that lacks anything of these, and OperationalError where its server is
    unreachable."""
    store = _made(make, name, url, options)
    if isinstance(store, StoreParts):
        for part in {id(part): part for part in store[:3] if part is not None}.values():
            describe(part, name)
        return store
    _check(store, ResultStore, name)
    counts, keeps_runs = hasattr(store, "start_chords"), hasattr(store, "save_run")
    if counts or keeps_runs:
        _check(store, ChordStore, name)
    if keeps_runs:
        _check(store, RunRecords, name)
    describe(store, name)
    found: set[Capability] = {"results", "chords"}
    found |= {"parts"} if counts else set()
    found |= {"runs"} if keeps_runs else set()
    return StoreParts(store, store if counts else None, store if keeps_runs else None, frozenset(found))


def _made(make: Any, name: str, url: str, options: Mapping[str, Any]) -> Any:
    try:
        with described(f"result backend {name!r}"):
            return make(url, options)
    except RefusedError as exc:
        if isinstance(exc.__cause__, TypeError):
            what = f"result_backend {name!r} is called with a URL and options: {exc.__cause__}. {_NO_BACKEND}"
            raise ConfigurationError(what) from exc.__cause__
        raise ConfigurationError(str(exc)) from exc


def _check(store: Any, port: type, name: str) -> None:
    """Raises ConfigurationError if a store lacks an attribute or a method of a port."""
    missing = []
    for own, defined in vars(port).items():
        if own.startswith("_"):
            continue
        if not hasattr(store, own):
            missing.append(own)
        elif isfunction(defined) and not callable(getattr(store, own)):
            missing.append(f"{own}()")
    if missing:
        advice = f". {_NO_BACKEND}" if port is ResultStore else ""
        raise ConfigurationError(
            f"result_backend {name!r}: {type(store).__name__} is no {port.__name__} of canvas.drivers.ports: it lacks "
            f"{', '.join(missing)}{advice}"
        )
