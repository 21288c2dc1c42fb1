"""A chord: a header of parallel signatures and a body that takes the list of their results (semantics.md §5)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain as chained
from reprlib import recursive_repr
from typing import Any, Self

from canvas.caller_warnings import ends_in_caller, leave_out
from canvas.errors import CompositionError
from canvas.model.call_options import BODY_LACKS, HEADER_LACKS
from canvas.primitives.composite import Composite, clone_of, follow, linkable, same
from canvas.primitives.cycles import refusing_cycles
from canvas.primitives.group import flat_members, group
from canvas.primitives.lazy_list import LazyList, copied
from canvas.primitives.misuse import advice, is_task
from canvas.primitives.ports import SignatureApp
from canvas.primitives.registry import maybe_signature, subtype
from canvas.primitives.signature import Position, Signature
from canvas.primitives.stamping import stamp_chord
from canvas.text import shorten_names


@subtype("chord")
@ends_in_caller("__init__", "__call__")
class chord(Composite[Any]):
    """``chord(header, body)``; ``chord(header)(body)`` sends it at once.

    ``header`` is a list, any iterable (consumed once), a group, a chain (its steps become parallel members), or one
    signature. ``body`` is the signature that takes the list of their results.

    >>> from canvas import Canvas
    >>> app = Canvas("shop", broker="memory://", backend="memory://")
    >>> double, total = app.task(lambda x: 2 * x, name="double"), app.task(sum, name="total")
    >>> chord([double.s(1), double.s(2)], total.s()).apply().get()
    6
    """

    kind = "chord"

    def __init__(
        self, header: Any, body: Any = None, task: str = "celery.chord", args: Iterable[Any] = (),
        kwargs: dict[str, Any] | None = None, app: SignatureApp | None = None, **options: Any,
    ) -> None:  # fmt: skip
        members = header_members(header)
        if not isinstance(header, dict):
            # A composite has copies of the signatures that it is made of.
            members = copied(members, clone_of)
        inside = {"kwargs": dict(kwargs or {}), "header": members, "body": _body(body, app)}
        super().__init__(task, args, inside, app=app, **options)

    _stamp = staticmethod(stamp_chord)

    @property
    def tasks(self) -> Any:
        """The header: a list of signatures, or a group once frozen."""
        return self["kwargs"]["header"]

    @tasks.setter
    def tasks(self, value: Any) -> None:
        self["kwargs"]["header"] = value

    @property
    def body(self) -> Any:
        """The signature that takes the results of the header; ``None`` if it has none yet."""
        return self["kwargs"].get("body")

    @body.setter
    def body(self, value: Any) -> None:
        self["kwargs"]["body"] = value

    @property
    def header(self) -> list[Signature[Any]]:
        """The header's members."""
        tasks: Any = self.tasks
        return tasks.tasks if isinstance(tasks, group) else tasks

    def flat_header(self) -> list[Signature[Any]]:
        """The header's members, with nested groups dissolved and empty chains left out."""
        members = [task if isinstance(task, Signature) else maybe_signature(task) for task in self.header]
        plain = all(member.get("subtask_type") is None for member in members)
        return members if plain else flat_members(members)

    @property
    def result_id(self) -> str | None:
        """Its body's."""
        return None if self.body is None else self.body.result_id

    def as_header_group(self) -> group:
        """The header as a group, which it stays from now on."""
        if not isinstance(self.tasks, group):
            self.tasks = group(self.tasks, app=self.own_app)
        return self.tasks

    def members(self) -> list[Signature[Any]]:
        """The header's members, then the body."""
        return list(self.iter_members())

    def iter_members(self) -> Iterator[Signature[Any]]:
        """``members``, one by one: those that an iterator gives are read as they are asked for."""
        kwargs = self["kwargs"]
        header, body = kwargs["header"], kwargs.get("body")
        return chained(header.tasks if isinstance(header, group) else header, () if body is None else (body,))

    def __call__(self, body: Any = None, **options: Any) -> Any:
        return self.apply_async((), {"body": body} if body is not None else {}, **options)

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, task_id: str | None = None,
        producer: Any = None, publisher: Any = None, connection: Any = None, router: Any = None,
        result_cls: Any = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Send it as any signature. ``task_id`` is the body's, ``kwargs["body"]`` a body in place of its own.

        The options from ``producer`` to ``result_cls`` have no meaning in canvas: it warns of them.
        """
        named = (
            ("task_id", task_id), ("producer", producer), ("publisher", publisher), ("connection", connection),
            ("router", router), ("result_cls", result_cls),
        )  # fmt: skip
        named_options = {name: value for name, value in named if value is not None}
        try:
            return super().apply_async(args, kwargs, **options, **named_options)
        except Exception as exc:
            leave_out(exc)
            raise

    def apply(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, propagate: bool = True,
        body: Any = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Run it in this process as any signature. ``body``: a body in place of its own.

        The failure of a header is never raised, whatever ``propagate`` says: the result is the one that a worker would
        have stored.
        """
        if body is not None:
            kwargs = {**(kwargs or {}), "body": body}
        return super().apply(args, kwargs, **options)

    def __length_hint__(self) -> int:
        return sum(part_count(task) for task in self.header)

    @refusing_cycles
    def set_immutable(self, immutable: bool) -> None:
        """Set ``immutable`` of the header's members; the body keeps its own flag (semantics.md S8)."""
        for task in self.header:
            task.set_immutable(immutable)

    @refusing_cycles
    def link(self, callback: Any) -> Any:
        """Link a callback to the body."""
        self.body_or_raise().link(callback)
        return callback

    @refusing_cycles
    def link_error(self, errback: Any) -> Any:
        """Run ``errback`` when the body or the header fails: once, for the body.

        With ``task_allow_error_cb_on_chord_header`` also for each header member that fails.
        """
        source = maybe_signature(errback)
        on_header = bool(self.app.conf.task_allow_error_cb_on_chord_header)
        for task in self.header:
            if on_header:
                task.link_error(source.clone(immutable=True))
            elif isinstance(task, chord):
                task.link_error(source)
        self.body_or_raise().link_error(source)
        return errback

    def linkable(self) -> Self:
        """A copy whose members can be given callbacks without changing this one's."""
        tasks, body = self.tasks, self.body
        header = tasks.linkable() if isinstance(tasks, group) else copied(tasks, linkable)
        kwargs = {**self["kwargs"], "header": header, "body": None if body is None else body.linkable()}
        return self.with_fields(options=dict(self.options), kwargs=kwargs)

    def body_or_raise(self) -> Signature[Any]:
        """The body. Raises CompositionError without one."""
        body: Signature[Any] | None = self["kwargs"].get("body")
        if body is None:
            raise CompositionError(f"a chord needs a body: chord(header, body); got {self!r:.200}")
        return body

    def cloned_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """``kwargs`` with clones of header and body."""
        header, body = kwargs["header"], kwargs.get("body")
        tasks = header.clone() if isinstance(header, group) else copied(header, clone_of)
        return {**kwargs, "header": tasks, "body": body.clone() if body is not None else None}

    def adopted_kwargs(self, kwargs: dict[str, Any], app: SignatureApp | None) -> dict[str, Any]:
        """``kwargs`` with signatures in the place of dicts."""
        header = kwargs.get("header")
        if isinstance(header, dict):
            header = maybe_signature(header, app)
            if not isinstance(header, group):
                header = header_members(header)
        elif isinstance(header, list | tuple):
            header = [maybe_signature(task, app) for task in header]
        else:
            raise CompositionError(f"a chord needs a header of signatures; got {type(header).__name__}")
        body = maybe_signature(kwargs.get("body"), app)
        return {"kwargs": dict(kwargs.get("kwargs") or {}), "header": header, "body": body}

    def frozen_at(self, task_id: str | None, position: Position) -> Any:
        """The result is the body's, its parent the header's GroupResult."""
        header = self.as_header_group().freeze(parent_id=position.parent_id, root_id=position.root_id)
        self.id = self.tasks.id
        if self.body is None:
            return None
        return follow(self.body.freeze(task_id, **position.at_the_end()._asdict()), header)

    @recursive_repr("...")
    def __repr__(self) -> str:
        if self.body is None:
            return f"<chord without body: {self.tasks!r}>"
        if self.body.subtask_type == "chain" and self.body.members():
            first, *rest = self.body.members()
            tail = "".join(f" | {step!r}" for step in rest)
            return shorten_names(first.task, f"%({first.reprcall(self.tasks)}{tail})")
        return "%" + shorten_names(self.body.task, self.body.reprcall(self.tasks))


