"""Names of ``celery.utils.objects``."""

import functools
from collections.abc import Callable, Iterable
from typing import Any


class Bunch:
    """An object with the given attributes."""

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)


def mro_lookup(cls: type, attr: str, stop: Iterable[type] = (), monkey_patched: Iterable[str] = ()) -> type | None:
    """The first class in the method resolution order of ``cls`` that defines ``attr``; ``None`` at a class of
    ``stop``, unless its attribute comes from another module than those in ``monkey_patched``."""
    stop, patched = set(stop), set(monkey_patched)
    for node in cls.mro():
        if node in stop:
            module = getattr(vars(node).get(attr), "__module__", None)
            return node if module is not None and module not in patched and patched else None
        if attr in vars(node):
            return node
    return None


class FallbackContext:
    """A context manager that gives ``provided``, or what ``fallback`` makes and closes."""

    def __init__(self, provided: Any, fallback: Callable[..., Any], *fb_args: Any, **fb_kwargs: Any) -> None:
        self.provided = provided
        self.fallback = fallback
        self.fb_args, self.fb_kwargs = fb_args, fb_kwargs
        self._context: Any = None

    def __enter__(self) -> Any:
        if self.provided is not None:
            return self.provided
        self._context = self.fallback(*self.fb_args, **self.fb_kwargs)
        return self._context.__enter__()

    def __exit__(self, *exc: object) -> Any:
        return None if self._context is None else self._context.__exit__(*exc)


class getitem_property:
    """An attribute that is an item of its object, or of the mapping at the end of a path of items."""

    def __init__(self, keypath: str, doc: str | None = None) -> None:
        *self.path, self.key = keypath.split(".")
        self.__doc__ = doc

    def _mapping(self, obj: Any) -> Any:
        return functools.reduce(lambda found, key: found[key], self.path, obj)

    def __get__(self, obj: Any, type: Any = None) -> Any:
        return type if obj is None else self._mapping(obj).get(self.key)

    def __set__(self, obj: Any, value: Any) -> None:
        self._mapping(obj)[self.key] = value
