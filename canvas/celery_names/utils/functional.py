"""Names of ``celery.utils.functional``."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


def noop(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def maybe_list(value: Any, scalars: tuple[type, ...] = (Mapping, str)) -> Any:
    """``value`` in a list, unless it is iterable or ``None``; mappings and text count as one value."""
    return value if value is None or (isinstance(value, Iterable) and not isinstance(value, scalars)) else [value]


def first(predicate: Callable[[T], Any] | None, values: Iterable[T]) -> T | None:
    """The first value that ``predicate`` accepts; without one, the first that is not ``None``."""
    return next((one for one in values if (one is not None if predicate is None else predicate(one))), None)


def chunks(values: Iterator[T], n: int) -> Iterator[list[T]]:
    """Lists of ``n`` values of an iterator; the last may be shorter."""
    for head in values:
        yield [head, *islice(values, n - 1)]


def padlist(container: list[T], size: int, default: T | None = None) -> list[T | None]:
    """The first ``size`` values, filled up with ``default``."""
    return list(container[:size]) + [default] * (size - len(container))


def uniq(values: Iterable[T]) -> Iterator[T]:
    """The values without repetitions, in their order."""
    return iter(dict.fromkeys(values))


def dictfilter(d: Mapping[str, Any] | None = None, **kw: Any) -> dict[str, Any]:
    """The items whose value is not ``None``."""
    return {key: value for key, value in {**(d or {}), **kw}.items() if value is not None}


def memoize(maxsize: int | None = None, **options: Any) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Keep the results of a function, for up to ``maxsize`` different arguments."""
    return lru_cache(maxsize=maxsize)
