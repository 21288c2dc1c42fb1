"""The data of a workflow's run: its nodes as workers see them, and a message's place among them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from canvas.text import safe_repr

RUN_HEADER = "canvas_run"
"""The option, and message header, that holds a :class:`NodeRef`."""
STAMP = "canvas_workflow"
"""The stamp ``run:attempt`` on all messages of a run, by which they are revoked."""
RUN_LIMIT = "canvas_run_limit"
"""The stamp, and the key in a node's details, for how many tasks of a run may run at once."""
CANCEL = "canvas.cancel_run"
"""The built-in task that cancels a run whose timeout has passed."""
WAKE = "canvas.wake"
"""The built-in task by whose message a timer of a node is kept until it is due."""
CANCEL_NODES = "canvas.cancel_nodes"
"""The built-in task that cancels nodes of a run whose results are not needed any more."""
BATCH = "canvas.batch"
"""The built-in task that runs a task for several items of a map."""
RESUME_RUN = "canvas.resume_run"
"""The built-in task that resumes the run of a workflow in a node's place."""
RUN_OUTCOME = "canvas.run_outcome"
"""The built-in task that ends as the run of a workflow in its place has ended."""
RUN_WORKFLOW = "canvas.run_workflow"
"""The built-in task in whose place a workflow runs, for each item of a map or each round of a loop."""
WORKFLOWS: set[type[Any]] = set()
"""The classes of workflows that are loaded: a task that returns one has it run in its place."""
SKIPPED = "SKIPPED"
"""The state of a parent that was skipped, among a node's inputs; records do not have it."""
ABSENT = "ABSENT"
"""The state, among a node's inputs, of a parent that had not ended when the node started."""
SLEEPING, AWAITING_SIGNAL = "SLEEPING", "AWAITING_SIGNAL"
"""States of a node that runs no task: it waits for a time, or for a signal. Its record is STARTED."""
AWAITING_TASK = "AWAITING_TASK"
"""The state of a node whose task is not registered on the workers that took its message. Its record is STARTED."""

Kind = Literal[
    "task", "map", "choose", "merge", "start", "end", "sleep", "wait", "otherwise", "loop", "flow", "input", "pages",
]  # fmt: skip
IN_ROUNDS: frozenset[Kind] = frozenset({"loop", "pages"})
"""Kinds of nodes that run two tasks in each of their rounds, or for each of their pages."""
When = Literal["all_success", "all_done", "any_success", "any_done", "none_failed"]
"""The rules that say after which ends of its parents a node starts."""
ANY: frozenset[When] = frozenset({"any_success", "any_done"})
"""The rules by which a node starts with its first fitting input."""
Edge = Literal["data", "order", "condition"]
"""The use of a parent's result by an input: a value, only the order, or the condition to run."""

_INTEGERS = frozenset({int})


class NodeRef(NamedTuple):
    """Which node of which run a message is; of a map's node also which item of how many."""

    run: str
    attempt: int
    node: int
    item: int | None = None
    size: int | None = None

    @property
    def is_timer(self) -> bool:
        """Whether it is the message of a node's timer, and not the node's own; its ``item`` says which timer."""
        return self.size == 0

    def as_list(self) -> list[Any]:
        """Its form in the header of a message."""
        return list(self[:3]) if self.item is None else [part for part in self if part is not None]

    @classmethod
    def of(cls, value: Any) -> "NodeRef | None":
        """The node reference in a header; ``None`` for any other value."""
        if not isinstance(value, list | tuple) or (size := len(value)) not in (3, 5):
            return None
        run, attempt, node = value[:3]
        known = type(run) is str and type(attempt) is type(node) is int and attempt >= 0 <= node
        whole = size == 3 or (_INTEGERS.issuperset(map(type, value[3:])) and min(value[3:]) >= 0)
        return cls(*value) if known and whole else None


class InputBinding(NamedTuple):
    """Where in a node's signature an input goes: ``path`` in its wire form, ``pick`` inside the input's value."""

    path: tuple[Any, ...]
    slot: int
    pick: tuple[Any, ...] = ()


