"""Advice for values that JSON cannot hold: the value to pass instead."""

import inspect
import os
from collections.abc import Callable, Iterator, KeysView, Set, ValuesView
from types import ModuleType
from typing import Any

from canvas.model.record import Handle

_Advice = tuple[Callable[[Any], bool], str]


def advice_on(value: Any) -> str:
    """The end of an error message, such as ``"; pass list(...)"``; empty for other kinds of values."""
    return next((text for fits, text in _ADVICE if fits(value)), "")


def _is_model(value: Any) -> bool:
    return hasattr(type(value), "_meta") and hasattr(value, "pk")


def _has(name: str) -> Callable[[Any], bool]:
    return lambda value: hasattr(type(value), name)


_ADVICE: tuple[_Advice, ...] = (
    (
        lambda value: isinstance(value, Handle),
        "; pass its value, result.get(), or compose both tasks: first.s(...) | second.s(...)",
    ),
    (_has("read"), "; pass the path of the file, or what it contains"),
    (inspect.isawaitable, "; await it, and pass its value"),
    (inspect.isasyncgen, "; pass the list of its items: [item async for item in …]"),
    (lambda value: isinstance(value, Set | KeysView | ValuesView | Iterator | range), "; pass list(...) of it"),
    (lambda value: isinstance(value, os.PathLike), "; pass str(...) of it"),
    (lambda value: isinstance(value, BaseException), "; pass its text, str(...)"),
    (_is_model, "; pass its primary key, .pk, and load the row in the task"),
    (_has("model_dump"), "; pass .model_dump() of it, or set pydantic=True on the task"),
    (_has("__dataclass_fields__"), "; pass dataclasses.asdict(...) of it"),
    (_has("tolist"), "; pass .tolist() of it"),
    (_has("s"), "; pass a signature, task.s(...), or the name of the task"),
    (
        lambda value: inspect.isroutine(value) or isinstance(value, type | ModuleType),
        "; pass a name, and let the task look up what it stands for",
    ),
)
