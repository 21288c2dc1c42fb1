"""Stand-ins for objects of Celery that canvas does not have.

A program that imports such a name loads: it may name it in an annotation, test ``isinstance`` with it (no object is an
instance), subclass it, or patch it in a test. Calling it, or a subclass of it, raises an error that says what to use.
"""

from typing import Any, NoReturn

from canvas.errors import ConfigurationError
from canvas.version import DOCUMENTATION


class StandIn(type):
    """The class of stand-ins."""

    why: str

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigurationError(cls.why)

    def __getitem__(cls, item: Any) -> NoReturn:
        raise ConfigurationError(cls.why)


def stand_in(module: str, name: str, words: str) -> StandIn:
    """The stand-in for ``module.name``. ``words`` follow "canvas" in the error that calling it raises."""
    why = f"{module}.{name}: canvas {words}; see {DOCUMENTATION}reference/from-celery/"
    return StandIn(name, (), {"__module__": module, "__doc__": why, "why": why})
