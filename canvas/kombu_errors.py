"""Errors that ``except kombu.exceptions.…`` catches, in programs that use kombu."""

import sys
from typing import Any, TypeVar

E = TypeVar("E", bound=type[Exception])


def also_kombus(cls: E) -> E:
    """Class decorator: the error is kombu's error of the same name, too, once the program has imported kombu.

    The bases are changed when an instance is made, before it is raised: code that names kombu's error has imported it
    by then.
    """
    make = cls.__new__

    def new(kind: Any, *args: Any, **kwargs: Any) -> Any:
        theirs = getattr(sys.modules.get("kombu.exceptions"), cls.__name__, None)
        if theirs is not None and not issubclass(cls, theirs):
            cls.__bases__ = (*cls.__bases__, theirs)
        return make(kind, *args, **kwargs)

    cls.__new__ = new  # type: ignore[method-assign]
    return cls