class OutgoingEdge(NamedTuple):
    """An edge to a node's successor, into its ``slot``; ``arm`` is the branch's arm it belongs to."""

    node: int
    slot: int
    arm: int | None = None


class KnownInput(NamedTuple):
    """An input that is known when the run starts."""

    slot: int
    state: str
    value: Any


@dataclass(slots=True)
class RunNode:
    """One node of a run. Slots are its inputs, in order; a node starts when each has been filled."""

    name: str
    kind: Kind
    slots: list[Edge] = field(default_factory=list)
    sig: dict[str, Any] | None = None
    """The signature in wire form; it has ``None`` where ``binds`` puts inputs."""
    binds: Sequence[InputBinding] = ()
    outs: list[OutgoingEdge] = field(default_factory=list)
    continue_on_failure: bool = False
    """Its failure does not fail the run: the nodes after it take ``default``."""
    default: Any = None
    choices: Sequence[Any] = ()
    """A branch's values, by arm; an arm beyond them is for every other value."""
    given: Sequence[KnownInput] = ()
    compensate: dict[str, Any] | None = None
    hidden: bool = False
    """Part of how the run works: it has no record."""
    depth: int = 1
    """The nesting depth of the lists of a map's items."""
    when: When = "all_success"
    limit: float | None = None
    """Seconds after its start at which it fails with NodeTimeout."""
    cancels: Sequence[int] = ()
    """The nodes whose results are not needed any more when it has succeeded."""
    always: bool = False
    """It runs at the end of every attempt, whatever has happened: it is not cancelled with the run."""
    details: dict[str, Any] = field(default_factory=dict)
    """Further data of nodes of its kind."""

    @property
    def ends_once(self) -> bool:
        """Whether something else than its own end may end it, so that the first of them has to be found."""
        details = self.details
        return self.limit is not None or (
            self.kind == "map" and (details.get("stop_after") is not None or "feeder" in details)
        )

    @property
    def has_compensation(self) -> bool:
        """Whether it may have to be undone: it has a compensation, or a node of the workflow in its place has."""
        inside = self.details.get("nodes", ())
        return self.compensate is not None or any(RunNode.from_list(one).has_compensation for one in inside)

    @property
    def is_fed(self) -> bool:
        """Whether it is a map that gets its items one by one from another map, which runs in the same attempt."""
        return "feeder" in self.details and all(one.slot for one in self.given)

    @property
    def open_slots(self) -> int:
        """How many inputs it still waits for."""
        return len(self.slots) - len(self.given)

    def as_list(self) -> list[Any]:
        """Its form in the store. Trailing fields that have their defaults are left out."""
        fields = [
            self.name, self.kind, self.slots, self.sig, self.binds, self.outs, self.continue_on_failure, self.default,
            self.choices, self.given, self.compensate, self.hidden, self.depth, self.when, self.limit, self.cancels,
            self.always, self.details,
        ]  # fmt: skip
        for last in _FIELDS:
            if fields[last] not in _DEFAULTS[last]:
                return fields[: last + 1]
        return fields[:2]

    @classmethod
    def from_list(cls, kept: Sequence[Any]) -> "RunNode":
        """The node that ``as_list`` wrote."""
        node = cls(*kept)
        node.binds = node.binds and [InputBinding(tuple(path), slot, tuple(pick)) for path, slot, pick in node.binds]
        node.outs = node.outs and [OutgoingEdge(*out) for out in node.outs]
        node.given = node.given and [KnownInput(*one) for one in node.given]
        return node


_EMPTY: list[Any] = [[], ()]
_DEFAULTS: list[list[Any]] = [
    [], [], _EMPTY, [None], _EMPTY, _EMPTY, [False], [None], _EMPTY, _EMPTY, [None], [False], [1], ["all_success"],
    [None], _EMPTY, [False], [{}],
]  # fmt: skip
"""The values that are left out of the stored form, for each field of a node in order."""
_FIELDS = range(len(_DEFAULTS) - 1, 1, -1)
"""The indexes of the fields that may be left out, the last one first."""


