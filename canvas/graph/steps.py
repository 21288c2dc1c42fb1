"""The graph of a run: its nodes and its edges.

Nodes are :class:`Step` (one task execution), :class:`Fork` (a group starts) and :class:`Join` (a chord waits). Each
knows its neighbours. ``canvas.graph.digraph`` makes a networkx graph of them. Its edges carry ``kind`` and, where order
matters, ``index``:

=========  ===================  ==========================================================
``next``   Step → Step|Fork     the target takes the source's result (or only its turn)
``member`` Fork → Step|Fork     the target starts with the fork, ``index``-th
``part``   Step → Join          the source's result is the join's ``index``-th value
``body``   Join → Step|Fork     the target takes the list of the join's values
=========  ===================  ==========================================================
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from canvas.model.compiled import ResultRef


@dataclass(slots=True, eq=False)
class Step:
    """One execution of a task."""

    id: str
    task: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    immutable: bool
    next: "Unit | None" = None
    part: "tuple[Join, int] | None" = None
    """The join that takes its result, and as which value."""
    member_of: "tuple[Fork, int] | None" = None
    """The group around it that is not a chord's header, and its index there."""
    counts_to: str | None = None
    """The id of a group that it counts to without being a member of it."""
    line: "list[Unit] | None" = None
    """Itself and the units after it, once they are known."""
    empty_header: str | None = None
    """The group id of the chord without header whose body starts here."""

    @property
    def key(self) -> str:
        return self.id


class Member(NamedTuple):
    """A member of a group or of a chord's header."""

    head: "Unit"
    chained: bool
    """Whether it is a chain."""
    options: dict[str, Any]
    """The options of that chain, while a later step sends it."""


@dataclass(slots=True, eq=False)
class Fork:
    """A group starts; ``live`` when it is sent with this plan rather than by a later step."""

    key: str
    id: str
    options: dict[str, Any]
    live: bool
    members: list[Member] = field(default_factory=list)
    join: "Join | None" = None
    """The join that collects its members, if it is the header of a chord."""
    next: "Unit | None" = None
    """The unit that follows the one task of a group at the end of a chord."""
    results: list[ResultRef] | None = None
    """Its members' results, once they are known."""
    line: "list[Unit] | None" = None
    empty_header: str | None = None


@dataclass(slots=True, eq=False)
class Join:
    """A chord: waits for its parts, then starts its body.

    ``extent`` is the number of units, counted from the body edge on, that Celery's form embeds as the body; the units
    after those follow the chord.
    """

    key: str
    id: str
    options: dict[str, Any]
    live: bool
    extent: int
    chained: bool
    """The body is written as a chain, even of one step."""
    body_options: dict[str, Any] = field(default_factory=dict)
    """Options of that chain."""
    size: int = 0
    """The number of parts that it waits for."""
    body: "Unit | None" = None
    """The head of its body."""
    units: "list[Unit] | None" = None
    """The units that Celery's form embeds as its body, once they are known."""


Unit: TypeAlias = Step | Fork
"""A node that other nodes follow: a task, a group or a chord."""
Node: TypeAlias = Step | Fork | Join


class Segment(NamedTuple):
    """A lowered piece: where it starts, which unit the next piece follows, and which steps give its value."""

    head: Unit
    exit: Unit
    tails: list[Step]
    kind: str | None = None
    """The ``subtask_type`` of its signature (a chain of one: its step's)."""
