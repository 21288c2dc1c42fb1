"""Handles of a workflow's nodes, and finding them in signatures."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self

if TYPE_CHECKING:
    from canvas.workflows.compose import Workflow

Path = tuple[Any, ...]
Found = Callable[[Path, "Reference"], None]


class Reference:
    """A node's result, or with ``[...]`` a part of it, wherever an argument can stand."""

    __slots__ = ("flow", "number", "pick")

    def __init__(self, flow: "Workflow", number: int, pick: Path = ()) -> None:
        self.flow = flow
        self.number = number
        self.pick = pick

    @property
    def name(self) -> str:
        """Its node's name."""
        return self.flow.entry(self.number).name

    def __getitem__(self, key: Any) -> "Reference":
        return Reference(self.flow, self.number, (*self.pick, key))

    def __iter__(self) -> NoReturn:
        raise TypeError(f"the result of {self} is not known yet: use flow.map to run a task for each of its items")

    def __bool__(self) -> NoReturn:
        raise TypeError(f"the result of {self} is not known yet: use flow.branch to choose by it")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{''.join(f'[{key!r}]' for key in self.pick)}>"


class Node(Reference):
    """A node of a workflow, as ``add`` and ``map`` give it."""

    __slots__ = ()


class Branch(Node):
    """A choice between arms; its result is that of the arm that ran."""

    __slots__ = ("arms",)

    def __init__(self, flow: "Workflow", number: int, arms: Mapping[Any, Node]) -> None:
        super().__init__(flow, number)
        self.arms = arms


def without_references(value: Any, found: Found, path: Path = ()) -> Any:
    """``value`` as plain data with ``None`` in the places of references; ``found`` is called for each."""
    if isinstance(value, Reference):
        found(path, value)
        return None
    if isinstance(value, dict):
        return {key: without_references(inner, found, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_references(inner, found, (*path, at)) for at, inner in enumerate(value)]
    return value
