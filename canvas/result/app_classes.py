"""The result classes of an app: ``app.AsyncResult``, ``app.GroupResult``, ``app.ResultSet``."""

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

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


def class_of_app(base: type[T], app: ResultApp) -> type[T]:
    """A subclass of ``base`` whose instances belong to ``app`` by default: the class of the results that ``app`` gives.

    Unpickling a result gives an instance of ``base``, which belongs to the current app.
    """

    def reduce(result: Any) -> tuple[Any, ...]:
        return base, base.__reduce__(result)[1]

    fields = {"_app": app, "__reduce__": reduce, "__module__": base.__module__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), fields)
