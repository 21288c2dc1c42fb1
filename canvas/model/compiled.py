"""A compiled workflow: the messages to send now, the chords they start, the results to come."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from canvas.text import short_repr


@dataclass(slots=True)
class TaskCall:
    """One message to be sent: a call with its final options.

    ``options`` are ``apply_async``'s, with every id in place; ``link``, ``link_error``, ``chain`` (reversed: the
    next step last) and ``chord`` hold wire-form signatures.
    """

    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]

    def __str__(self) -> str:
        """The call, its id, and the tasks that follow it."""
        options = self.options
        shown = [*map(short_repr, self.args), *(f"{key}={short_repr(value)}" for key, value in self.kwargs.items())]
        text = f"{self.task}({', '.join(shown)}) [{options.get('task_id')}]"
        for name in ("chain", "link", "link_error"):
            found = options.get(name) or ()
            if found:
                tasks = [_task_of(one) for one in (found if isinstance(found, list | tuple) else [found])]
                text += f" {_WORDS[name]} {', '.join(reversed(tasks) if name == 'chain' else tasks)}"
        return f"{text} then chord body {_task_of(options['chord'])}" if options.get("chord") else text


_WORDS = {"chain": "then", "link": "on success", "link_error": "on failure"}


def _task_of(sig: Any) -> str:
    return str(sig.get("task") if isinstance(sig, Mapping) else sig)


@dataclass(slots=True)
class ResultRef:
    """A result to come: a task's, or a group's with its members'."""

    id: str
    parent: "ResultRef | None" = None
    members: "list[ResultRef] | None" = None
    task: str | None = None
    ignored: bool | None = None
    """Whether the call's result is not kept; ``None``: its task decides."""

    def as_tuple(self) -> tuple[Any, ...]:
        """Celery's tuple form (semantics.md R1)."""
        before: Any = None
        for node in (self,) if self.parent is None else self.line():
            members = None if node.members is None else [m.as_tuple() for m in node.members]
            before = ((node.id, before), members)
        return before  # type: ignore[no-any-return]

    def line(self) -> "list[ResultRef]":
        """The first ancestor, and so on down to this one."""
        line: list[ResultRef] = []
        node: ResultRef | None = self
        while node is not None:
            line.append(node)
            node = node.parent
        line.reverse()
        return line


@dataclass(slots=True)
class ChordSize:
    """A chord that starts with this plan."""

    group_id: str
    size: int
    members: list[ResultRef] = field(default_factory=list)
    """The results of the header."""
    body: dict[str, Any] = field(default_factory=dict)
    """The body's signature, as the members carry it."""

    nested: bool = False
    """Whether the header has groups inside: its structure is kept then (semantics.md H6)."""

    def header(self) -> tuple[Any, ...]:
        """The header's GroupResult as a tuple."""
        return ResultRef(self.group_id, None, self.members).as_tuple()


@dataclass(slots=True)
class Plan:
    """A compiled run: nothing in it refers back to the signature it came from."""

    calls: list[TaskCall] = field(default_factory=list)
    chords: list[ChordSize] = field(default_factory=list)
    result: ResultRef | None = None
    trail: ResultRef | None = None
    """The task or group that starts the run: a task that sends the plan counts it among its children."""
    around: ChordSize | None = None
    """For a slice of a chord: the chord, without its size."""
    etas: list[datetime] | None = None
    """For a slice of a composite: the etas of the earlier slices, to which those of this slice are added."""
    has_own: bool = False
    """Whether a task that it calls has an ``apply_async`` of its own."""

    def __str__(self) -> str:
        """A line for each message that is sent at once, with the tasks after it, and for each chord."""
        lines = [f"{len(self.calls)} messages are sent at once"]
        lines += [f"  {call}" for call in self.calls]
        lines += [f"  chord {chord.group_id} waits for {chord.size} results" for chord in self.chords]
        if self.result is not None:
            lines.append(f"  result: {self.result.id}")
        return "\n".join(lines)


gathering: ContextVar[list[Plan] | None] = ContextVar("canvas_gathering", default=None)
"""While a worker makes a settlement: the plans of what a program's own ``apply_async`` sends, which belong to it."""
