"""Entries: what is to run, on which schedule, and how missed and overlapping runs are treated."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, Protocol, get_args

from canvas.errors import ConfigurationError
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature
from canvas.schedules import maybe_schedule
from canvas.schedules.base_schedule import BaseSchedule

CatchUp = Literal["none", "last", "all"]
Overlap = Literal["allow", "skip", "queue", "cancel_previous"]
_KEYS = ("task", "schedule", "args", "kwargs", "options", "relative", "catch_up", "overlap")


class Flow(Protocol):
    """A workflow as it was composed."""

    name: str

    def apply_async(self, **options: Any) -> Any: ...


@dataclass(slots=True)
class Entry:
    """An entry, checked."""

    name: str
    task: "str | Signature[Any] | Flow | Callable[..., Any]"
    """A task's name, a signature, a workflow, or a function that composes one."""
    schedule: BaseSchedule
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    catch_up: CatchUp = "last"
    overlap: Overlap = "allow"
    dynamic: bool = False
    """Whether it was added by ``app.schedule``, and not by the settings."""

    @property
    def what(self) -> str:
        """The task, signature or workflow, for log lines."""
        task = self.task
        if isinstance(task, str):
            return task
        if isinstance(task, Signature):
            return str(task.task)
        return str(getattr(task, "name", None) or getattr(task, "__name__", None) or type(task).__name__)

    @property
    def is_workflow(self) -> bool:
        """Whether it starts runs of a workflow."""
        return not isinstance(self.task, str | Signature)


def entry_of(name: str, fields: Any, dynamic: bool = False) -> Entry:
    """The entry that a mapping describes, as in ``beat_schedule``. Raises ConfigurationError, which names the entry."""
    where = f"beat_schedule[{name!r}]" if not dynamic else f"schedule entry {name!r}"
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"{where}: expected a mapping with 'task' and 'schedule'; got {fields!r:.100}")
    for key in fields:
        if key not in _KEYS:
            near = get_close_matches(str(key), _KEYS, n=1)
            raise ConfigurationError(f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    for key in ("task", "schedule"):
        if fields.get(key) is None:
            raise ConfigurationError(f"{where}: expected a value for {key!r}; got none")
    found = Entry(
        name,
        _task(where, fields["task"]),
        _schedule(where, fields["schedule"], bool(fields.get("relative", False))),
        tuple(_of_kind(where, "args", fields, Iterable, ())),
        dict(_of_kind(where, "kwargs", fields, Mapping, {})),
        dict(_of_kind(where, "options", fields, Mapping, {})),
        _one_of(where, "catch_up", fields.get("catch_up") or "last", get_args(CatchUp)),
        _one_of(where, "overlap", fields.get("overlap") or "allow", get_args(Overlap)),
        dynamic,
    )
    return found


def _task(where: str, task: Any) -> Any:
    if isinstance(task, Mapping) and not isinstance(task, Signature):
        return maybe_signature(task)
    if isinstance(task, str | Signature) or callable(getattr(task, "apply_async", None)):
        # A task object is its name: it is looked up when it is sent.
        return task.name if hasattr(task, "signature") and hasattr(task, "name") else task
    if callable(task):
        return task
    raise ConfigurationError(
        f"{where}: task: expected a task's name, a signature, a workflow or a function that composes one; "
        f"got {task!r:.100}"
    )


def _schedule(where: str, given: Any, relative: bool) -> BaseSchedule:
    if callable(getattr(given, "is_due", None)):
        # Beat gives it its clock; other readers of the entry leave the clock alone.
        return given  # type: ignore[no-any-return]
    try:
        found: BaseSchedule = maybe_schedule(given, relative)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{where}: schedule: {str(exc).removeprefix('schedule: ')}") from exc
    return found


def _of_kind(where: str, key: str, fields: Mapping[str, Any], kind: type[Any], default: Any) -> Any:
    value = fields.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or isinstance(value, str | bytes) or (key == "args" and isinstance(value, Mapping)):
        raise ConfigurationError(f"{where}: {key}: expected {_WORDS[key]}; got {value!r:.100}")
    return value


_WORDS = {"args": "a list", "kwargs": "a mapping", "options": "a mapping"}


def _one_of(where: str, key: str, value: Any, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise ConfigurationError(f"{where}: {key}: expected one of {', '.join(known)}; got {value!r:.100}")
    return value
