"""Names of ``celery.utils.collections``: mappings and sets."""

import time
from collections import ChainMap as _ChainMap
from collections import OrderedDict as _OrderedDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any


class AttributeDictMixin:
    """Items that are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]  # type: ignore[index]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class AttributeDict(dict[str, Any], AttributeDictMixin):
    """A dict whose items are attributes, too."""


class OrderedDict(_OrderedDict[Any, Any]):
    """Python's, with the methods of an LRU cache."""

    def _LRUkey(self) -> Any:
        return next(iter(self))


class DictAttribute:
    """A mapping of an object's attributes."""

    def __init__(self, obj: Any) -> None:
        object.__setattr__(self, "obj", obj)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.obj, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.obj, name, value)

    def get(self, key: str, default: Any = None) -> Any:
        return getattr(self.obj, key, default)

    def setdefault(self, key: str, default: Any = None) -> None:
        """Set an attribute that is not there; as Celery's, it returns nothing."""
        if key not in self:
            self[key] = default

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self.obj, key)
        except AttributeError:
            raise KeyError(key) from None

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self.obj, key, value)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and hasattr(self.obj, key)

    def __iter__(self) -> Iterator[str]:
        return iter(dir(self.obj))

    keys = iterkeys = __iter__

    def values(self) -> Iterator[Any]:
        return (getattr(self.obj, key) for key in self)

    def items(self) -> Iterator[tuple[str, Any]]:
        return ((key, getattr(self.obj, key)) for key in self)

    itervalues, iteritems = values, items


MutableMapping.register(DictAttribute)


class ChainMap(_ChainMap[Any, Any]):
    """Mappings that are looked through in their order; ``changes`` is the first."""

    key_t: Callable[[Any], Any] | None
    _observers: list[Callable[..., Any]]

    def __init__(self, *maps: Any, key_t: Callable[[Any], Any] | None = None) -> None:
        """``key_t`` is called with each key; its result is looked up."""
        vars(self).update(key_t=key_t, _observers=[])
        super().__init__(*maps)

    @property
    def changes(self) -> Any:
        return self.maps[0]

    @property
    def defaults(self) -> list[Any]:
        return list(self.maps[1:])

    def add_defaults(self, d: Any) -> None:
        """Look through ``d`` right after the changes."""
        self.maps.insert(1, force_mapping(d))

    def bind_to(self, callback: Callable[..., Any]) -> None:
        """Call ``callback`` with the arguments of each ``update``."""
        self._observers.append(callback)

    def _key(self, key: Any) -> Any:
        return key if self.key_t is None else self.key_t(key)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(self._key(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(self._key(key), value)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(self._key(key))

    def __contains__(self, key: object) -> bool:
        return super().__contains__(self._key(key))

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove an item of the first mapping. Raises KeyError."""
        return super().pop(self._key(key), *default)

    def setdefault(self, key: Any, default: Any = None) -> None:
        """Set an item that is not there; as Celery's, it returns nothing."""
        if key not in self:
            self[key] = default

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change the first mapping, and call the callbacks of ``bind_to``."""
        given = (dict(*args),) if args else ()
        self.changes.update(*given, **kwargs)
        for callback in self._observers:
            callback(*given, **kwargs)

    def copy(self) -> "ChainMap":
        return type(self)(dict(self.maps[0]), *self.maps[1:])

    def iterkeys(self) -> Iterator[Any]:
        return iter(self)

    def iteritems(self) -> Iterator[tuple[Any, Any]]:
        return ((key, self[key]) for key in self)

    def itervalues(self) -> Iterator[Any]:
        return (self[key] for key in self)


class LimitedSet:
    """A set that drops its oldest members: beyond ``maxlen``, and after ``expires`` seconds if more than ``minlen`` are
    left. It does so when a member is added while ``maxlen`` is reached, and in ``purge``. Times are those of
    ``time.monotonic``. Raises ValueError for a negative number, and for a ``minlen`` above ``maxlen``."""

    def __init__(self, maxlen: int = 0, expires: float = 0, data: Any = None, minlen: int = 0) -> None:
        self.maxlen, self.expires, self.minlen = maxlen or 0, expires or 0, minlen or 0
        if not self.maxlen >= self.minlen >= 0 or self.expires < 0:
            raise ValueError(
                "LimitedSet: expected numbers from 0 on, and a minlen of at most maxlen; got "
                f"maxlen={maxlen!r}, minlen={minlen!r}, expires={expires!r}"
            )
        self._data: dict[Any, float] = {}
        if data:
            self.update(data)

    def add(self, item: Any, now: float | None = None) -> None:
        self._data.pop(item, None)
        self._data[item] = time.monotonic() if now is None else now
        if self.maxlen and len(self._data) >= self.maxlen:
            self.purge()

    def update(self, other: Any) -> None:
        """Add the members of a set, a list, or a mapping of members and times."""
        if isinstance(other, LimitedSet):
            other = other.as_dict()
        pairs = other.items() if isinstance(other, Mapping) else ((item, None) for item in other)
        for item, inserted in pairs:
            self.add(item, inserted)

    def discard(self, item: Any) -> None:
        self._data.pop(item, None)

    pop_value = discard

    def pop(self, default: Any = None) -> Any:
        """Remove the oldest member."""
        if not self._data:
            return default
        oldest = min(self._data, key=self._data.__getitem__)
        del self._data[oldest]
        return oldest

    def purge(self, now: float | None = None) -> None:
        """Drop the members beyond ``maxlen``, and those that are too old."""
        now = time.monotonic() if now is None else now
        while self.maxlen and len(self._data) > self.maxlen:
            self.pop()
        while self.expires and len(self._data) > self.minlen >= 0:
            if min(self._data.values()) + self.expires > now:
                break
            self.pop()

    def clear(self) -> None:
        self._data.clear()

    def as_dict(self) -> dict[Any, float]:
        """The members, and the times when they were added."""
        return dict(self._data)

    def __contains__(self, item: object) -> bool:
        return item in self._data

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(self._data, key=self._data.__getitem__))

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LimitedSet) and set(self) == set(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<LimitedSet({len(self)}): maxlen={self.maxlen}, expires={self.expires}, minlen={self.minlen}>"


def force_mapping(m: Any) -> Any:
    """A mapping of an object's attributes, unless it is a mapping."""
    return m if isinstance(m, Mapping) else DictAttribute(m)


def lpmerge(L: dict[Any, Any], R: Mapping[Any, Any]) -> dict[Any, Any]:
    """Update ``L`` by the values of ``R`` that are not None."""
    L.update({key: value for key, value in R.items() if value is not None})
    return L
