"""Names of ``celery.utils.functional``."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import getfullargspec, signature
from itertools import chain, islice, pairwise
from typing import Any, TypeVar

T = TypeVar("T")


def noop(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def maybe_list(obj: Any, scalars: tuple[type, ...] = (Mapping, str)) -> Any:
    """``obj`` in a list, unless it is iterable or ``None``; mappings and text count as one value."""
    return obj if obj is None or (isinstance(obj, Iterable) and not isinstance(obj, scalars)) else [obj]


def first(predicate: Callable[[T], Any] | None, it: Iterable[T]) -> T | None:
    """The first value that ``predicate`` accepts; without one, the first that is not ``None``."""
    return next((one for one in it if (one is not None if predicate is None else predicate(one))), None)


def chunks(it: Iterator[T], n: int) -> Iterator[list[T]]:
    """Lists of ``n`` values of an iterator; the last may be shorter."""
    for head in it:
        yield [head, *islice(it, n - 1)]


def padlist(container: Sequence[T], size: int, default: T | None = None) -> list[T | None]:
    """The first ``size`` values, filled up with ``default``."""
    return [*container][:size] + [default] * (size - len(container))


def uniq(it: Iterable[T]) -> Iterator[T]:
    """The values without repetitions, in their order, each as it is asked for."""
    seen: set[T] = set()
    for value in it:
        if value not in seen:
            seen.add(value)
            yield value


def dictfilter(d: Mapping[str, Any] | None = None, **kw: Any) -> dict[str, Any]:
    """The items whose value is not ``None``."""
    return {key: value for key, value in {**(d or {}), **kw}.items() if value is not None}


class lazy:
    """A call of a function that is made later: when this is called, given to ``maybe_evaluate``, compared, or turned
    into text."""

    def __init__(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._fun, self._args, self._kwargs = fun, args, kwargs

    def __call__(self) -> Any:
        return self.evaluate()

    def evaluate(self) -> Any:
        return self._fun(*self._args, **self._kwargs)

    def __str__(self) -> str:
        return str(self())

    def __repr__(self) -> str:
        return repr(self())

    def __eq__(self, other: object) -> Any:
        return self() == other

    def __ne__(self, other: object) -> Any:
        return self() != other

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> "lazy":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._fun,), {"_args": self._args, "_kwargs": self._kwargs}


class mlazy(lazy):
    """``lazy``, with the first result kept."""

    evaluated = False
    _value: Any = None

    def evaluate(self) -> Any:
        if not self.evaluated:
            self._value, self.evaluated = super().evaluate(), True
        return self._value


def maybe_evaluate(value: Any) -> Any:
    """The result of a ``lazy``; other values are returned."""
    return value.evaluate() if isinstance(value, lazy) else value


def is_list(obj: Any, scalars: tuple[type, ...] = (Mapping, str), iters: tuple[type, ...] = (Iterable,)) -> bool:
    """Whether ``obj`` is iterable, and neither a mapping nor text."""
    return isinstance(obj, iters) and not isinstance(obj, scalars or ())


def firstmethod(method: str, on_call: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A function that returns the first result of ``method`` of several objects that is not None."""

    def call(objects: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
        for obj in objects:
            function = getattr(maybe_evaluate(obj), method, None)
            if function is None:
                continue
            found = on_call(function, *args, **kwargs) if on_call else function(*args, **kwargs)
            if found is not None:
                return found
        return None

    return call


def mattrgetter(*attrs: str) -> Callable[[Any], dict[str, Any]]:
    """A function that returns these attributes of an object, None for those it does not have."""
    return lambda obj: {attr: getattr(obj, attr, None) for attr in attrs}


def maybe(typ: Callable[[Any], Any], val: Any) -> Any:
    """``typ(val)``, unless ``val`` is None."""
    return typ(val) if val is not None else val


def head_from_fun(fun: Callable[..., Any], bound: bool = False) -> Callable[..., int]:
    """A function that raises TypeError for arguments that ``fun`` does not take, ``self`` among them; ``bound``:
    without the first."""
    called = fun if hasattr(fun, "__name__") else type(fun).__call__
    found = signature(getattr(called, "__func__", called), follow_wrapped=False)
    parameters = list(found.parameters.values())[bound:]
    found = found.replace(parameters=parameters)

    def head(*args: Any, **kwargs: Any) -> int:
        found.bind(*args, **kwargs)
        return 1

    return head


def fun_accepts_kwargs(fun: Callable[..., Any]) -> bool:
    """Whether a function takes any keyword argument."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature(fun).parameters.values())


def pass1(arg: T, *args: Any, **kwargs: Any) -> T:
    """The first argument."""
    return arg


def evaluate_promises(values: Iterable[Any]) -> Iterator[Any]:
    """The values, the results of the ``lazy`` ones among them."""
    return map(maybe_evaluate, values)


def lookahead(values: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Each value and its successor, ``None`` after the last."""
    return pairwise(chain(values, [None]))


def arity_greater(fun: Callable[..., Any], n: int) -> bool:
    """Whether a function takes more than ``n`` positional arguments."""
    spec = getfullargspec(fun)
    return bool(spec.varargs) or len(spec.args) > n


def fun_takes_argument(name: str, fun: Callable[..., Any], position: int | None = None) -> bool:
    """Whether a function takes an argument of this name, or one at this position."""
    spec = getfullargspec(fun)
    if spec.varkw or spec.varargs:
        return True
    return len(spec.args) >= position if position else name in spec.args


def seq_concat_item(seq: Any, item: Any) -> Any:
    """A list or tuple of the same kind, with ``item`` at its end."""
    return (*seq, item) if isinstance(seq, tuple) else [*seq, item]


def seq_concat_seq(a: Any, b: Any) -> Any:
    """Both sequences as one, of the kind of the longer."""
    kind = type(max(a, b, key=len))
    return kind([*a, *b])


def is_numeric_value(value: Any) -> bool:
    """Whether a value is a number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)
