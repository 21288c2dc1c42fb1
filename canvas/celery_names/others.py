"""Names of Celery's modules that are not public, and that programs import nevertheless.

Such names are imports from other modules, constants, loggers, and internals. ``names/others.json`` lists them: ``from``
by the module that a name is from, ``value``, ``logger`` by the logger's name, and ``stand-in``; and as ``attributes``,
by name, those of each object that a stand-in takes the place of.
"""

import json
import logging
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from canvas.celery_names.stand_ins import stand_in

_INSIDE = "has no use for it, or keeps it inside"


@cache
def _modules() -> dict[str, dict[str, Any]]:
    """The file, read when a name is missing for the first time."""
    return json.loads(files("canvas.celery_names.names").joinpath("others.json").read_text())  # type: ignore[no-any-return]


@cache
def _entries(module: str) -> dict[str, tuple[str, Any]]:
    """For each name in a module of Celery: the kind of its entry, and its module and attribute, or its value."""
    kinds = _modules().get(module, {})
    found: dict[str, tuple[str, Any]] = {name: ("stand-in", "") for name in kinds.get("stand-in", "").split()}
    for kind in ("value", "logger"):
        found.update({name: (kind, value) for name, value in kinds.get(kind, {}).items()})
    for there, names in kinds.get("from", {}).items():
        for one in names.split():
            name, _, attribute = one.partition("=")
            found[name] = ("from", (there, "" if attribute == "." else attribute or name))
    return found


def names(module: str) -> list[str]:
    """The names of a module of Celery that are found here."""
    return list(_entries(module))


def attributes(module: str, name: str) -> list[str]:
    """The attributes of an object of Celery's for which canvas has a stand-in."""
    found: str = _modules().get(module, {}).get("attributes", {}).get(name, "")
    return found.split()


def find(module: str, name: str, words: str | None) -> Any:
    """A name in a module of Celery. ``words``: those of a stand-in's error; ``None`` for the general ones.

    Raises AttributeError for a name that Celery's module does not have.
    """
    kind, what = _entries(module).get(name, ("", None))
    if kind == "value":
        return what
    if kind == "logger":
        return logging.getLogger(what)
    if kind == "from":
        there, attribute = what
        try:
            found = import_module(there)
            return getattr(found, attribute) if attribute else found
        except ImportError:
            kind = "stand-in"  # the library is not installed
    if kind == "stand-in":
        return stand_in(module, name, words or _INSIDE, attributes(module, name))
    raise AttributeError(name)