def body_of(sig: chord, given: Any) -> Signature[Any]:
    """The body that a call of ``sig`` has: the one it is ``given``, or its own. Raises CompositionError for none."""
    return sig.body_or_raise() if given is None else _body(given, sig.own_app)


def _body(body: Any, app: SignatureApp | None) -> Any:
    if isinstance(body, list | tuple):
        raise CompositionError(f"a chord's body is a signature; got {body!r:.200}; write chord(header, body)")
    if body is not None and not isinstance(body, dict):
        raise CompositionError(f"a chord's body is a signature; got {body!r:.200}{advice(body)}")
    return maybe_signature(body, app)


def header_members(header: Any) -> list[Signature[Any]]:
    """The parallel members that a chord's ``header`` argument stands for (semantics.md H1)."""
    if isinstance(header, dict) and not isinstance(header, Signature):
        header = maybe_signature(header)
    if isinstance(header, Signature):
        if header.subtask_type in ("group", "chain"):
            return copied(header.members(), same)
        return [header]
    if not isinstance(header, Iterable):
        raise CompositionError(f"a chord's header takes signatures; got {header!r:.200}{advice(header)}")
    return group(_with_tasks_called(header)).tasks


def _with_tasks_called(header: Iterable[Any]) -> Iterable[Any]:
    """A header with ``task.s()`` in place of each task, as Celery takes it. An iterator stays unread."""
    if isinstance(header, LazyList):
        return header
    members = (Signature(member) if is_task(member) else member for member in header)
    return members if isinstance(header, Iterator) else list(members)


