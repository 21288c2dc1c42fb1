"""Options of calls and of tasks whose names are misspelt: a warning with the nearest name.

Names that resemble no option are left alone: plug-ins have options of their own, and other options of a call travel
as properties of its message.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from canvas.caller_warnings import warn_caller
from canvas.model.options import NAMES

_CALL: Final = NAMES | {
    "argsrepr", "kwargsrepr", "throw", "acks_late", "content_type", "content_encoding", "message_id", "user_id",
    "app_id", "cluster_id", "timestamp", "type", "expiration", "declare", "timeout", "confirm_timeout", "on_return",
    "periodic_task_name", "ignore_errors", "store_errors", "stamps", "visitor", "body", "interval", "max_retries",
    "is_eager", "args", "kwargs",
}  # fmt: skip
"""Options of ``apply_async``, of canvas, of Celery, and of kombu's ``publish``."""
_TASK: Final = frozenset(
    {
        "name", "base", "bind", "lazy", "shared", "pydantic", "pydantic_strict", "pydantic_context",
        "pydantic_dump_kwargs", "filter", "type", "options", "Request", "Strategy", "from_config", "immediate",
        "mandatory", "exchange_type", "retry_on_worker_lost", "accept_magic_kwargs", "on_bound", "request_stack",
    }
)  # fmt: skip
"""Options of ``@app.task`` that are not attributes of tasks."""
_LIKE = 0.8


def warn_of_call_options(task: str, options: Mapping[str, Any]) -> None:
    """Warn of each option of a call that looks like another one misspelt."""
    stamps = options.get("stamped_headers") or ()
    for name in options:
        if name not in _CALL and name not in stamps:
            near = _nearest(name, _CALL)
            if near is not None:
                warn_caller(f"{task}: unknown option {name!r}; did you mean {near}?")


def warn_of_task_options(task: str, options: Iterable[str], base: type) -> None:
    """Warn of each option of a task that its class does not have and that looks like another one misspelt."""
    known = frozenset(name for name in dir(base) if not name.startswith("_")) | _TASK
    for name in options:
        if name not in known:
            near = _nearest(name, known)
            if near is not None:
                warn_caller(f"{task}: unknown task option {name!r}; did you mean {near}?")


@lru_cache(maxsize=1024)
def _nearest(name: str, known: frozenset[str]) -> str | None:
    # Only wrong names need it.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1, cutoff=_LIKE)), None)
