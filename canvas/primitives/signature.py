"""A signature: a task call as a value, in exactly the dict that goes on the wire.

The composite kinds (chain, group, chord, map, starmap, chunks) are subclasses in their own files; they enrol
here under their ``subtask_type``, so that a dict read from the wire becomes the right class again.
Sources: semantics.md §1, protocol.md §2.3.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from reprlib import recursive_repr
from typing import Any, Generic, Self, TypeVar

from canvas.context import current_app
from canvas.errors import CompositionError, CycleError
from canvas.primitives.cycles import refuse_cycles, refused
from canvas.primitives.misuse import advice, refuse_pipe
from canvas.primitives.ports import SignatureApp
from canvas.primitives.stamping import StampingVisitor, stamp_links, stamp_task

R = TypeVar("R")
S = TypeVar("S", bound="Signature[Any]")

SUBTYPES: dict[str, type["Signature[Any]"]] = {}
IMMUTABLE_OPTIONS = frozenset({"group_id", "stamped_headers"})


def subtype(name: str) -> Callable[[type[S]], type[S]]:
    """Enrol a composite class under its ``subtask_type``."""

    def enrol(cls: type[S]) -> type[S]:
        SUBTYPES[name] = cls
        return cls

    return enrol


class Signature(dict[str, Any], Generic[R]):
    """``{"task", "args", "kwargs", "options", "subtask_type", "immutable"}`` with Celery's methods.

    Further keyword arguments are options: ``Signature("add", (2,), countdown=3)``. A dict as first argument is
    copied and everything else ignored (semantics.md S1).
    """

    own_app: SignatureApp | None = None
    own_type: Any = None
    """The task that it was made of, where it was made of one."""
    _plain = False
    """Written without a ``subtask_type``, whatever its class."""
    route_name: str | None = None
    """The task whose route it takes, where that is not its own."""

    def __init__(
        self, task: Any = None, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None, type: Any = None, subtask_type: str | None = None,
        immutable: bool = False, app: SignatureApp | None = None, **ex: Any,
    ) -> None:  # fmt: skip
        self.own_app = app
        if isinstance(task, dict):
            super().__init__(task)
            return
        self.own_type = type
        super().__init__(
            task=task if isinstance(task, str) else getattr(task, "name", task),
            args=tuple(args or ()),
            kwargs=dict(kwargs or {}),
            options={**(options or {}), **ex},
            subtask_type=subtask_type,
            immutable=immutable,
        )

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[type[S]], type[S]]:
        """A decorator of subclasses: a dict with this ``subtask_type`` becomes an instance of the subclass again.

        ``name``: the ``subtask_type``; default: the name of the subclass.
        """

        def register(subclass: type[S]) -> type[S]:
            return subtype(name or subclass.__name__)(subclass)

        return register

    # -- fields

    @property
    def task(self) -> str:
        return self["task"]  # type: ignore[no-any-return]

    @task.setter
    def task(self, value: str) -> None:
        self["task"] = value

    name = task

    @property
    def args(self) -> tuple[Any, ...]:
        return self["args"]  # type: ignore[no-any-return]

    @args.setter
    def args(self, value: Iterable[Any]) -> None:
        self["args"] = tuple(value)

    @property
    def kwargs(self) -> dict[str, Any]:
        return self["kwargs"]  # type: ignore[no-any-return]

    @kwargs.setter
    def kwargs(self, value: dict[str, Any]) -> None:
        self["kwargs"] = value

    @property
    def options(self) -> dict[str, Any]:
        return self["options"]  # type: ignore[no-any-return]

    @options.setter
    def options(self, value: dict[str, Any]) -> None:
        self["options"] = value

    @property
    def subtask_type(self) -> str | None:
        return self.get("subtask_type")

    @subtask_type.setter
    def subtask_type(self, value: str | None) -> None:
        self["subtask_type"] = value

    @property
    def immutable(self) -> bool:
        return bool(self.get("immutable"))

    @immutable.setter
    def immutable(self, value: bool) -> None:
        self["immutable"] = value

    @property
    def id(self) -> str | None:
        return self.options.get("task_id")

    @id.setter
    def id(self, value: str | None) -> None:
        self.options["task_id"] = value

    @property
    def parent_id(self) -> str | None:
        return self.options.get("parent_id")

    @parent_id.setter
    def parent_id(self, value: str | None) -> None:
        self.options["parent_id"] = value

    @property
    def root_id(self) -> str | None:
        return self.options.get("root_id")

    @root_id.setter
    def root_id(self, value: str | None) -> None:
        self.options["root_id"] = value

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
            return next((app for member in self.members() if (app := member.given_app()) is not None), None)
        except (RecursionError, CycleError) as exc:
            refused(exc, self)

    @property
    def _app(self) -> SignatureApp | None:
        """``own_app`` by Celery's name."""
        return self.own_app

    @_app.setter
    def _app(self, value: SignatureApp | None) -> None:
        self.own_app = value

    @property
    def _type(self) -> Any:
        """``own_type`` by Celery's name."""
        return self.own_type

    @_type.setter
    def _type(self, value: Any) -> None:
        self.own_type = value

    @property
    def AsyncResult(self) -> Any:
        """The class of its results' handles: its task's, where that is registered."""
        task = self.own_type if self.own_type is not None else self.app.tasks.get(self.task)
        return self.app.AsyncResult if task is None else task.AsyncResult

    @property
    def type(self) -> Any:
        """The task object, where it is registered."""
        return self.own_type or self.app.tasks[self.task]

    @type.setter
    def type(self, value: Any) -> None:
        self.own_type = value

    # -- sending

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here and now, in this process."""
        merged_args, merged_kwargs, _ = self.merged_with(args, kwargs)
        return self.type(*merged_args, **merged_kwargs)

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """``apply_async(args, kwargs)``."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """Send it: partial ``args`` go before its own, ``kwargs`` and ``options`` over its own.

        Returns the handle of its result. Raises CompositionError, EncodeError, OperationalError.
        """
        task = self._sent_by()
        if task is None:
            return self.app.apply_signature(self, args or (), kwargs or {}, options)
        args, kwargs, options = self.merged_with(args or (), kwargs or {}, options)
        return task.apply_async(args, kwargs, **options)

    async def adelay(self, *args: Any, **kwargs: Any) -> Any:
        """``delay``, without blocking the event loop."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        """``apply_async``, without blocking the event loop."""
        task = self._sent_by()
        if task is None:
            return await self.app.aapply_signature(self, args or (), kwargs or {}, options)
        args, kwargs, options = self.merged_with(args or (), kwargs or {}, options)
        return await task.aapply_async(args, kwargs, **options)

    def _sent_by(self) -> Any:
        """Its task, where that has an ``apply_async`` of its own."""
        task = self.own_type if self.own_type is not None else self.app.tasks.get(self.task)
        return task if task is not None and task.sends_itself else None

    def apply(self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Run it here and now; returns an EagerResult with what a worker would have stored."""
        return self.app.apply_eagerly(self, tuple(args or ()), dict(kwargs or {}), options)

    def __invert__(self) -> Any:
        return self.apply_async().get()

    # -- editing

    def merged_with(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None, force: bool = False,
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:  # fmt: skip
        """Args, kwargs and options with partial ones merged in (semantics.md S2–S4)."""
        merged = self.options
        if options:
            fixed = IMMUTABLE_OPTIONS.union(merged.get("stamped_headers") or ())
            merged = {**merged, **{k: v for k, v in options.items() if k not in fixed or k not in merged}}
        if self.immutable and not force:
            return self.args, self.kwargs, merged
        return (
            (*args, *self.args) if args else tuple(self.args),
            {**self.kwargs, **kwargs} if kwargs else self.kwargs,
            merged,
        )

    _merge = merged_with
    """``merged_with`` by Celery's name."""

    def clone(self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """A copy with partial arguments and options merged in; nothing is shared with the original.

        Raises CompositionError, with the path, where a signature contains itself.
        """
        new_args, new_kwargs, new_options = self.merged_with(args, kwargs, options)
        try:
            return self.with_fields(args=new_args, kwargs=self._clone_kwargs(new_kwargs), options=deepcopy(new_options))
        except (RecursionError, CycleError) as exc:
            refused(exc, self)

    partial = clone

    def with_fields(self, **fields: Any) -> Self:
        """A shallow copy with fields exchanged; it shares everything else with the original."""
        copy = dict.__new__(self.__class__)
        dict.update(copy, self, **fields)
        copy.__dict__.update(self.__dict__)
        return copy

    def _clone_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return dict(kwargs)

    def replace(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:  # fmt: skip
        """A copy with whole fields exchanged, not merged."""
        copy = self.clone()
        if args is not None:
            copy.args = args
        if kwargs is not None:
            copy.kwargs = dict(kwargs)
        if options is not None:
            copy.options = dict(options)
        return copy

    def set(self, immutable: bool | None = None, **options: Any) -> Self:
        """Change options in place, and ``immutable`` as each kind understands it; returns itself."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        self.immutable = immutable

    def link(self, callback: Any) -> Any:
        """Run ``callback`` with the result when it succeeds; returns the callback.

        Raises CompositionError for what is no signature.
        """
        return self._append("link", _linkable(self, "link", callback))

    def link_error(self, errback: Any) -> Any:
        """Run ``errback`` when it fails; returns the errback. Raises CompositionError for what is no signature."""
        return self._append("link_error", _linkable(self, "link_error", errback))

    def on_error(self, errback: Any) -> Self:
        """``link_error`` that returns the signature itself."""
        self.link_error(errback)
        return self

    def _append(self, key: str, value: Any) -> Any:
        items = as_list(self.options.get(key))
        if not has_signature(items, value):
            items.append(value)
        self.options[key] = items
        return value

    append_to_list_option = _append
    """Add a value to a list among the options, unless it is in it; returns the value."""

    def extend_list_option(self, key: str, value: Any) -> None:
        """Add values to a list among the options."""
        self.options[key] = [*as_list(self.options.get(key)), *as_list(value)]

    def flatten_links(self) -> list["Signature[Any]"]:
        """Itself and every callback below it, depth first."""
        refuse_cycles(self)
        found: list[Signature[Any]] = [self]
        for callback in as_list(self.options.get("link")):
            found.extend(signature(callback, app=self.own_app).flatten_links())
        return found

    # -- stamping

    def stamp(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> Self:
        """Put stamps (a visitor's, ``headers``) on every task of it, in place; returns itself."""
        try:
            self._stamp(self, visitor, append_stamps, headers)
        except (RecursionError, CycleError) as exc:
            refused(exc, self)
        return self

    _stamp: Callable[..., None] = staticmethod(stamp_task)

    def stamp_links(self, visitor: StampingVisitor | None, append_stamps: bool = False, **headers: Any) -> None:
        """Stamp its callbacks and errbacks only."""
        stamp_links(self, visitor, append_stamps, headers)

    def adopt_links(self, option: str) -> list["Signature[Any]"]:
        """The signatures under ``link`` or ``link_error``, as signatures rather than as read from a message."""
        if not self.options.get(option):
            return []
        found: list[Signature[Any]] = [maybe_signature(sig, self.own_app) for sig in as_list(self.options[option])]
        self.options[option] = found
        return found

    # -- composing

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, Signature):
            refuse_pipe(other)
        return SUBTYPES["chain"].pipe(self, other)  # type: ignore[attr-defined]

    def __ror__(self, other: Any) -> Any:
        refuse_pipe(other)

    def __ior__(self, other: Any) -> Any:
        return self.__or__(other)

    def members(self) -> list["Signature[Any]"]:
        """The signatures a composite is made of."""
        return []

    # -- freezing

    def freeze(
        self, _id: str | None = None, group_id: str | None = None, chord: Any = None, root_id: str | None = None,
        parent_id: str | None = None, group_index: int | None = None,
    ) -> Any:  # fmt: skip
        """Give it an id now, so that its result can be held before it is sent.

        Returns the handle of its result. Sending a frozen signature twice sends two messages of one id; without
        freezing, every sending has its own ids.
        """
        options = self.options
        options.setdefault("task_id", _id or self.app.new_id())
        options.setdefault("reply_to", self.app.oid)
        if group_id:
            options.setdefault("group_id", group_id)
        for key, value in (("root_id", root_id), ("parent_id", parent_id), ("chord", chord)):
            if value:
                options[key] = value
        if group_index is not None:
            options["group_index"] = group_index
        return self.app.AsyncResult(options["task_id"])

    # -- forms

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: SignatureApp | None = None) -> "Signature[Any]":
        """The signature that ``d`` describes, of the class its ``subtask_type`` names.

        Raises CompositionError for a dict that is no signature.
        """
        kind = d.get("subtask_type")
        target = cls if not kind else SUBTYPES.get(kind) if isinstance(kind, str) else None
        if target is None:
            raise CompositionError(f"unknown subtask_type {kind!r}: expected one of {', '.join(sorted(SUBTYPES))}")
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
            kwargs = built._adopt(dict(d.get("kwargs") or {}), app)
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
            subtask_type=None if target._plain else kind,
            immutable=bool(d.get("immutable")),
        )
        return built

    def _adopt(self, kwargs: dict[str, Any], app: SignatureApp | None) -> dict[str, Any]:
        """Turn the members of a composite's kwargs into signatures."""
        return kwargs

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
        """A picture of what it runs: ``text`` for terminals, ``svg``, ``mermaid``, ``dot``.

        Raises CompositionError for a signature that cannot be compiled, and for an unknown form.
        """
        return _drawers[0](self, form)

    def _repr_svg_(self) -> str | None:
        """A composition's picture for a notebook; ``None`` where its ``repr`` says all."""
        if self.subtask_type not in ("chain", "group", "chord"):
            return None
        try:
            return self.draw("svg")
        except CompositionError:
            return None


_drawers: list[Callable[[Signature[Any], str], str]] = []


def set_drawer(drawer: Callable[[Signature[Any], str], str]) -> None:
    """Have ``drawer(signature, form)`` draw all signatures: it needs the compiler, which is in a package above."""
    _drawers[:] = [drawer]


_FIELDS: Any = (("args", Iterable, "a list"), ("kwargs", Mapping, "a mapping"), ("options", Mapping, "a mapping"))


def _linkable(sig: Signature[Any], option: str, value: Any) -> Any:
    if not isinstance(value, dict):
        raise CompositionError(f"{sig.task}: {option} takes signatures; got {value!r:.100}{advice(value)}")
    return value


def as_list(value: Any) -> list[Any]:
    """``None`` → ``[]``; a list or tuple → a new list of its items; anything else → ``[value]``."""
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    return [value]


def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature[Any]:
    """A signature from a name, a task, a dict (as read from a message), or a signature (cloned)."""
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, dict):
        return Signature.from_dict(varies, app=kwargs.get("app"))
    return Signature(varies, *args, **kwargs)


def maybe_signature(d: Any, app: SignatureApp | None = None) -> Any:
    """``d`` itself where it is a signature, a signature of it where it is a dict, ``None`` for ``None``."""
    if d is None or isinstance(d, Signature):
        return d
    return Signature.from_dict(d, app=app)


def has_signature(among: Iterable[Any], wanted: Any) -> bool:
    """Whether a signature is ``among`` others, some of which may be dicts as read from a message: with lists where a
    signature has tuples."""
    one = maybe_signature(wanted) if isinstance(wanted, dict) else wanted
    return any(
        found is one or found == one or (isinstance(found, dict) and maybe_signature(found) == one) for found in among
    )


def distinct(signatures: Sequence[Any]) -> list[Any]:
    """Each of the signatures once, the first where several are equal."""
    return [sig for at, sig in enumerate(signatures) if not has_signature(signatures[:at], sig)]
