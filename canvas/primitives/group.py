"""A group: signatures that run side by side (semantics.md §3)."""

from collections.abc import Iterable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, TypeVar

from canvas.errors import CompositionError
from canvas.primitives.cycles import refusing_cycles
from canvas.primitives.lazy_list import LazyList, copied
from canvas.primitives.misuse import advice
from canvas.primitives.ports import SignatureApp
from canvas.primitives.signature import Signature, maybe_signature, subtype
from canvas.primitives.stamping import stamp_group
from canvas.text import shorten_names

R = TypeVar("R")


@subtype("group")
class group(Signature[list[Any]]):
    """``group(a, b)``, ``group([a, b])``, ``group(s for …)``.

    What an iterator gives is read when it is needed: sent by itself, or as the header of a chord, the group leaves in
    slices, the first of them before the rest is read.
    """

    def __init__(self, *tasks: Any, **options: Any) -> None:
        app = options.pop("app", None)
        super().__init__("celery.group", (), {"tasks": members_of(tasks)}, app=app, **options)
        self["subtask_type"] = "group"

    _stamp = staticmethod(stamp_group)

    @property
    def tasks(self) -> list[Signature[Any]]:
        return self.kwargs["tasks"]  # type: ignore[no-any-return]

    @tasks.setter
    def tasks(self, value: Iterable[Any]) -> None:
        self.kwargs["tasks"] = list(value)

    def members(self) -> list[Signature[Any]]:
        return self.tasks

    def __call__(self, *partial_args: Any, **options: Any) -> Any:
        return self.apply_async(partial_args, **options)

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return True

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        add_to_parent: bool = True,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        **options: Any,
    ) -> Any:
        """As of any signature. ``add_to_parent``: a task that sends it counts its result among its children.

        Raises TypeError for callbacks: a group has no one result to call them with.
        """
        _refuse_links(link, link_error)
        return super().apply_async(args, kwargs, **_given(options, add_to_parent, producer))

    async def aapply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        add_to_parent: bool = True,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        **options: Any,
    ) -> Any:
        """``apply_async``, without blocking the event loop."""
        _refuse_links(link, link_error)
        return await super().aapply_async(args, kwargs, **_given(options, add_to_parent, producer))

    @refusing_cycles
    def set_immutable(self, immutable: bool) -> None:
        for task in self.tasks:
            task.set_immutable(immutable)

    def link(self, callback: Any) -> Any:
        """Run an immutable copy of ``callback`` after the first member (semantics.md G7)."""
        if not self.tasks:
            raise CompositionError("an empty group has no member to link a callback to")
        return self.tasks[0].link(maybe_signature(callback).clone().set(immutable=True))

    def link_error(self, errback: Any) -> Any:
        """Run a copy of ``errback`` for each member that fails."""
        source = maybe_signature(errback)
        return tuple(task.link_error(source.clone()) for task in self.tasks)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> "group":
        """Give the members rising countdowns, in seconds; the last one up to ``stop`` repeats."""
        value = start * 1.0
        for task in self.tasks:
            over = bool(stop) and value > stop  # type: ignore[operator]
            task.set(countdown=value - step if over else value)
            value += 0 if over else step
        return self

    def _clone_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**kwargs, "tasks": copied(kwargs["tasks"], _clone)}

    def _adopt(self, kwargs: dict[str, Any], app: SignatureApp | None) -> dict[str, Any]:
        tasks = kwargs.get("tasks")
        if not isinstance(tasks, list | tuple):
            raise CompositionError(f"a group needs a list under kwargs['tasks']; got {type(tasks).__name__}")
        return {**kwargs, "tasks": [maybe_signature(task, app) for task in tasks]}

    @refusing_cycles
    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Give the group and its members ids; nested groups dissolve into this one, in order."""
        options = self.options
        options.setdefault("task_id", _id or self.app.new_id())
        self.tasks = flat_members(self.tasks)
        results = [
            task.freeze(group_id=group_id, chord=chord, root_id=root_id, parent_id=parent_id, group_index=i)
            for i, task in enumerate(self.tasks)
        ]
        return self.app.GroupResult(options["task_id"], results)

    @recursive_repr("...")
    def __repr__(self) -> str:
        if not self.tasks:
            return "group(<empty>)"
        return shorten_names(self.tasks[0].task, f"group({list(self.tasks)!r})")


def _refuse_links(link: Any, link_error: Any) -> None:
    if link is not None:
        raise TypeError("Cannot add link to group: use a chord")
    if link_error is not None:
        raise TypeError("Cannot add link to group: do that on individual tasks")


def _given(options: dict[str, Any], add_to_parent: bool, producer: Any) -> dict[str, Any]:
    if not add_to_parent:
        options["add_to_parent"] = False
    return options if producer is None else {**options, "producer": producer}


def members_of(tasks: tuple[Any, ...]) -> list[Signature[Any]]:
    """The members that ``group``'s arguments stand for."""
    if len(tasks) == 1:
        only = tasks[0]
        if isinstance(only, group):
            return copied(only.tasks, _same)
        if isinstance(only, Signature):
            return [only.clone()]
        if isinstance(only, dict):
            return [maybe_signature(only)]
        if not isinstance(only, Iterable):
            raise CompositionError(f"a group takes signatures; got {only!r:.200}{advice(only)}")
        if isinstance(only, LazyList):
            return only.fork(_same)
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


def _clone(task: Signature[Any]) -> Signature[Any]:
    return task.clone()


def _same(task: Signature[Any]) -> Signature[Any]:
    return task


def flat_members(tasks: Iterable[Signature[Any]]) -> list[Signature[Any]]:
    """Members with nested groups dissolved in place and empty chains left out."""
    flat: list[Signature[Any]] = []
    for task in tasks:
        if isinstance(task, group):
            flat.extend(flat_members(task.tasks))
        elif task.subtask_type != "chain" or task.members():
            flat.append(task)
    return flat
