"""The result classes of an app: ``app.AsyncResult``, ``app.GroupResult``, ``app.ResultSet``."""

from typing import Any, TypeVar

T = TypeVar("T")


def class_of_app(base: type[T], app: Any) -> type[T]:
    """``base`` as a class whose results are ``app``'s, where they are not given another; what ``app`` sends has it.

    A pickled result is one of ``base`` again, of the app that is current where it is read.
    """

    def reduce(result: Any) -> tuple[Any, ...]:
        return base, base.__reduce__(result)[1]

    fields = {"_app": app, "__reduce__": reduce, "__module__": base.__module__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), fields)
