"""A group: signatures that run side by side (semantics.md §3)."""

from collections.abc import Iterable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, Self, TypeVar

from canvas.caller_warnings import ends_in_caller
from canvas.errors import CompositionError
from canvas.primitives.composite import TaskList, linkable, same
from canvas.primitives.cycles import refusing_cycles
from canvas.primitives.lazy_list import LazyList, copied
from canvas.primitives.misuse import advice
from canvas.primitives.registry import maybe_signature, subtype
from canvas.primitives.signature import Position, Signature
from canvas.primitives.stamping import stamp_group
from canvas.text import shorten_names

R = TypeVar("R")


@subtype("group")
@ends_in_caller("__init__", "__call__", "apply_async", "aapply_async")
class group(TaskList[list[Any]]):
    """``group(a, b)``, ``group([a, b])``, ``group(s for …)``: tasks that may run at the same time.

    Called, it is sent: ``group(a, b)()``. Its result is a GroupResult.

    >>> from canvas import Canvas
    >>> app = Canvas("shop", broker="memory://", backend="memory://")
    >>> double = app.task(lambda x: 2 * x, name="double")
    >>> group(double.s(n) for n in (1, 2)).apply().get()
    [2, 4]

    The items of an iterator are read when they are needed. When the group is sent, alone or as the header of a chord,
    it is sent in slices, the first of them before the rest is read. If the iterator raises, the slices before are sent:
    a note of the exception has the number of their tasks, and the body of a chord ends in FAILURE.
    """

    kind = "group"

    def __init__(self, *tasks: Any, **options: Any) -> None:
        super().__init__(members_of(tasks), **options)

    _stamp = staticmethod(stamp_group)

    def __call__(self, *partial_args: Any, **options: Any) -> Any:
        return self.apply_async(partial_args, **options)

    def __len__(self) -> int:
        return len(self.tasks)

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, add_to_parent: bool = True,
        producer: Any = None, link: Any = None, link_error: Any = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Send it as any signature. ``add_to_parent``: a task that sends it counts its result among its children.

        Raises TypeError for callbacks: a group has no one result to call them with.
        """
        return super().apply_async(args, kwargs, **_call_options(add_to_parent, producer, link, link_error, **options))

    async def aapply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, *more: Any, **options: Any
    ) -> Any:
        """``apply_async``, without blocking the event loop."""
        return await super().aapply_async(args, kwargs, **_call_options(*more, **options))

    @refusing_cycles
    def set_immutable(self, immutable: bool) -> None:
        """Let each member ignore the result of the task before the group, or take that."""
        for task in self.tasks:
            task.set_immutable(immutable)

    @refusing_cycles
    def link(self, sig: Any) -> Any:
        """Run an immutable copy of ``sig`` after the first member (semantics.md G7)."""
        if not self.tasks:
            raise CompositionError("an empty group has no member to link a callback to")
        return self.tasks[0].link(maybe_signature(sig).clone().set(immutable=True))

    @refusing_cycles
    def link_error(self, sig: Any) -> Any:
        """Run a copy of ``sig`` for each member that fails."""
        source = maybe_signature(sig)
        return tuple(task.link_error(source.clone()) for task in self.tasks)

    def linkable(self) -> Self:
        """A copy whose members can be given callbacks without changing this one's."""
        kwargs = {**self["kwargs"], "tasks": copied(self.tasks, linkable)}
        return self.with_fields(options=dict(self.options), kwargs=kwargs)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> "group":
        """Give the members rising countdowns: ``start`` seconds, then ``step`` more for each; the last one up to
        ``stop`` repeats."""
        value = start * 1.0
        for task in self.tasks:
            over = bool(stop) and value > stop  # type: ignore[operator]
            task.set(countdown=value - step if over else value)
            value += 0 if over else step
        return self

    def frozen_at(self, task_id: str | None, position: Position) -> Any:
        """Nested groups dissolve into this one, in order."""
        options = self.options
        options.setdefault("task_id", task_id or self.app.new_id())
        self.tasks = flat_members(self.tasks)
        places = (position._replace(group_index=index) for index in range(len(self.tasks)))
        results = [task.freeze(**place._asdict()) for task, place in zip(self.tasks, places, strict=True)]
        return self.app.GroupResult(options["task_id"], results)

    @recursive_repr("...")
    def __repr__(self) -> str:
        if not self.tasks:
            return "group(<empty>)"
        return shorten_names(self.tasks[0].task, f"group({list(self.tasks)!r})")


def _call_options(
    add_to_parent: bool = True, producer: Any = None, link: Any = None, link_error: Any = None, **options: Any
) -> dict[str, Any]:
    """The options of a group's call. Raises TypeError for callbacks."""
    if link is not None:
        raise TypeError("Cannot add link to group: use a chord")
    if link_error is not None:
        raise TypeError("Cannot add link to group: do that on individual tasks")
    if not add_to_parent:
        options["add_to_parent"] = False
    return options if producer is None else {**options, "producer": producer}


def members_of(tasks: tuple[Any, ...]) -> list[Signature[Any]]:
    """The members that ``group``'s arguments stand for."""
    if len(tasks) == 1:
        only = tasks[0]
        if isinstance(only, group):
            return copied(only.tasks, same)
        if isinstance(only, Signature):
            return [only.clone()]
        if isinstance(only, dict):
            return [maybe_signature(only)]
        if isinstance(only, str) or not isinstance(only, Iterable):
            raise CompositionError(f"a group takes signatures; got {only!r:.200}{advice(only)}")
        if isinstance(only, LazyList):
            return only.fork(same)
        if isinstance(only, Iterator):
            return LazyList(enumerate(only), _numbered_member)
        tasks = tuple(only)
    return [_member(position, task) for position, task in enumerate(tasks)]


def _member(position: int, task: Any) -> Signature[Any]:
    if not isinstance(task, dict):
        raise CompositionError(f"a group takes signatures; member {position} is {task!r:.200}{advice(task)}")
    return maybe_signature(task)  # type: ignore[no-any-return]


def _numbered_member(numbered: tuple[int, Any]) -> Signature[Any]:
    return _member(*numbered)


def flat_members(tasks: Iterable[Signature[Any]]) -> list[Signature[Any]]:
    """Members with nested groups dissolved in place and empty chains left out."""
    flat: list[Signature[Any]] = []
    for task in tasks:
        if isinstance(task, group):
            flat.extend(flat_members(task.tasks))
        elif task.get("subtask_type") != "chain" or task.members():
            flat.append(task)
    return flat


def unrolled(sig: Signature[Any]) -> Signature[Any]:
    """The member of a one-member group; any other signature unchanged."""
    return sig.tasks[0] if isinstance(sig, group) and _has_one(sig.tasks) else sig


def _has_one(tasks: list[Signature[Any]]) -> bool:
    """Whether there is exactly one task; reads no more than two of a lazy list."""
    return tasks.at_least(1) and not tasks.at_least(2) if isinstance(tasks, LazyList) else len(tasks) == 1


def is_empty_group(sig: Any) -> bool:
    return isinstance(sig, group) and not sig.tasks
