"""A signature: a task call as a value, in exactly the dict that goes on the wire.

The composite kinds (chain, group, chord, map, starmap, chunks) are subclasses in their own files.
Sources: semantics.md §1, protocol.md §2.3.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, Generic, NamedTuple, Self, TypeVar

from canvas.caller_warnings import ends_in_caller, leave_out, without_own_frames
from canvas.context import current_app
from canvas.errors import CompositionError, CycleError
from canvas.primitives.cycles import refused
from canvas.primitives.fields import KINDS
from canvas.primitives.links import LinkedSignature
from canvas.primitives.misuse import check_signature, refuse_pipe
from canvas.primitives.ports import SignatureApp, SignatureTask
from canvas.primitives.registry import CLASSES, TASK, signature_from_dict, subtype
from canvas.primitives.stamping import StampingVisitor, stamp_links, stamp_task

R = TypeVar("R")
S = TypeVar("S", bound="Signature[Any]")


class Position(NamedTuple):
    """Where in a workflow a frozen signature stands: the options that ``freeze`` gives it besides its id."""

    group_id: str | None = None
    chord: Any = None
    root_id: str | None = None
    parent_id: str | None = None
    group_index: int | None = None

    def at_the_end(self) -> "Position":
        """The position of the last part of a composite that stands here: its parent is the part before it."""
        return self._replace(parent_id=None)


@subtype(TASK)
@ends_in_caller("__or__", "__invert__", "adelay", "aapply_async")
class Signature(LinkedSignature, Generic[R]):
    """``{"task", "args", "kwargs", "options", "subtask_type", "immutable"}`` with Celery's methods.

    Further keyword arguments are options: ``Signature("add", (2,), countdown=3)``. If the first argument is a dict, it
    is copied and the other arguments are ignored (semantics.md S1). ``subtask_type`` is the kind, such as ``"chain"``;
    ``type`` is the task object that it was made from.
    """

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[type[S]], type[S]]:
        """A decorator of subclasses: a dict with this ``subtask_type`` becomes an instance of the subclass again.

        A subclass of a composite is sent as that composite.

        ``name``: the ``subtask_type``; default: the name of the subclass.
        """

        def register(subclass: type[S]) -> type[S]:
            own = name or subclass.__name__
            base = next((kind for kind, known in CLASSES.items() if kind and known in subclass.__mro__[1:]), None)
            if base is not None:
                KINDS[own] = KINDS.get(base, base)
            return subtype(own)(subclass)

        return register

    @property
    def app(self) -> SignatureApp:
        """The app this signature is sent through: its own, a member's, or the current one."""
        app: SignatureApp = self.given_app() or current_app()
        return app

    def given_app(self) -> Any:
        """Its own app, or the first that a member has."""
        if self.own_app is not None:
            return self.own_app
        try:
            return next((app for member in self.iter_members() if (app := member.given_app()) is not None), None)
        except (RecursionError, CycleError) as exc:
            refused(exc, self)

    @property
    def result_id(self) -> str | None:
        """The id that its result has already, if any."""
        return self["options"].get("task_id")  # type: ignore[no-any-return]

    @property
    def AsyncResult(self) -> Any:
        """The class of its results' handles: that of its task, if registered."""
        task = self.own_type if self.own_type is not None else self.app.tasks.get(self.task)
        return self.app.AsyncResult if task is None else task.AsyncResult

    @property
    def type(self) -> Any:
        """The task object. Raises NotRegistered if the task is not registered."""
        return self.own_type or self.app.tasks[self.task]

    @type.setter
    def type(self, value: Any) -> None:
        self.own_type = value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task in this process, now."""
        merged_args, merged_kwargs, _ = self.merged_with(args, kwargs)
        return self.type(*merged_args, **merged_kwargs)

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """``apply_async(args, kwargs)``."""
        try:
            return self.apply_async(args, kwargs)
        except Exception as exc:
            leave_out(exc)
            raise

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send it: partial ``args`` go before its own, ``kwargs`` and ``options`` over its own.

        Returns the handle of its result. Raises CompositionError, EncodeError, OperationalError.
        """
        try:
            task, app, plain_calls = self._sent_by()
            if task is None:
                sent = plain_calls.send_signature(self, args, kwargs, options) if plain_calls is not None else None
                return app.apply_signature(self, args or (), kwargs or {}, options) if sent is None else sent
            args, kwargs, options = self.merged_with(args or (), kwargs or {}, options)
            return task.apply_async(args, kwargs, **options)
        except Exception as exc:
            leave_out(exc)
            raise

    async def adelay(self, *args: Any, **kwargs: Any) -> Any:
        """``delay``, without blocking the event loop."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """``apply_async``, without blocking the event loop."""
        task, app, plain_calls = self._sent_by()
        if task is None:
            sent = await plain_calls.asend_signature(self, args, kwargs, options) if plain_calls is not None else None
            return await app.aapply_signature(self, args or (), kwargs or {}, options) if sent is None else sent
        args, kwargs, options = self.merged_with(args or (), kwargs or {}, options)
        return await task.aapply_async(args, kwargs, **options)

    def _sent_by(self) -> tuple[SignatureTask | None, Any, Any]:
        """Its task, if that has an ``apply_async`` of its own. Otherwise ``None``, the app that sends it, and for a
        single task the app's plain calls."""
        task: SignatureTask | None = self.own_type
        app = self.app if task is None else None
        if app is not None:
            task = app.tasks.get(self["task"])
        if task is not None and task.sends_itself:
            return task, None, None
        app = app or self.app
        return None, app, None if self.get("subtask_type") else app.plain_calls

    def apply(self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Run it in this process; returns an EagerResult, with the result that a worker would have stored."""
        return self.app.apply_eagerly(self, tuple(args or ()), dict(kwargs or {}), options)

    def __invert__(self) -> Any:
        return self.apply_async().get()

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        """Put stamps (a visitor's, ``headers``) on its tasks. ``append_stamps``: add to stamps of the same name."""
        try:
            self._stamp(self, visitor, append_stamps, headers)
        except (RecursionError, CycleError) as exc:
            refused(exc, self)
        return self

    _stamp: Callable[..., None] = staticmethod(stamp_task)

    def stamp_links(self, visitor: StampingVisitor | None, append_stamps: bool = False, **headers: Any) -> None:
        """``stamp`` its callbacks and errbacks only."""
        stamp_links(self, visitor, append_stamps, headers)

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, Signature):
            refuse_pipe(other)
        return CLASSES["chain"].pipe(self, other)

    def __ror__(self, other: Any) -> Any:
        refuse_pipe(other)

    def __ior__(self, other: Any) -> Any:
        return self.__or__(other)

    def members(self) -> list["Signature[Any]"]:
        """The signatures a composite is made of."""
        return []

    def iter_members(self) -> Iterator["Signature[Any]"]:
        """``members``, one by one: members that an iterator gives are read as they are asked for."""
        return iter(self.members())

    def freeze(
        self, _id: str | None = None, group_id: str | None = None, chord: Any = None, root_id: str | None = None,
        parent_id: str | None = None, group_index: int | None = None,
    ) -> Any:  # fmt: skip
        """Give it an id now, so that its result can be held before it is sent; its members get ids too.

        Returns the handle of its result. Sending a frozen signature twice sends two messages of one id; without
        freezing, every sending has its own ids. Raises CompositionError for an empty chain, and, with the path, if a
        signature contains itself.
        """
        try:
            return self.frozen_at(_id, Position(group_id, chord, root_id, parent_id, group_index))
        except (RecursionError, CycleError) as exc:
            refused(exc, self)

    def frozen_at(self, task_id: str | None, position: Position) -> Any:
        """``freeze`` of one kind of signature."""
        options = self.options
        options.setdefault("task_id", task_id or self.app.new_id())
        options.setdefault("reply_to", self.app.oid)
        if position.group_id:
            options.setdefault("group_id", position.group_id)
        for key in ("root_id", "parent_id", "chord"):
            if value := getattr(position, key):
                options[key] = value
        if position.group_index is not None:
            options["group_index"] = position.group_index
        return self.app.AsyncResult(options["task_id"])

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: SignatureApp | None = None) -> "Signature[Any]":
        """The signature that ``d`` describes, of the class its ``subtask_type`` names.

        Raises CompositionError for a dict that does not describe a signature.
        """
        return signature_from_dict(d, app, cls)  # type: ignore[no-any-return]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = self
        return self.clone()

    def __copy__(self) -> Self:
        return self.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        return signature, (dict(self),)

    def __json__(self) -> dict[str, Any]:
        return dict(self)

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """``name(1, k=2)``: the call as Python would write it."""
        all_args, all_kwargs, _ = self.merged_with(args, kwargs, force=True)
        parts = [repr(a) for a in all_args] + [f"{k}={v!r}" for k, v in all_kwargs.items()]
        return f"{self.task}({', '.join(parts)})"

    @recursive_repr("...")
    def __repr__(self) -> str:
        return self.reprcall()

    def draw(self, form: str = "text") -> str:
        """A picture of its tasks: ``text`` for terminals, ``svg``, ``mermaid``, ``dot``.

        Raises CompositionError for a signature that cannot be compiled, and for an unknown form.
        """
        return _drawers[0](self, form)

    def _repr_svg_(self) -> str | None:
        """The picture of a composite for a notebook; ``None`` for other signatures, whose ``repr`` is enough."""
        try:
            return self.draw("svg") if self.subtask_type in ("chain", "group", "chord") else None
        except CompositionError:
            return None


_drawers: list[Callable[[Signature[Any], str], str]] = []


def set_drawer(drawer: Callable[[Signature[Any], str], str]) -> None:
    """Have ``drawer(signature, form)`` draw all signatures: it needs the compiler, which is in a package above."""
    _drawers[:] = [drawer]


@without_own_frames
def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature[Any]:
    """A signature. ``varies``: a name, a task, a dict (as in a message), or a signature, of which it is a copy."""
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, dict):
        return Signature.from_dict(varies, app=kwargs.get("app"))
    check_signature(varies, kwargs)
    return Signature(varies, *args, **kwargs)
