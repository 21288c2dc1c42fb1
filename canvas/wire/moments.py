"""``eta``, ``countdown`` and ``expires`` of a call as the ISO 8601 text of its headers (protocol.md §2.4)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Protocol

from canvas.errors import InvalidTaskError


class Clock(Protocol):
    """The app's time and zone."""

    @property
    def timezone(self) -> tzinfo: ...

    def now(self) -> datetime: ...


def due(options: Mapping[str, Any], clock: Clock) -> float | None:
    """When a message with these options is to run, as unix time; ``None`` for at once. Raises InvalidTaskError."""
    eta = eta_text(options, clock)
    return None if eta is None else instant(eta, "eta").timestamp()


def eta_text(options: Mapping[str, Any], clock: Clock) -> str | None:
    """The header ``eta``; ``countdown`` comes before it. Raises InvalidTaskError."""
    countdown = options.get("countdown")
    if countdown:
        return _after(countdown, "countdown", clock)
    return _text(options.get("eta"), "eta")


def expires_text(options: Mapping[str, Any], clock: Clock) -> str | None:
    """The header ``expires``, from seconds, a datetime or text. Raises InvalidTaskError."""
    expires = options.get("expires")
    if expires is None:
        return None
    if isinstance(expires, int | float) and not isinstance(expires, bool):
        return _after(expires, "expires", clock)
    return _text(expires, "expires")


def instant(text: str, name: str = "expires") -> datetime:
    """ISO 8601 text as an aware datetime; without an offset it is UTC. Raises InvalidTaskError that names ``name``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidTaskError(f"{name}: expected ISO 8601 text; got {text!r:.100}") from None
    return aware(moment)


def aware(moment: datetime, zone: tzinfo = UTC) -> datetime:
    """The datetime itself, or in ``zone`` if it has none."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _after(seconds: Any, name: str, clock: Clock) -> str:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise InvalidTaskError(f"{name}: expected seconds (int or float); got {seconds!r:.100}")
    try:
        return (clock.now() + timedelta(seconds=seconds)).astimezone(clock.timezone).isoformat()
    except (OverflowError, ValueError):
        raise InvalidTaskError(f"{name}: {seconds!r} seconds from now is not a date") from None


def _text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        if value:
            instant(value, name)
        return value or None
    if isinstance(value, datetime):
        return value.isoformat()
    seconds = "seconds, " if name == "expires" else ""
    expected = f"{seconds}a datetime or ISO 8601 text"
    raise InvalidTaskError(f"{name}: expected {expected}; got {type(value).__name__} {value!r:.100}")
