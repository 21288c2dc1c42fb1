"""The dict of a signature, exactly as messages carry it (semantics.md W5): its fields as attributes, copies of it."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

from canvas.errors import CycleError
from canvas.primitives.cycles import refused
from canvas.primitives.ports import SignatureApp

IMMUTABLE_OPTIONS = frozenset({"group_id", "stamped_headers"})


KINDS: dict[str, str] = {}
"""By the ``subtask_type`` of a registered subclass of a composite: the composite's own."""


class SignatureFields(dict[str, Any]):
    """``{"task", "args", "kwargs", "options", "subtask_type", "immutable"}``, the fields of a signature."""

    own_app: SignatureApp | None = None
    own_type: Any = None
    """The task object that the signature was made from, if any."""
    plain = False
    """Whether it is written without a ``subtask_type``, whatever its class."""
    copies_are_immutable = True
    """Whether a copy of an immutable one is immutable too, also the copy in a message. Celery's chain is not."""
    route_name: str | None = None
    """The name of the task whose route it takes, if that is not its own."""

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
    def task(self) -> str:
        """The task's name, also as ``name``."""
        return self["task"]  # type: ignore[no-any-return]

    @task.setter
    def task(self, value: str) -> None:
        self["task"] = value

    name = task

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments, after those of the call."""
        return self["args"]  # type: ignore[no-any-return]

    @args.setter
    def args(self, value: Iterable[Any]) -> None:
        self["args"] = tuple(value)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments."""
        return self["kwargs"]  # type: ignore[no-any-return]

    @kwargs.setter
    def kwargs(self, value: dict[str, Any]) -> None:
        self["kwargs"] = value

    @property
    def options(self) -> dict[str, Any]:
        """The options of ``apply_async``."""
        return self["options"]  # type: ignore[no-any-return]

    @options.setter
    def options(self, value: dict[str, Any]) -> None:
        self["options"] = value

    @property
    def subtask_type(self) -> str | None:
        """The kind of composite; of a registered subclass, that of the composite it is a subclass of."""
        own: str | None = self.get("subtask_type")
        return KINDS.get(own, own) if own and KINDS else own

    @subtask_type.setter
    def subtask_type(self, value: str | None) -> None:
        self["subtask_type"] = value

    @property
    def immutable(self) -> bool:
        """Whether it ignores the result of the task before it."""
        return bool(self.get("immutable"))

    @immutable.setter
    def immutable(self, value: bool) -> None:
        self["immutable"] = value

    @property
    def id(self) -> str | None:
        """The task's id, if it has one."""
        return self["options"].get("task_id")  # type: ignore[no-any-return]

    @id.setter
    def id(self, value: str | None) -> None:
        self["options"]["task_id"] = value

    @property
    def parent_id(self) -> str | None:
        """The id of the task that sends it, if it is set."""
        return self["options"].get("parent_id")  # type: ignore[no-any-return]

    @parent_id.setter
    def parent_id(self, value: str | None) -> None:
        self["options"]["parent_id"] = value

    @property
    def root_id(self) -> str | None:
        """The id of the first task of its workflow, if it is set."""
        return self["options"].get("root_id")  # type: ignore[no-any-return]

    @root_id.setter
    def root_id(self, value: str | None) -> None:
        self["options"]["root_id"] = value

    def merged_with(
        self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None, force: bool = False,
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:  # fmt: skip
        """Args, kwargs and options with partial ones merged in (semantics.md S2–S4).

        ``force``: an immutable signature takes them too.
        """
        merged, own_kwargs = self["options"], self["kwargs"]
        if options:
            fixed = IMMUTABLE_OPTIONS.union(merged.get("stamped_headers") or ())
            merged = {**merged, **{k: v for k, v in options.items() if k not in fixed or k not in merged}}
        if self.get("immutable") and not force:
            return self["args"], own_kwargs, merged
        return (
            (*args, *self["args"]) if args else tuple(self["args"]),
            {**own_kwargs, **kwargs} if kwargs else own_kwargs,
            merged,
        )

    _merge = merged_with
    """``merged_with`` by Celery's name."""

    def clone(self, args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any) -> Self:
        """A copy with partial arguments and options merged in; nothing is shared with the original.

        Raises CompositionError, with the path, if a signature contains itself.
        """
        new_args, new_kwargs, new_options = self.merged_with(args, kwargs, options)
        try:
            copy = self.with_fields(args=new_args, kwargs=self.cloned_kwargs(new_kwargs), options=deepcopy(new_options))
            if not self.copies_are_immutable:
                copy.immutable = False
            return copy
        except (RecursionError, CycleError) as exc:
            refused(exc, self)

    partial = clone

    def with_fields(self, **fields: Any) -> Self:
        """A shallow copy with fields exchanged; it shares everything else with the original."""
        copy = dict.__new__(self.__class__)
        dict.update(copy, self, **fields)
        copy.__dict__.update(self.__dict__)
        return copy

    def cloned_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """A copy of ``kwargs``, with clones of the members that a composite has there."""
        return dict(kwargs)

    def adopted_kwargs(self, kwargs: dict[str, Any], app: SignatureApp | None) -> dict[str, Any]:
        """``kwargs`` of a dict from a message, with signatures in place of the dicts of a composite's members."""
        return kwargs

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
        """Let it ignore the result of the task before it (``immutable``), or take that."""
        self.immutable = immutable


def as_list(value: Any) -> list[Any]:
    """``None`` → ``[]``; a list or tuple → a new list of its items; anything else → ``[value]``."""
    if value is None:
        return []
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    return [value]


def signature_dict(
    task: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
    subtask_type: str | None = None,
    immutable: bool = False,
) -> dict[str, Any]:
    """The dict of a call of ``task``; ``subtask_type`` is that of a composite, such as ``"chain"``."""
    return {
        "task": task,
        "args": args,
        "kwargs": kwargs,
        "options": options,
        "subtask_type": subtask_type,
        "immutable": immutable,
    }
