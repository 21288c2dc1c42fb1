"""Stand-ins for objects of Celery that canvas does not have.

A program that imports such a name loads: it may name it in an annotation, test ``isinstance`` with it (no object is an
instance), subclass it, read those attributes that Celery's object has, or patch it in a test. Calling it, a subclass of
it, or one of its attributes raises an error that says what to use.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

from canvas.errors import ConfigurationError
from canvas.version import DOCUMENTATION


class StandIn(type):
    """The class of stand-ins."""

    why: str
    attributes: frozenset[str]

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigurationError(cls.why)

    def __getitem__(cls, item: Any) -> NoReturn:
        raise ConfigurationError(cls.why)

    def __getattr__(cls, name: str) -> "StandIn":
        if name not in cls.attributes:
            words = f"type object {cls.__name__!r} has no attribute {name!r}. {cls.why}"
            raise AttributeError(words, name=name, obj=cls)
        return StandIn(name, (), {"__module__": cls.__module__, "why": cls.why, "attributes": frozenset()})


def stand_in(module: str, name: str, words: str, attributes: Iterable[str] = ()) -> StandIn:
    """The stand-in for ``module.name``, which has ``attributes``. ``words`` follow "canvas" in the error of a call."""
    why = f"{module}.{name}: canvas {words}; see {DOCUMENTATION}reference/from-celery/"
    members = {"__module__": module, "__doc__": why, "why": why, "attributes": frozenset(attributes)}
    return StandIn(name, (), members)