def header_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a chord that the members of its header take (semantics.md H11)."""
    return {key: value for key, value in options.items() if key not in HEADER_LACKS}


def body_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a chord that its body takes unchanged (semantics.md H11)."""
    return {key: value for key, value in options.items() if key not in BODY_LACKS}


def part_count(sig: Signature[Any]) -> int:
    """How many parts ``sig`` returns to the chord it is a header member of (semantics.md H10)."""
    kind = sig.subtask_type
    if kind == "group":
        return sum(part_count(task) for task in sig.members())
    if kind == "chain":
        return next((n for n in map(part_count, reversed(sig.members())) if n), 0)
    if kind == "chord":
        return part_count(sig.kwargs["body"])
    return 1


def ends_in_group(sig: Any) -> bool:
    """Whether the result of ``sig``, a signature or ``None``, is a group's."""
    while isinstance(sig, chord):
        sig = sig.body
    if isinstance(sig, Signature) and sig.subtask_type == "chain":
        steps = sig.members()
        return bool(steps) and ends_in_group(steps[-1])
    return isinstance(sig, group)


def ends_in_group_of_one(sig: chord) -> bool:
    """Whether a chord's result is that of a group with one member, which is not a group's itself."""
    body: Any = sig
    while isinstance(body, chord):
        body = body.body
    members = flat_members(body.tasks) if isinstance(body, group) else ()
    return len(members) == 1 and not ends_in_group(members[0])
