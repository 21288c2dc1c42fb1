"""How often a task may run, how many at once, and which calls of it are one: read from a task's attributes."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from canvas.errors import ConfigurationError

if TYPE_CHECKING:
    from canvas.model.message import Message
    from canvas.model.settlement import UniqueLock

KeyFunction = Iterable[str] | Callable[..., Any] | None
"""Names of arguments, or a function of the call's arguments, whose values distinguish calls; ``None``: see its use."""


class Limited(Protocol):
    """A task, as far as its limits go. Each attribute is described at ``Task``."""

    name: str
    rate_limit: Any
    rate_limit_scope: str
    unique_for: float | None
    unique_key: KeyFunction
    unique_until: str
    unique_conflict: str
    concurrency_limit: int | None
    concurrency_key: KeyFunction

    @property
    def call_signature(self) -> inspect.Signature: ...


_PER = {"s": 1.0, "m": 60.0, "h": 3600.0}


def rate_to_interval(rate: Any) -> float:
    """Seconds between two runs at a rate: a number a second, or text such as ``"10/s"``, ``"5/m"``, ``"100/h"``.

    0 if there is no limit (``None``, 0, ``"0"``). Raises ConfigurationError.
    """
    count, _, unit = str(rate or 0).partition("/")
    try:
        often = float(count) / _PER[unit.strip().lower() or "s"]
    except (ValueError, KeyError):
        often = -1.0
    if often < 0:
        raise ConfigurationError(f"rate limit: expected a number or text such as '10/s', '5/m', '100/h'; got {rate!r}")
    return 1.0 / often if often else 0.0


def unique_key(task: Limited, args: Any, kwargs: Mapping[str, Any]) -> str:
    """The key of a unique task's call: calls of one key are the same call. By default all arguments are the key.

    Raises TypeError when the arguments don't fit the task, EncodeError when the chosen ones cannot be written as JSON.
    """
    return _key(task, task.unique_key, args, kwargs, everything=True)


def lock_of(task: Limited, message: "Message") -> "UniqueLock | None":
    """The lock that was taken when a unique task's call was sent; ``None`` of arguments of which none can have been."""
    from canvas.model.settlement import UniqueLock

    try:
        return UniqueLock(unique_key(task, message.args, message.kwargs), message.id)
    except Exception:  # noqa: BLE001 - the sender refuses such a call when it takes the lock
        return None


def concurrency_key(task: Limited, args: Any, kwargs: Mapping[str, Any]) -> str:
    """The key of calls that share the ``concurrency_limit``; by default all calls of the task share it.

    Raises as ``unique_key``.
    """
    return _key(task, task.concurrency_key, args, kwargs, everything=False)


def _key(task: Limited, chosen: KeyFunction, args: Any, kwargs: Mapping[str, Any], everything: bool) -> str:
    if chosen is None and not everything:
        return task.name
    if callable(chosen):
        values = chosen(*args, **kwargs)
    else:
        try:
            bound = task.call_signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(f"{task.name}(): {exc}") from None
        bound.apply_defaults()
        values = {name: bound.arguments[name] for name in chosen} if chosen is not None else dict(bound.arguments)
    # Imported late: few programs have unique tasks.
    from canvas.wire import typed_json

    written = typed_json.dumps(sorted(values.items()) if isinstance(values, dict) else values)
    import hashlib  # imported late: it loads OpenSSL, which most programs do not need

    return f"{task.name}:{hashlib.sha256(written).hexdigest()[:32]}"


def check_limits(task: Limited) -> None:
    """Raise ConfigurationError for attributes that cannot be."""
    try:
        rate_to_interval(task.rate_limit)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{task.name}: {exc}") from None
    _one_of(task, "rate_limit_scope", ("worker", "global"))
    _one_of(task, "unique_until", ("finish", "success", "start", "expiry"))
    _one_of(task, "unique_conflict", ("return", "raise"))
    for name in ("unique_for", "concurrency_limit"):
        value = getattr(task, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            raise ConfigurationError(f"{task.name}: {name}: expected a number above 0; got {value!r}")
    for name in ("unique_key", "concurrency_key"):
        _check_chooser(task, name)


def _one_of(task: Limited, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(task, name)
    if value not in choices:
        raise ConfigurationError(f"{task.name}: {name}: expected one of {', '.join(choices)}; got {value!r}")


def _check_chooser(task: Limited, name: str) -> None:
    chosen = getattr(task, name)
    if chosen is None or callable(chosen):
        return
    known = task.call_signature.parameters
    unknown = [one for one in chosen if one not in known] if not isinstance(chosen, str) else [chosen]
    if unknown:
        raise ConfigurationError(
            f"{task.name}: {name}: expected a list of argument names of {', '.join(known)}, or a function; "
            f"got {chosen!r}"
        )
