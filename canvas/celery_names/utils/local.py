"""Names of ``celery.local`` and ``celery._state``: proxies, and functions about the current app."""

import gc
import importlib
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

from canvas.app import shared_tasks
from canvas.app.application import Canvas
from canvas.context import Proxy as _Proxy

_UNSET: Any = object()
_OPERATORS = (
    "add sub mul floordiv mod pow lshift rshift and xor or truediv lt le gt ge neg pos abs invert index getitem "
    "setitem delitem contains"
)
_OTHERS: dict[str, Callable[..., Any]] = {
    "len": len, "iter": iter, "int": int, "float": float, "complex": complex, "divmod": divmod, "str": str,
    "reversed": reversed,
}  # fmt: skip


class Proxy(_Proxy):
    """Stands for the object that ``local`` returns at each use."""

    __slots__ = ("_args", "_kwargs")

    def __init__(
        self, local: Callable[..., Any], args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None,
        name: str | None = None, __doc__: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(lambda: local(*(args or ()), **(kwargs or {})))

    def _get_current_object(self) -> Any:
        return object.__getattribute__(self, "_find")()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._get_current_object().__reduce_ex__(protocol)


def _of_object(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Proxy, *args: Any) -> Any:
        return function(self._get_current_object(), *args)

    return call


# Python looks for the methods of operators in classes only.
for _name in _OPERATORS.split():
    setattr(Proxy, f"__{_name}__", _of_object(getattr(operator, f"__{_name}__")))
for _name, _function in _OTHERS.items():
    setattr(Proxy, f"__{_name}__", _of_object(_function))


class PromiseProxy(Proxy):
    """Stands for an object that is made at the first use, and kept."""

    __slots__ = ("_made",)

    def __init__(
        self, local: Callable[..., Any], args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None,
        name: str | None = None, __doc__: str | None = None,
    ) -> None:  # fmt: skip
        def find() -> Any:
            if self._made is _UNSET:
                object.__setattr__(self, "_made", local(*(args or ()), **(kwargs or {})))
            return self._made

        object.__setattr__(self, "_made", _UNSET)
        super().__init__(find)

    def __evaluated__(self) -> bool:
        return self._made is not _UNSET

    def __maybe_evaluate__(self) -> Any:
        return self._get_current_object()


def maybe_evaluate(obj: Any) -> Any:
    """The object that a PromiseProxy stands for; other objects are returned."""
    return obj.__maybe_evaluate__() if type(obj) is PromiseProxy else obj


def try_import(module: str, default: Any = None) -> ModuleType | Any:
    """A module, or ``default`` where it cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return default


def connect_on_app_finalize(callback: Callable[[Canvas], Any]) -> Callable[[Canvas], Any]:
    """Call ``callback`` with each app when it is finalized, also with apps that do not exist yet. Apps that are
    finalized already are left out."""
    shared_tasks.when_finalized(callback)
    return callback


def _get_active_apps() -> list[Canvas]:
    """The apps of this process that are in use."""
    return [app for app in gc.get_objects() if isinstance(app, Canvas)]


class class_property:
    """A property of a class, and of its instances."""

    def __init__(self, getter: Any = None, setter: Any = None) -> None:
        """``getter`` is called with the class; ``setter`` with the class and the value."""
        self._getter = getattr(getter, "__func__", getter)
        self._setter = getattr(setter, "__func__", setter)

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        return self._getter(owner or type(obj))

    def __set__(self, obj: Any, value: Any) -> None:
        if self._setter is None:
            raise AttributeError("this property has no setter")
        self._setter(type(obj), value)

    def setter(self, setter: Any) -> "class_property":
        return type(self)(self._getter, setter)
