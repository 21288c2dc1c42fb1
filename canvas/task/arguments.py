"""The arguments of a task's calls: whether they fit its function, as values, and those of a call tried again."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, overload

from canvas.errors import NotRegistered
from canvas.model.call_options import NAMES
from canvas.primitives.mapping import chunks, xmap, xstarmap
from canvas.primitives.misuse import check_signature, refuse_pipe
from canvas.primitives.signature import Signature
from canvas.task.attributes import TaskOptions

if TYPE_CHECKING:
    # Their defaults let `Task[Any]` and `Task` stand for tasks of any arguments.
    from typing_extensions import ParamSpec, TypeVar

    from canvas.task import typed
    from canvas.task.typed import A, B, C, Call, Q, Step

    P = ParamSpec("P", default=...)
    R = TypeVar("R", default=Any)
else:
    from typing import ParamSpec, TypeVar

    P, R = ParamSpec("P"), TypeVar("R")

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_call(task: str, args: Any, kwargs: Any) -> None:
    """Raise TypeError for ``args`` that are not a list or tuple, and for ``kwargs`` that are not a mapping."""
    if args is not None and not isinstance(args, list | tuple):
        raise TypeError(f"{task}: args must be a list or tuple; got {type(args).__name__} {args!r:.100}")
    if kwargs is not None and type(kwargs) is not dict and not isinstance(kwargs, Mapping):
        raise TypeError(f"{task}: kwargs must be a mapping; got {type(kwargs).__name__} {kwargs!r:.100}")


def check_bound(name: str, function: Any) -> None:
    """Raise TypeError for the function of a task with ``bind=True`` that cannot take the task as its first argument."""
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):
        return  # Python does not know its parameters
    if not any(one.kind in (*_BY_POSITION, inspect.Parameter.VAR_POSITIONAL) for one in parameters):
        raise TypeError(
            f"{name}: bind=True passes the task as the first argument, and {function.__name__}() takes none: write "
            f"def {function.__name__}(self, ...), or leave out bind=True"
        )


class CheckedCalls(TaskOptions, Generic[P, R]):
    """A task whose calls are checked against its function. ``P`` are the types of its arguments, ``R`` of its value."""

    if not TYPE_CHECKING:

        @classmethod
        def __class_getitem__(cls, parameters):
            """Also ``Task[R]``, for a task of any arguments."""
            both = isinstance(parameters, tuple) and len(parameters) == 2
            return super().__class_getitem__(parameters if both else (..., parameters))

    def run(self, *args: Any, **kwargs: Any) -> R:
        """The work. Subclasses of ``Task`` define it; ``@app.task`` takes the function."""
        raise TypeError(f"{type(self).__name__} defines no run(); expected the task's work there")

    def check_typing(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError, as calling it would, when the arguments don't fit the function."""
        if not (self.app.strict_typing if self.typing is None else self.typing):
            return
        low, high = self.arity
        if kwargs or not low <= len(args) <= high:
            try:
                self._checked_signature.bind(*args, **kwargs)
            except TypeError as exc:
                function = str(getattr(self, "__name__", "run"))
                shown = function if function.isidentifier() else self.name.rpartition(".")[2]
                says = _as_python_says(shown, self._checked_signature, args, kwargs) or f"{self.name}(): {exc}"
                raise TypeError(f"{says}{self._hint(kwargs)}") from None

    def _hint(self, kwargs: Mapping[str, Any]) -> str:
        """The end of the error of a call that does not fit: a likely reason; empty without one."""
        if self.takes_itself:
            return " (bind=True: the function's first parameter is the task)"
        parameters = self._checked_signature.parameters
        option = next((name for name in kwargs if name in NAMES and name not in parameters), None)
        if option is not None:
            return f" ({option} is an option of the call: write .apply_async(args, {option}=…))"
        first = next(iter(parameters), None)
        if first in ("self", "cls"):
            return f" (its first parameter is {first}: move the function out of its class, or set bind=True)"
        return ""

    def _check_call(self, args: Any, kwargs: Any) -> None:
        """Raise NotRegistered if it has no name or no app, TypeError for arguments of the wrong kind."""
        # The calls of functions here are for calls that are refused: each delay passes.
        if not self.name or self.app is None:
            self._check_registered()
        if type(args) is not tuple or type(kwargs) is not dict:
            check_call(self.name, args, kwargs)

    def _check_registered(self) -> None:
        if not self.name or self.app is None:
            kind = type(self)
            raise NotRegistered(
                f"{kind.__module__}.{kind.__qualname__} is not registered in an app: "
                f"register it with app.register_task({kind.__qualname__}()) before it is called"
            )

    @cached_property
    def call_signature(self) -> inspect.Signature:
        """The function's arguments, by name."""
        return inspect.signature(self.run)

    @cached_property
    def call_parameters(self) -> Mapping[str, inspect.Parameter] | None:
        """The function's parameters by name; ``None`` if Python does not know them."""
        try:
            return self.call_signature.parameters
        except (TypeError, ValueError):
            return None

    @cached_property
    def _checked_signature(self) -> inspect.Signature:
        """The arguments that a call may pass: a decorator may add some to the function's, or leave some out."""
        return inspect.signature(self.run, follow_wrapped=self.pydantic_models is not None)

    @property
    def __header__(self) -> Callable[..., Any]:
        """Raises TypeError for arguments that do not fit the function; programs with a copy of Celery's
        ``apply_async`` call it."""
        return self._checked_signature.bind

    @cached_property
    def arity(self) -> tuple[int, int]:
        """The least and the greatest number of positional arguments alone that fit; ``(1, 0)`` when none do, or when
        Python does not know the parameters."""
        try:
            return _positional_range(self._checked_signature)
        except (TypeError, ValueError):
            return 1, 0


