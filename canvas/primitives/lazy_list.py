"""A list whose items come from an iterator, which is read no further than needed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from time import monotonic
from typing import Any, SupportsIndex, TypeVar, overload

T = TypeVar("T")


class LazyList(list[T]):
    """The converted items of an iterator. They are read on demand and kept, so that they can be iterated again."""

    def __init__(self, items: Iterable[Any], convert: Callable[[Any], T]) -> None:
        super().__init__()
        self._rest: Iterator[Any] | None = iter(items)
        self._convert = convert

    def at_least(self, count: int) -> bool:
        """Whether it has ``count`` items; reads no more than these."""
        while self._rest is not None and list.__len__(self) < count:
            try:
                item = next(self._rest)
            except StopIteration:
                self._rest = None
            else:
                list.append(self, self._convert(item))
        return list.__len__(self) >= count

    def filled(self) -> "LazyList[T]":
        """Itself, with all items read."""
        while self._rest is not None:
            self.at_least(list.__len__(self) + 1024)
        return self

    def fork(self, change: Callable[[T], T]) -> "list[T]":
        """A copy, each item changed. Both lists read the remaining items on demand, each from the same iterator."""
        read = [change(list.__getitem__(self, at)) for at in range(list.__len__(self))]
        if self._rest is None:
            return read
        self._rest, rest = tee(self._rest)
        convert = self._convert
        copy: LazyList[T] = LazyList(rest, lambda item: change(convert(item)))
        list.extend(copy, read)
        return copy

    def __bool__(self) -> bool:
        return self.at_least(1)

    def __iter__(self) -> Iterator[T]:
        at = 0
        while self.at_least(at + 1):
            yield list.__getitem__(self, at)
            at += 1

    @overload
    def __getitem__(self, at: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, int) and at >= 0:
            self.at_least(at + 1)
        else:
            self.filled()
        return list.__getitem__(self, at)

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def _after_reading(name: str) -> Any:
    """A method of lists, called once all items are read."""
    method = getattr(list, name)

    def call(self: LazyList[Any], *args: Any, **kwargs: Any) -> Any:
        return method(self.filled(), *args, **kwargs)

    return call


for _name in (
    "__len__", "__contains__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__add__", "__iadd__",
    "__mul__", "__rmul__", "__imul__", "__reversed__", "__repr__", "__setitem__", "__delitem__", "append", "extend",
    "insert", "pop", "remove", "index", "count", "sort", "reverse", "copy", "clear",
):  # fmt: skip
    setattr(LazyList, _name, _after_reading(_name))


def copied(items: list[T], change: Callable[[T], T]) -> list[T]:
    """A copy of a list, each item changed; a lazy one of a lazy one."""
    return items.fork(change) if isinstance(items, LazyList) else [change(item) for item in items]


def unread(items: Any, count: int, within: float) -> bool:
    """Whether it is a lazy list with unread items, after reading more than ``count`` items, or two or more within
    ``within`` seconds."""
    if not isinstance(items, LazyList) or items._rest is None:
        return False
    end = monotonic() + within
    for size in range(1, count + 2):
        if not items.at_least(size):
            return False
        if size >= 2 and monotonic() > end:
            break
    return items._rest is not None


def count_read(items: LazyList[Any]) -> int:
    """How many of its items are read."""
    return list.__len__(items)
