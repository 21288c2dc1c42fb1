"""The classes of signatures by ``subtask_type``, and how a dict from a message becomes an instance of its class."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from canvas.errors import CompositionError, CycleError
from canvas.primitives.cycles import refused
from canvas.primitives.ports import SignatureApp

C = TypeVar("C", bound=type[Any])

TASK = ""
"""The name of the class of single tasks, which have no ``subtask_type``."""
CLASSES: dict[str, type[Any]] = {}
_FIELDS: tuple[tuple[str, Any, str], ...] = (
    ("args", Iterable, "a list"),
    ("kwargs", Mapping, "a mapping"),
    ("options", Mapping, "a mapping"),
)


def subtype(name: str) -> Callable[[C], C]:
    """A decorator: a dict with this ``subtask_type`` becomes an instance of the class."""

    def enrol(cls: C) -> C:
        CLASSES[name] = cls
        return cls

    return enrol


def signature_from_dict(d: Mapping[str, Any], app: SignatureApp | None = None, cls: Any = None) -> Any:
    """The signature that ``d`` describes, of the class that its ``subtask_type`` names, or of the subclass ``cls``.

    Raises CompositionError for a dict that does not describe a signature.
    """
    kind = d.get("subtask_type")
    cls = CLASSES[TASK] if cls is None else cls
    target = cls if not kind else CLASSES.get(kind) if isinstance(kind, str) else None
    if target is None:
        known = ", ".join(sorted(filter(None, CLASSES)))
        raise CompositionError(f"unknown subtask_type {kind!r}: expected one of {known}")
    if issubclass(cls, target):
        target = cls
    if not isinstance(d.get("task"), str):
        raise CompositionError(f"a signature needs a task name under 'task'; got {dict(d)!r:.200}")
    for name, kinds, words in _FIELDS:
        if d.get(name) and not isinstance(d[name], kinds):
            raise CompositionError(f"{d['task']:.100}: {name}: expected {words}; got {d[name]!r:.100}")
    built = dict.__new__(target)
    built.own_app = app
    built.own_type = None
    try:
        kwargs = built.adopted_kwargs(dict(d.get("kwargs") or {}), app)
    except CompositionError:
        raise
    except (TypeError, ValueError) as exc:
        raise CompositionError(f"{d['task']:.100}: kwargs: expected a {kind}'s; got {d['kwargs']!r:.200}") from exc
    dict.update(
        built,
        task=d["task"],
        args=tuple(d.get("args") or ()),
        kwargs=kwargs,
        options=dict(d.get("options") or {}),
        subtask_type=None if target.plain else kind,
        immutable=bool(d.get("immutable")) and target.copies_are_immutable,
    )
    return built


def maybe_signature(d: Any, app: SignatureApp | None = None, clone: bool = False) -> Any:
    """``d`` itself if it is a signature, a signature made of ``d`` if it is a dict, ``None`` for ``None``. ``clone``:
    a copy of a signature. Another object with the methods of a signature, such as a mock of one, is returned as it is.

    Raises CompositionError for a dict that does not describe a signature, or describes one that contains itself.
    """
    if d is None or isinstance(d, CLASSES[TASK]):
        return d.clone() if clone and d is not None else d
    if not isinstance(d, Mapping) and hasattr(d, "apply_async"):
        return d
    try:
        return signature_from_dict(d, app)
    except (RecursionError, CycleError) as exc:
        refused(exc, d)


def as_built_in(sig: Any) -> Any:
    """``sig`` with the ``subtask_type`` of the composites that registered subclasses in it are subclasses of."""
    kwargs = dict(sig["kwargs"])
    for name in ("tasks", "header", "body"):
        inner = kwargs.get(name) if sig.subtask_type else None
        if isinstance(inner, CLASSES[TASK]):
            kwargs[name] = as_built_in(inner)
        elif inner is not None and type(inner) in (list, tuple):
            kwargs[name] = [as_built_in(one) if isinstance(one, CLASSES[TASK]) else one for one in inner]
    return sig.with_fields(subtask_type=sig.subtask_type, kwargs=kwargs)
