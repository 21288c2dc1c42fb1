"""A mapping that forgets the items that were not used for longest."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LRUCache(OrderedDict[K, V]):
    """A dict that forgets its oldest items beyond ``limit``; setting or reading an item by its key makes it new."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.limit = limit
        self.mutex = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit,), None, None, iter(list(self.items()))

    @property
    def data(self) -> "LRUCache[K, V]":
        return self

    def __setitem__(self, key: K, value: V) -> None:
        with self.mutex:
            super().__setitem__(key, value)
            self.move_to_end(key)
            while self.limit and len(self) > self.limit:
                self.popitem(last=False)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set items; without any, forget those beyond a ``limit`` that has become smaller."""
        with self.mutex:
            super().update(*args, **kwargs)
            while self.limit and len(self) > self.limit:
                self.popitem(last=False)

    def __getitem__(self, key: K) -> V:
        with self.mutex:
            value = super().__getitem__(key)
            self.move_to_end(key)
            return value

    def iterkeys(self) -> Iterator[K]:
        """The keys, the oldest first."""
        return iter(self)

    def itervalues(self) -> Iterator[V]:
        """The values, the oldest first."""
        return iter(self.values())

    def iteritems(self) -> Iterator[tuple[K, V]]:
        """The keys and their values, the oldest first."""
        return iter(self.items())

    def incr(self, key: K, delta: int = 1) -> int:
        """Add ``delta`` to a number, which is kept as text. Returns the sum. Raises KeyError."""
        with self.mutex:
            number: int = int(self[key]) + delta  # type: ignore[call-overload]
            self[key] = str(number)  # type: ignore[assignment]
            return number

    def get(self, key: Any, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default
