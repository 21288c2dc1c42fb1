"""The record of a task in the result backend."""

from abc import abstractmethod
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, NoReturn, Protocol


class Handle:
    """A result that is to come: of a task, or of a group."""

    @abstractmethod
    def as_tuple(self) -> tuple[Any, ...]:
        """The ids that it can be made of again (semantics.md R1)."""


class RecordClock(Protocol):
    """The time and the zone of an app, as its records need them."""

    @property
    def clock_offset(self) -> float: ...

    @property
    def timezone(self) -> tzinfo: ...


def in_tuple_form(value: Any, serializer: str = "json") -> Any:
    """A task's value: of a result handle its tuple form, unless ``serializer`` is pickle, as in Celery."""
    return value.as_tuple() if isinstance(value, Handle) and serializer != "pickle" else value


_REMOTE = "\nRemote traceback:\n"
OWN_FIELDS = ("attempt", "canvas", "child", "date_start", "progress", "rounds", "signal", "task", "until")
"""The fields of a record that canvas adds for runs and their nodes."""


@dataclass(slots=True)
class Record:
    """A task's stored state (protocol.md §5.1), decoded.

    ``result`` is the value, or for exception states the exception object. ``date_done`` is ISO 8601 text.
    ``extra`` holds every further key of the record (result_extended: name, args, kwargs, worker, retries,
    queue, stamps).
    """

    task_id: str
    status: str
    result: Any = None
    traceback: str | None = None
    children: list[Any] | None = None
    date_done: str | None = None
    group_id: str | None = None
    parent_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] | None = field(default=None, compare=False)
    """Not a part of the stored record: what some stores show of the task besides."""

    def extend(self, request: Any) -> None:
        """Add what ``result_extended`` keeps of a request's task."""
        self.extra = extended(request)
        self.about = {name: getattr(request, name, None) for name in ("argsrepr", "kwargsrepr", "periodic_task_name")}

    def meta(self) -> dict[str, Any]:
        """The record as Celery's dict, with the children in tuple form."""
        around = {"group_id": self.group_id, "parent_id": self.parent_id}
        return {
            "status": self.status,
            "result": self.result,
            "traceback": self.traceback,
            "children": self.children,
            "date_done": self.date_done,
            **{key: value for key, value in around.items() if value is not None},
            **self.extra,
            "task_id": self.task_id,
        }

    def throw(self) -> NoReturn:
        """Raise the stored exception, with the remote traceback as a note."""
        exc = self.result if isinstance(self.result, BaseException) else Exception(self.result)
        known = any(note.startswith(_REMOTE) for note in getattr(exc, "__notes__", ()))
        if self.traceback and not known:
            exc.add_note(f"{_REMOTE}{self.traceback}")
        raise exc


def extended(request: Any) -> dict[str, Any]:
    """The fields that ``result_extended`` adds to the record of a request's task."""
    names, stamps = getattr(request, "stamped_headers", None) or (), getattr(request, "stamps", None) or {}
    stamped = {"stamped_headers": names, **{key: stamps[key] for key in names if key in stamps}} if stamps else {}
    return {
        "name": getattr(request, "task", None),
        "args": getattr(request, "args", None),
        "kwargs": getattr(request, "kwargs", None),
        "worker": getattr(request, "hostname", None),
        "retries": getattr(request, "retries", None),
        "queue": (getattr(request, "delivery_info", None) or {}).get("routing_key"),
        **stamped,
    }


def children_of(request: Any) -> list[Any]:
    """The results of what the task has sent, in tuple form. A program's own request may lack them."""
    return [child.as_tuple() for child in getattr(request, "children", None) or ()]
