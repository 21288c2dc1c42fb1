"""Pickles of Celery's objects: where canvas has what they name, and the names that canvas writes for its own.

A pickle names a class or a function by its module. So that neither side needs the other installed, signatures, results,
schedules and tasks have Celery's names on the wire, in both directions.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from operator import attrgetter
from types import FunctionType
from typing import Any, ClassVar

from canvas.context import current_app, has_current_app
from canvas.model.record import Handle

_PRIMITIVES = ["Signature", "signature", "subtask", "chain", "group", "chord", "chunks", "xmap", "xstarmap"]
_RESULTS = ["AsyncResult", "EagerResult", "GroupResult", "ResultSet"]
_SCHEDULES = ["crontab", "schedule", "solar"]
_TASK = "canvas.context:current_task_named"
_PLACES: dict[tuple[str, str], str] = {
    **{("celery.canvas", name): f"canvas:{name}" for name in _PRIMITIVES},
    **{("celery.canvas", f"_{name}"): f"canvas:{name}" for name in ("chain", "chord")},
    **{("celery.result", name): f"canvas.result:{name}" for name in _RESULTS},
    **{("celery.schedules", name): f"canvas.schedules:{name}" for name in _SCHEDULES},
    ("celery.app.registry", "_unpickle_task"): _TASK,
    ("celery.app.registry", "_unpickle_task_v2"): _TASK,
    ("celery.app.base", "_unpickle_appattr"): f"{__name__}:made_by_app",
    ("celery.backends.base", "unpickle_backend"): f"{__name__}:no_backend",
}
"""By module and name in a pickle of Celery's: the object of canvas."""
_WRITTEN = {
    **{("celery.canvas", name): f"canvas:{name}" for name in ("signature", "Signature")},
    **{place: _PLACES[place] for place in _PLACES if place[0] in ("celery.result", "celery.schedules")},
    ("celery.app.registry", "_unpickle_task_v2"): _TASK,
}
_PARENTS_INSIDE = 50
"""Parents of a result up to which each is written inside of the next, as Celery writes them."""
_OWN_MODULES = (b"canvas.primitives.", b"canvas.result.", b"canvas.schedules.", b"canvas.context")


def made_by_app(name: str, args: tuple[Any, ...]) -> Any:
    """A result, made by the current app's class of that ``name``, which finds its app later where there is none yet."""
    made = attrgetter(name)(current_app()) if has_current_app() else _object(f"canvas.result:{name}")
    return made(*args)


def no_backend(cls: Any, args: Any, kwargs: Any) -> None:
    """Nothing: results of canvas read from the app's own store."""


def of_celery(module: str, name: str) -> Any:
    """The object of canvas that a pickle of Celery's names; ``None`` for all others."""
    if not module.startswith("celery."):
        return None
    place = _PLACES.get((module, name))
    if place is not None:
        return _object(place)
    # The class of a backend, which only ``no_backend`` gets.
    return object if module.startswith("celery.backends.") else None


def names_own_objects(data: bytes) -> bool:
    """Whether a pickle may name objects that Celery has, too."""
    return any(module in data for module in _OWN_MODULES)


def dumps(value: Any, protocol: int) -> bytes:
    """The pickle of ``value``, with Celery's names for the objects that both have."""
    file = io.BytesIO()
    _Pickler(file, protocol).dump(value)
    return file.getvalue()


def _object(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


@cache
def _celerys_names() -> dict[int, tuple[str, str]]:
    """By identity of an object of canvas: its module and name in Celery."""
    return {id(_object(place)): name for name, place in _WRITTEN.items()}


def _unsaved_parents(handle: Any, saved: Mapping[int, Any]) -> list[Any]:
    """The parents of a result that has many, except for those that are saved already."""
    found = []
    while (handle := getattr(handle, "parent", None)) is not None and id(handle) not in saved:
        found.append(handle)
    return found[::-1] if len(found) > _PARENTS_INSIDE else []


class _Pickler(pickle._Pickler):
    """Python's own pickler: that in C looks each name up in its module, and Celery need not be installed."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        # The parents of a result first, the outermost one at the start: each would be a recursion in the one after it.
        parents = _unsaved_parents(obj, self.memo) if isinstance(obj, Handle) else []  # type: ignore[attr-defined]
        for parent in parents:
            super().save(parent)  # type: ignore[misc]
            self.write(pickle.POP)  # type: ignore[attr-defined]
        super().save(obj, save_persistent_id)  # type: ignore[misc]

    def save_global(self, obj: Any, name: str | None = None) -> None:
        place = _celerys_names().get(id(obj))
        if place is None:
            super().save_global(obj, name)  # type: ignore[misc]
            return
        for word in place:
            self.save(word)
        self.write(pickle.STACK_GLOBAL)  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]

    dispatch: ClassVar[dict[type, Callable[..., None]]] = {**pickle._Pickler.dispatch, FunctionType: save_global}
