"""The result classes of an app: ``app.AsyncResult``, ``app.GroupResult``, ``app.ResultSet``."""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from canvas.drivers.ports import Driver
    from canvas.result.backend import Backend

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


def _call(callback: Callable[[Any], Any], on_error: Callable[[Exception], Any] | None, result: Any) -> None:
    try:
        callback(result)
    except Exception as exc:
        if on_error is None:
            raise
        on_error(exc)


def class_of_app(base: type[T], app: ResultApp) -> type[T]:
    """A subclass of ``base`` whose instances belong to ``app`` by default: the class of the results that ``app`` gives.

    Unpickling a result gives an instance of ``base``, which belongs to the current app.
    """

    def reduce(result: Any) -> tuple[Any, ...]:
        return base, base.__reduce__(result)[1]

    fields = {"_app": app, "__reduce__": reduce, "__module__": base.__module__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), fields)
