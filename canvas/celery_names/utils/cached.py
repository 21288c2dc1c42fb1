"""Names of ``celery.utils.functional`` that keep results and values: ``memoize`` and ``regen``."""

import functools
import threading
from collections import UserList
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from canvas.remote.lru import LRUCache

T = TypeVar("T")
_KEYWORDS = object()
"""Stands in a key between the positional and the named arguments."""


def memoize(
    maxsize: int | None = None, keyfun: Callable[[Any, Any], Any] | None = None, Cache: Callable[..., Any] = LRUCache
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorator: keep the results of a function, for up to ``maxsize`` different arguments (default: for all).

    ``keyfun`` makes the key from the tuple of positional and the dict of named arguments (default: all of them).
    ``Cache`` is called with ``limit=maxsize`` for the mapping of keys and results. The function gets ``hits``,
    ``misses``, ``original_func``, and ``clear()``, which deletes results and counts.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        cache, mutex = Cache(limit=maxsize), threading.Lock()

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> T:
            key = keyfun(args, kwargs) if keyfun else (*args, _KEYWORDS, *sorted(kwargs.items()))
            try:
                with mutex:
                    value: T = cache[key]
            except KeyError:
                value = function(*args, **kwargs)
                noted["misses"] += 1
                with mutex:
                    cache[key] = value
            else:
                noted["hits"] += 1
            return value

        def clear() -> None:
            cache.clear()
            noted.update(hits=0, misses=0)

        noted: dict[str, Any] = vars(called)
        noted.update(hits=0, misses=0, clear=clear, original_func=function)
        return called

    return decorate


def regen(it: Any) -> Any:
    """A list or tuple as it is; another iterable as a list that reads it when its values are asked for."""
    return it if isinstance(it, list | tuple) else _Regenerated(it)


class _Regenerated(UserList[Any], list[Any]):  # type: ignore[misc]
    """A list, for encoders that ask for one, whose values come from an iterable, and are kept."""

    def __init__(self, it: Any) -> None:
        self._source, self._is_read = iter(it), False
        self._kept: list[Any] = []
        self._mutex = threading.RLock()

    def _read(self) -> bool:
        """Whether one more value was there."""
        with self._mutex:
            try:
                self._kept.append(next(self._source))
            except StopIteration:
                self._is_read = True
        return not self._is_read

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while index < len(self._kept) or self._read():
            if index + 1 == len(self._kept) and not self._is_read:
                # As in Celery, one value is read ahead: the last one is known as such when it is given.
                self._read()
            yield self._kept[index]
            index += 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice) or index < 0:
            return self.data[index]
        if len(self._kept) <= index:
            while len(self._kept) <= index + 1 and not self._is_read:
                self._read()
        return self._kept[index]

    def __bool__(self) -> bool:
        return next(iter(self), self) is not self

    @property
    def data(self) -> list[Any]:  # type: ignore[override]
        while not self._is_read:
            self._read()
        return self._kept

    def map(self, func: Callable[[Any], Any]) -> None:
        """Replace each value with ``func`` of it, also the values that are not read yet."""
        self._kept[:] = map(func, self._kept)
        self._source = map(func, self._source)

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (self.data,)

    def __repr__(self) -> str:
        return f"<_regen: [{', '.join(map(repr, self._kept))}{'' if self._is_read else '...'}]>"
