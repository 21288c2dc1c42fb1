"""Arguments and results that are pydantic models: ``@app.task(pydantic=True)``, as Celery's.

An argument whose annotation is a model (or an optional one) is built from the message's value; a returned model
is sent as plain data; a model given to a call is sent as plain data too.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from canvas.errors import ConfigurationError
from canvas.text import pip_install


class Models:
    """The models in one function's signature."""

    def __init__(
        self,
        function: Callable[..., Any],
        bound: bool,
        strict: bool = False,
        context: Mapping[str, Any] | None = None,
        dump: Mapping[str, Any] | None = None,
    ) -> None:
        """``bound``: the first parameter is the task; ``dump``: arguments of ``model_dump``.

        Raises ConfigurationError when pydantic is not installed.
        """
        try:
            from pydantic import BaseModel
        except ModuleNotFoundError as exc:
            raise ConfigurationError(f"pydantic=True needs pydantic: {pip_install('pydantic')}") from exc
        self._base = BaseModel
        self._function = function
        self._strict = strict
        self._context = dict(context or {})
        self._dump = {"mode": "json", **(dump or {})}
        self._signature = inspect.signature(function)
        parameters = list(self._signature.parameters.values())
        self._positional = [
            one.name
            for one in (parameters[1:] if bound else parameters)
            if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
        try:
            hints = typing.get_type_hints(function)
        except (NameError, AttributeError, TypeError):
            # Names that only type checkers see: those annotations are not models.
            hints = {name: one.annotation for name, one in self._signature.parameters.items()}
            hints["return"] = self._signature.return_annotation
        found = {name: self._model(hint) for name, hint in hints.items()}
        self._models = {name: model for name, model in found.items() if model is not None}

    def _model(self, hint: Any) -> Any:
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            inner = [one for one in typing.get_args(hint) if one is not type(None)]
            hint = inner[0] if len(inner) == 1 else None
        return hint if isinstance(hint, type) and issubclass(hint, self._base) else None

    def wrapped(self) -> Callable[..., Any]:
        """The function, taking and giving plain data."""
        function = self._function
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run(*args: Any, **kwargs: Any) -> Any:
                bound = self._loaded(args, kwargs)
                return self._plain_result(await function(*bound.args, **bound.kwargs))

            return run

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            bound = self._loaded(args, kwargs)
            return self._plain_result(function(*bound.args, **bound.kwargs))

        return call

    def _loaded(self, args: Any, kwargs: Any) -> inspect.BoundArguments:
        bound = self._signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            model = self._models.get(name)
            if model is not None and value is not None:
                bound.arguments[name] = model.model_validate(value, strict=self._strict, context=self._context)
        return bound

    def _plain_result(self, value: Any) -> Any:
        model = self._models.get("return")
        return value.model_dump(**self._dump) if model is not None and isinstance(value, model) else value

    def plain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A call's arguments with its models as plain data; other values as they are."""
        names = [*self._positional, *[""] * len(args)]
        positional = tuple(self._plain_argument(name, value) for name, value in zip(names, args, strict=False))
        return positional, {name: self._plain_argument(name, value) for name, value in kwargs.items()}

    def _plain_argument(self, name: str, value: Any) -> Any:
        model = self._models.get(name)
        if model is None or not isinstance(value, self._base) or hasattr(type(value), "__json__"):
            return value
        if type(value) is model:
            return value.model_dump(**self._dump)
        return self._plain_relative(model, value)

    def _plain_relative(self, model: Any, value: Any) -> Any:
        """A model of another class (such as a generic one with or without its parameters) as plain data.

        If no equal model can be built from that, as for an instance of a subclass with further fields, it is returned
        unchanged.
        """
        try:
            dumped = value.model_dump(**self._dump)
            same = model.model_validate(dumped, strict=self._strict, context=self._context) == value
        except Exception:  # noqa: BLE001 - the user's serializers and validators may be made for workers only
            return value
        return dumped if same else value


ModelsOf: TypeAlias = Callable[[str], Models | None]
"""The models of a task, by its name."""


def plain_arguments(models_of: ModelsOf, task: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """A call's arguments with the models among them as plain data; of a map, those of the mapped task's calls."""
    if task in _MAPS:
        inner = kwargs.get("task")
        models = models_of(inner["task"]) if isinstance(inner, Mapping) else None
        if models is None:
            return args, kwargs
        one = task == "celery.map"
        return args, {**kwargs, "it": [_plain_item(models, item, one) for item in kwargs["it"]]}
    models = models_of(task)
    return (args, kwargs) if models is None else models.plain(tuple(args), dict(kwargs))


def plain_signatures(models_of: ModelsOf, value: Any) -> Any:
    """``value`` with the arguments of each signature in it, however deep, as ``plain_arguments`` gives them."""
    if isinstance(value, list | tuple):
        return [plain_signatures(models_of, item) for item in value]
    if not isinstance(value, Mapping):
        return value
    found = {key: plain_signatures(models_of, item) for key, item in value.items()}
    if isinstance(found.get("task"), str) and {"args", "kwargs", "options"} <= found.keys():
        found["args"], found["kwargs"] = plain_arguments(models_of, found["task"], found["args"], found["kwargs"])
    return found


_MAPS = frozenset({"celery.map", "celery.starmap", "celery.chunks"})


def _plain_item(models: Models, item: Any, one: bool) -> Any:
    args = (item,) if one else tuple(item)
    plain, _ = models.plain(args, {})
    return plain[0] if one else plain