def _as_python_says(name: str, sig: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Python's own words for a call that does not fit a function; nothing if there are none."""
    plain = [
        one.replace(annotation=one.empty, default=one.default if one.default is one.empty else None)
        for one in sig.parameters.values()
    ]
    found: dict[str, Any] = {}
    exec(f"def like{inspect.Signature(plain)}: pass", found)  # the text holds nothing but names of parameters
    found["like"].__qualname__ = name
    try:
        found["like"](*args, **kwargs)
    except TypeError as exc:
        return str(exc)
    return ""


class Composable(CheckedCalls[P, R]):
    """A task that makes signatures.

    Type checkers accept a signature that lacks arguments: Python's types cannot express which come later."""

    def signature(self, args: Iterable[Any] | None = None, *more: Any, **options: Any) -> "Call[R]":
        """``signature(args, kwargs, **options)``; type checkers do not look at the arguments, as they do in ``s``."""
        check_signature(self, options)
        options.setdefault("app", self.app)
        if self.pydantic_models is not None:
            kwargs, *rest = more or ({},)
            args, given = self.pydantic_models.plain(tuple(args or ()), dict(kwargs or {}))
            more = (given, *rest)
        return Signature(self, args, *more, **options)  # type: ignore[return-value]

    subtask = signature

    def __or__(self, other: Any) -> Any:
        refuse_pipe(self)

    @overload
    def s(self: "typed.TakesOne[A, R]") -> "Step[A, R]": ...
    @overload  # A call that is complete is a Call, also where it could take one more argument before those given.
    def s(self, *args: P.args, **kwargs: P.kwargs) -> "Call[R]": ...
    @overload
    def s(self: "typed.TakesMore[A, Q, R]", *args: "Q.args", **kwargs: "Q.kwargs") -> "Step[A, R]": ...  # type: ignore[overload-overlap]
    @overload
    def s(self: "typed.TakesTwoMore[A, B, Q, R]", *args: "Q.args", **kwargs: "Q.kwargs") -> "Call[R]": ...
    @overload
    def s(self: "typed.TakesThreeMore[A, B, C, Q, R]", *args: "Q.args", **kwargs: "Q.kwargs") -> "Call[R]": ...
    @overload  # The rest of the arguments may come by name: s("a").delay(body="b").
    def s(self: "typed.TakesOne[A, R]", first: "A", /) -> "Call[R]": ...
    @overload
    def s(self: "typed.TakesTwo[A, B, R]", first: "A", second: "B", /) -> "Call[R]": ...
    @overload
    def s(self: "typed.TakesThree[A, B, C, R]", first: "A", second: "B", third: "C", /) -> "Call[R]": ...
    @overload
    def s(self, **kwargs: Any) -> "Call[R]": ...
    def s(self, *args: Any, **kwargs: Any) -> Any:
        """The call as a value."""
        if self.pydantic_models is not None:
            args, kwargs = self.pydantic_models.plain(args, kwargs)
        return Signature(self.name, args, kwargs, app=self.app, type=self)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> "Call[R]":
        """The call as a value that takes no result of a task before it."""
        plain: tuple[Any, Any] = (
            (args, kwargs) if self.pydantic_models is None else self.pydantic_models.plain(args, kwargs)
        )
        return Signature(self.name, *plain, immutable=True, app=self.app, type=self)  # type: ignore[return-value]

    def map(self, it: Iterable[Any]) -> xmap:
        """One task that calls this one with each item of ``it``; its result is the list of the values."""
        return xmap(self.s(), it, app=self.app)

    def starmap(self, it: Iterable[Any]) -> xstarmap:
        """One task that calls this one with each item of ``it`` as its arguments; its result is the list of values."""
        return xstarmap(self.s(), it, app=self.app)

    def chunks(self, it: Iterable[Any], n: int) -> chunks:
        """The items of ``it`` in tasks of ``n`` items each, which call this one with each item as its arguments."""
        return chunks(self.s(), it, n, app=self.app)


def _positional_range(sig: inspect.Signature) -> tuple[int, int]:
    """The least and the greatest number of positional arguments alone that fit; ``(1, 0)`` when none do."""
    low = high = 0
    for parameter in sig.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            high = 1 << 30
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                return 1, 0
        elif parameter.kind is not parameter.VAR_KEYWORD:
            high = max(high, high + 1)
            low += parameter.default is parameter.empty
    return low, high


def merged_arguments(
    parameters: Mapping[str, inspect.Parameter] | None,
    old: tuple[Iterable[Any], Mapping[str, Any]],
    args: Iterable[Any] | None,
    kwargs: Mapping[str, Any] | None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the next call: the given ones, and those of the ``old`` call for all other parameters.

    ``args`` that take a parameter by position replace its old value given by name; ``kwargs`` that name a parameter
    replace its old value given by position. Without ``parameters``, or if the old arguments do not fit them, arguments
    that are not given stay as they were.
    """
    old_args, old_kwargs = tuple(old[0] or ()), dict(old[1] or {})
    if args is not None and kwargs is None and old_kwargs:
        return tuple(args), _without(parameters or {}, old_kwargs, tuple(args))
    if kwargs is not None and args is None and old_args:
        return _renamed(parameters, old_args, dict(kwargs))
    return old_args if args is None else tuple(args), old_kwargs if kwargs is None else dict(kwargs)


def _without(parameters: Mapping[str, inspect.Parameter], kwargs: dict[str, Any], args: tuple[Any, ...]) -> Any:
    taken = [parameter for parameter in parameters.values() if parameter.kind in _BY_POSITION][: len(args)]
    names = {parameter.name for parameter in taken if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return {name: value for name, value in kwargs.items() if name not in names}


def _renamed(
    parameters: Mapping[str, inspect.Parameter] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if parameters is None:
        return args, kwargs
    try:
        bound = inspect.Signature(list(parameters.values())).bind_partial(*args)
    except TypeError:  # sending the call raises the same error
        return args, kwargs
    for name in list(kwargs):
        if name in bound.arguments and parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            bound.arguments[name] = kwargs.pop(name)
    return bound.args, {**bound.kwargs, **kwargs}
