"""May a message run now, later, or never? Pure: the clock is an argument."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from canvas.errors import InvalidTaskError
from canvas.model.message import Message


@dataclass(frozen=True, slots=True)
class Proceed:
    """Now."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Not before unix time ``due``."""

    due: float


@dataclass(frozen=True, slots=True)
class Discard:
    """Its time is over; ``reason`` as Celery names it."""

    reason: str


Admission: TypeAlias = Proceed | Defer | Discard
_RUN = Proceed()
_UNLIMITED = [None, None]
_LONGEST = 10 * 366 * 86_400
"""Seconds."""


def admit(message: Message, now: float) -> Admission:
    """Decide by ``expires`` and ``eta`` (protocol.md §2.4). Raises InvalidTaskError for text that is no time."""
    headers = message.headers
    expires, eta = headers.get("expires"), headers.get("eta")
    if expires is None and eta is None:
        return _RUN
    if expires is not None and unix_time(expires, "expires") <= now:
        return Discard("expired")
    if eta is not None:
        due = unix_time(eta, "eta")
        if due > now:
            return Defer(due)
    return _RUN


def time_limits(message: Message) -> tuple[float | None, float | None]:
    """The hard and soft limit that a call was sent with, seconds. Raises InvalidTaskError for what is none."""
    given = message.headers.get("timelimit")
    if given is None or given == _UNLIMITED:
        return None, None
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise InvalidTaskError(f"timelimit: expected [hard, soft] in seconds; got {given!r:.100}")
    hard, soft = (_seconds(value) for value in given)
    return hard, soft


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidTaskError(f"timelimit: expected seconds, 0 or more; got {type(value).__name__} {value!r:.100}")
    return min(value, _LONGEST)


def unix_time(value: Any, name: str) -> float:
    """ISO 8601 text as unix time; without an offset it is UTC."""
    if not isinstance(value, str):
        raise InvalidTaskError(f"{name}: expected ISO 8601 text; got {type(value).__name__} {value!r:.100}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidTaskError(f"{name}: expected ISO 8601 text; got {value!r:.100}") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