def last_nodes(nodes: Sequence[RunNode]) -> list[int]:
    """The numbers of the nodes whose values a run has: those that the end waits for, except those that always run."""
    end = len(nodes) - 1
    return [
        number
        for number, node in enumerate(nodes)
        if not (node.hidden or node.always or "feeds" in node.details) and any(out.node == end for out in node.outs)
    ]


def starts(when: When, state: str) -> bool:
    """Whether a node of this rule starts as soon as it has an input in this state."""
    return when == "any_done" or (when == "any_success" and state == "SUCCESS")


def task_id_of(place: NodeRef) -> str:
    """The id of a node's task, or of a map's item; known from the run's id without asking anybody."""
    run, attempt, node, item, _ = place
    return f"{run}.{attempt}.{node}" if item is None else f"{run}.{attempt}.{node}.{item}"


def items_id(place: NodeRef) -> str:
    """The id of the record of a map's items, which is kept if there are many of them or they are nested."""
    return f"{task_id_of(place)}.items"


PAGE = 256
"""Items of a map that starts few at a time that are kept together."""


def page_id(place: NodeRef, page: int) -> str:
    """The id of the record of one page of a map's items."""
    return f"{items_id(place)}.{page}"


def outline_id(place: NodeRef) -> str:
    """The id of the record that keeps the number of a map's items, and their digest."""
    return f"{task_id_of(place)}.outline"


def child_run_of(task_id: str) -> str:
    """The id of the run of a workflow that stands in a task's place."""
    return f"{task_id}.w"


NameOf = Callable[[int], str]
"""Gives the name of the node that fills an input; called only for error messages."""


def extract(value: Any, pick: Sequence[Any], slot: int = 0, name_of: NameOf | None = None) -> Any:
    """A part of a node's result. Raises LookupError or TypeError if it does not exist."""
    part = value
    for at, key in enumerate(pick):
        try:
            part = part[key]
        except (LookupError, TypeError) as exc:
            name = name_of(slot) if name_of is not None else "result"
            raise _no_part(exc, name, part, pick[:at], key) from None
    return part


def _no_part(exc: Exception, name: str, value: Any, path: Sequence[Any], key: Any) -> Exception:
    place = f"{name}{''.join(f'[{step!r}]' for step in path)}"
    whole = f"the result of node {name!r}" if not path else place
    match value:
        case dict():
            has = f"it has {', '.join(map(repr, list(value)[:10])) or 'no keys'}"
        case list() | tuple():
            has = f"it is a list of {len(value)}"
        case _:
            has = f"it is {type(value).__name__} {safe_repr(value):.60}"
    kind: type[Exception] = next(one for one in (KeyError, IndexError, LookupError, TypeError) if isinstance(exc, one))
    return kind(f"{place}[{key!r}]: {whole} has no {key!r}; {has}")


def bound_values(binds: Sequence[InputBinding], inputs: Sequence[Any], name_of: NameOf | None = None) -> list[Any]:
    """The values for a node's signature. Raises LookupError or TypeError for a part that does not exist."""
    return [extract(inputs[bind.slot], bind.pick, bind.slot, name_of) for bind in binds]


def bind_inputs(
    sig: dict[str, Any], binds: Sequence[InputBinding], inputs: Sequence[Any], name_of: NameOf | None = None
) -> dict[str, Any]:
    """A copy of ``sig`` with the inputs in their places. Raises LookupError or TypeError for a part not there."""
    whole: dict[str, Any] = dict(sig)
    for path, slot, pick in binds:
        value = extract(inputs[slot], pick, slot, name_of)
        container: Any = whole
        for step in path[:-1]:
            inner = container[step]
            inner = dict(inner) if isinstance(inner, dict) else list(inner)
            container[step] = inner
            container = inner
        container[path[-1]] = value
    return whole


def stamp_of(run: str, attempt: int) -> str:
    """The stamp that all messages of one attempt carry."""
    return f"{run}:{attempt}"


def stamp_options(run: str, attempt: int) -> dict[str, Any]:
    """The options of a task that has the stamp of this attempt of the run."""
    return {"stamped_headers": [STAMP], STAMP: stamp_of(run, attempt)}
