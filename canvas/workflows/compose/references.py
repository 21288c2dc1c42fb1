"""Handles of a workflow's nodes, and finding them in signatures."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol, Self

from canvas.errors import CompositionError, EncodeError
from canvas.model.workflow_definition import NodeDefinition
from canvas.primitives.cycles import SCALARS, refuse_cycles
from canvas.primitives.signature import Signature

Path = tuple[Any, ...]
_EMPTY: dict[type, Callable[[], Any]] = {list: list, tuple: list, dict: dict}
"""By the type of a container, the function that makes an empty copy."""
Found = Callable[[Path, "Reference"], None]


class Composition(Protocol):
    """The workflow that a node belongs to."""

    name: str

    def entry(self, number: int) -> NodeDefinition: ...

    @property
    def map(self) -> Callable[..., "MapNode"]: ...

    @property
    def pipe(self) -> Callable[..., "MapNode"]: ...


class Reference:
    """A node's result, or with ``[...]`` a part of it, wherever an argument can stand."""

    __slots__ = ("flow", "number", "pick")

    def __init__(self, flow: Composition, number: int, pick: Path = ()) -> None:
        self.flow = flow
        self.number = number
        self.pick = pick

    @property
    def name(self) -> str:
        """Its node's name."""
        return self.flow.entry(self.number).name

    def __getitem__(self, key: Any) -> "Reference":
        return Reference(self.flow, self.number, (*self.pick, key))

    def map(self, sig: "Signature[Any] | Composition", **options: Any) -> "MapNode":
        """A node that runs ``sig`` for each item of this result: ``Workflow.map``, with its options."""
        return self.flow.map(sig, self, **options)

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):
            return object.__getattribute__(self, name)  # a property has raised AttributeError, and raises it again
        hint = "" if name.startswith("_") else f"; for a part of its result write {self._shown}[{name!r}]"
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=self)

    def __iter__(self) -> NoReturn:
        raise self._unknown("use flow.map to run a task for each of its items")

    def __bool__(self) -> NoReturn:
        raise self._unknown("use flow.branch to choose by it")

    def __str__(self) -> str:
        raise self._unknown("pass the handle itself to a task that makes the text; repr() shows the handle")

    def __format__(self, spec: str) -> str:
        return str(self)

    def _compare(self, other: object) -> NoReturn:
        raise self._unknown("use flow.branch to choose by it, or pass it to a task; `is` compares handles")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _compare
    __hash__ = object.__hash__

    def __contains__(self, item: object) -> NoReturn:
        raise self._unknown("pass it to a task that looks into it")

    def _compute(self, *_: object) -> NoReturn:
        raise self._unknown("pass it to a task that computes with it")

    def _arrange(self, *_: object) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be put into an order by an operator: give its result to the next node, such as "
            "flow.add(task.s(handle)), or write flow.add(task.s(), after=handle)"
        )

    __rshift__ = __rrshift__ = __lshift__ = __rlshift__ = __or__ = __ror__ = _arrange

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _compute
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = _compute
    __int__ = __float__ = __index__ = __len__ = __round__ = _compute

    def _unknown(self, instead: str) -> TypeError:
        return TypeError(f"the result of {self!r} is not known yet: {instead}")

    def __json__(self) -> NoReturn:
        raise EncodeError(
            f"{self!r} stands for the result of a node of workflow {self.flow.name!r}; only nodes of that workflow can "
            "take it, such as flow.add(task.s(handle))"
        )

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self.__json__()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    @property
    def _shown(self) -> str:
        return f"{self.name}{''.join(f'[{key!r}]' for key in self.pick)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shown}>"


class Node(Reference):
    """A node of a workflow, as ``add`` and ``map`` give it."""

    __slots__ = ()


class MapNode(Node):
    """A node that runs a signature for each item of a list."""

    __slots__ = ()

    def map(self, sig: "Signature[Any] | Composition", **options: Any) -> "MapNode":
        """A node that runs ``sig`` for each result of this one, as soon as it is there: ``Workflow.pipe``, with its
        options."""
        return self.flow.pipe(sig, self, **options)


class Branch(Node):
    """A choice between arms; its result is that of the arm that ran."""

    __slots__ = ("arms",)

    def __init__(self, flow: Composition, number: int, arms: Mapping[Any, Node]) -> None:
        super().__init__(flow, number)
        self.arms = arms


def without_references(value: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """``value`` as plain data with ``None`` in the places of references; ``found`` is called for each.

    Raises CompositionError for data that contains itself.
    """
    try:
        return {
            key: inner
            if type(inner) in SCALARS
            else _EMPTY[type(inner)]()
            if type(inner) in _EMPTY and not inner
            else _without_references(inner, found, (key,))
            for key, inner in value.items()
        }
    except RecursionError:
        refuse_cycles(value)
        name = f"{value['task']}: " if "task" in value else ""
        raise CompositionError(f"{name}data in it contains itself, or is nested too deeply to be sent") from None


def _without_references(value: Any, found: Found, path: Path) -> Any:
    if isinstance(value, Reference):
        found(path, value)
        return None
    if isinstance(value, dict):
        key = next((key for key in value if isinstance(key, Reference)), None)
        if key is not None:
            raise TypeError(f"{key!r} is a key of a dict; a result can only stand in the place of a value")
        return {key: _without_references(inner, found, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [
            inner if type(inner) in SCALARS else _without_references(inner, found, (*path, at))
            for at, inner in enumerate(value)
        ]
    return value
