"""Signatures that are made of others: the base of chain, group and chord."""

from collections.abc import Iterable
from typing import Any, ClassVar, TypeVar

from canvas.errors import CompositionError
from canvas.primitives.lazy_list import copied
from canvas.primitives.ports import SignatureApp
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature

R = TypeVar("R")


class Composite(Signature[R]):
    """A signature that is made of others, which it has among its keyword arguments."""

    kind: ClassVar[str]
    """Its ``subtask_type``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self["subtask_type"] = self.kind


class TaskList(Composite[R]):
    """A composite whose members are the list under ``kwargs["tasks"]``."""

    def __init__(self, tasks: list[Signature[Any]], /, app: SignatureApp | None = None, **options: Any) -> None:
        super().__init__(f"celery.{self.kind}", (), {"tasks": tasks}, app=app, **options)

    @property
    def tasks(self) -> list[Signature[Any]]:
        """Its members."""
        return self["kwargs"]["tasks"]  # type: ignore[no-any-return]

    @tasks.setter
    def tasks(self, value: Iterable[Any]) -> None:
        self["kwargs"]["tasks"] = list(value)

    def members(self) -> list[Signature[Any]]:
        """Its members."""
        return self.tasks

    def cloned_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """``kwargs`` with clones of the members."""
        return {**kwargs, "tasks": copied(kwargs["tasks"], clone_of)}

    def adopted_kwargs(self, kwargs: dict[str, Any], app: SignatureApp | None) -> dict[str, Any]:
        """``kwargs`` with signatures in the place of dicts."""
        tasks = kwargs.get("tasks")
        if not isinstance(tasks, list | tuple):
            raise CompositionError(f"a {self.kind} needs a list under kwargs['tasks']; got {type(tasks).__name__}")
        return {**kwargs, "tasks": [maybe_signature(task, app) for task in tasks]}


def clone_of(sig: Signature[Any]) -> Signature[Any]:
    return sig.clone()


def linkable(sig: Signature[Any]) -> Signature[Any]:
    return sig.linkable()


def same(sig: Signature[Any]) -> Signature[Any]:
    return sig


def follow(result: Any, before: Any) -> Any:
    """Put ``before`` under the first of ``result``'s ancestors; returns ``result``."""
    if before is not None:
        first = result
        while first.parent is not None:
            first = first.parent
        first.parent = before
    return result
