"""Beat: sends tasks and starts workflows when their schedules say so."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canvas.beat.arguments import BeatLazyFunc
    from canvas.beat.schedule import Schedule
    from canvas.beat.service import Service

__all__ = ["BeatLazyFunc", "Schedule", "Service"]

_HOMES = {
    "BeatLazyFunc": "canvas.beat.arguments",
    "Schedule": "canvas.beat.schedule",
    "Service": "canvas.beat.service",
}


def __getattr__(name: str) -> Any:
    # A program that adds entries needs no service, and the other way round.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
