"""The bases of the handles of results, and the subclasses that belong to one app, such as ``app.AsyncResult``."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from canvas.caller_warnings import ends_in_caller
from canvas.errors import IncompleteStream
from canvas.model.states import PROPAGATE_STATES

if TYPE_CHECKING:
    from canvas.drivers.ports import Driver
    from canvas.result.backend import Backend
    from canvas.result.result_graph import ResultGraph

T = TypeVar("T")


class ResultApp(Protocol):
    """The parts of an app that its results need."""

    @property
    def backend(self) -> "Backend": ...

    @property
    def driver(self) -> "Driver": ...

    @property
    def control(self) -> Any: ...

    @property
    def AsyncResult(self) -> Any: ...

    @property
    def GroupResult(self) -> Any: ...


class ResultBase:
    """The base of all handles of results."""

    parent: Any = None
    """The result of the task before this one in a chain."""

    @abstractmethod
    def leaves(self) -> list[Any]:
        """The results of its tasks."""

    def then(
        self, callback: Callable[[Any], Any], on_error: Callable[[Exception], Any] | None = None, weak: bool = False
    ) -> Self:
        """Call ``callback`` with this handle once it has read that its tasks have ended; at once if they have.

        Waiting and looking (``get``, ``ready`` ...) read it. ``on_error`` is called with an exception of ``callback``,
        which is raised without it. ``weak`` has no effect.
        """
        leaves = self.leaves()
        left = len(leaves)

        def ended() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                _call(callback, on_error, self)

        for leaf in leaves:
            leaf.call_when_ready(ended)
        if not leaves:
            ended()
        return self

    def _failed_join_report(self) -> Iterator[Any]:
        """The results of tasks that failed or were revoked, among those that this handle has read."""
        records = ((leaf, leaf.final_record) for leaf in self.leaves())
        return (leaf for leaf, record in records if record is not None and record.status in PROPAGATE_STATES)


def _call(callback: Callable[[Any], Any], on_error: Callable[[Exception], Any] | None, result: Any) -> None:
    try:
        callback(result)
    except Exception as exc:
        if on_error is None:
            raise
        on_error(exc)


@ends_in_caller("iterdeps", "collect", "get_leaf", "graph", "build_graph")
class ResultTree(ResultBase):
    """A result among the results of its workflow."""

    id: str

    @property
    def root(self) -> Any:
        """The first result of the line this one ends."""
        return self._line()[-1]

    def leaves(self) -> list[Any]:
        """The tasks this handle stands for."""
        return [self]

    def as_tuple(self) -> tuple[Any, ...]:
        """``((id, parent), None)`` (semantics.md R1)."""
        before: Any = None
        for node in reversed(self._line()):
            before = node.own_tuple(before)
        return before  # type: ignore[no-any-return]

    def _line(self) -> list[Any]:
        """This result, its parent, and so on to the first."""
        line: list[Any] = []
        node: Any = self
        while node is not None:
            line.append(node)
            node = node.parent
        return line

    def own_tuple(self, before: Any) -> tuple[Any, ...]:
        """The tuple form, where ``before`` is that of its parent."""
        return (self.id, before), None

    def as_list(self) -> list[str]:
        """Its id and those of its ancestors."""
        return [node.id for node in self._line()]

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """``(parent, result)`` of this result and all below it, breadth first.

        Raises IncompleteStream when one is not ready and ``intermediate`` is false.
        """
        pending: list[tuple[Any, Any]] = [(None, self)]
        while pending:
            parent, node = pending.pop(0)
            yield parent, node
            if node.ready():
                pending.extend((node, child) for child in node.children or [])
            elif not intermediate:
                raise IncompleteStream(f"{node!r} is not ready: its children are not known yet")

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """``(result, value)`` of this result and all below it. ``intermediate`` is that of ``iterdeps``."""
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**kwargs)

    def get_leaf(self) -> Any:
        """The value of the last result below this one."""
        return [value for _, value in self.collect()][-1]

    @property
    def graph(self) -> "ResultGraph":
        """``build_graph()``."""
        return self.build_graph()

    def build_graph(self, intermediate: bool = False) -> "ResultGraph":
        """This result and each below it → the results that it waits for.

        Raises IncompleteStream when one is not ready and ``intermediate`` is false.
        """
        from canvas.result.result_graph import ResultGraph  # imported late: most programs never look at it

        found = ResultGraph()
        for parent, node in self.iterdeps(intermediate=intermediate):
            found.setdefault(node, [])
            if parent is not None:
                found[parent].append(node)
        return found


def class_of_app(base: type[T], app: ResultApp) -> type[T]:
    """A subclass of ``base`` whose instances belong to ``app`` by default: the class of the results that ``app`` gives.

    Unpickling a result gives an instance of ``base``, which belongs to the current app.
    """

    def reduce(result: Any) -> tuple[Any, ...]:
        return base, base.__reduce__(result)[1]

    fields = {"_app": app, "__reduce__": reduce, "__module__": base.__module__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), fields)
