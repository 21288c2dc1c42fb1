"""Options of tasks whose names are misspelt: a warning with the nearest name.

A name that resembles no option is accepted: plug-ins have options of their own.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from canvas.caller_warnings import warn_caller

_TASK: Final = frozenset(
    {
        "name", "base", "bind", "lazy", "shared", "pydantic", "pydantic_strict", "pydantic_context",
        "pydantic_dump_kwargs", "filter", "type", "options", "Request", "Strategy", "from_config", "immediate",
        "mandatory", "exchange_type", "retry_on_worker_lost", "accept_magic_kwargs", "on_bound", "request_stack",
    }
)  # fmt: skip
"""Options of ``@app.task`` that are not attributes of tasks."""
_LIKE = 0.8


def warn_of_task_options(task: str, options: Iterable[str], base: type) -> None:
    """Warn of each option of a task that its class does not have and that looks like another one misspelt."""
    known = frozenset(name for name in dir(base) if not name.startswith("_")) | _TASK
    for name in options:
        if name not in known:
            near = nearest_name(name, known)
            if near is not None:
                warn_caller(f"{task}: unknown task option {name!r}; did you mean {near}?")


@lru_cache(maxsize=1024)
def nearest_name(name: str, known: frozenset[str]) -> str | None:
    """The known name of which ``name`` looks like a misspelling; ``None`` if it resembles none."""
    # Only wrong names need it.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1, cutoff=_LIKE)), None)
