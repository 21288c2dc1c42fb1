"""When the entries of Celery's beat ran last, from the file that its PersistentScheduler keeps."""

import dbm
import io
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from canvas.beat import log
from canvas.schedules.base_schedule import maybe_make_aware


class _Stub:
    """An object of a class that is not needed here: its arguments and its state."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *args: Any) -> "_Stub":
        return _Stub(*args)


def _zone_reader(owner: Any, name: str) -> Any:
    """The function that time zones are read with, which is the only attribute that a file may ask for."""
    return getattr(ZoneInfo, "_unpickle") if owner is ZoneInfo and name == "_unpickle" else _Stub()  # noqa: B009


class _Reader(pickle.Unpickler):
    """Reads entries without running code of the file: only times and zones become what they were."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return _zone_reader
        if (module, name) in _KNOWN:
            return super().find_class(module, name)
        return type(name, (_Stub,), {})


_KNOWN = frozenset(
    {
        ("datetime", "datetime"), ("datetime", "timedelta"), ("datetime", "timezone"), ("builtins", "set"),
        ("zoneinfo", "ZoneInfo"),
    }
)  # fmt: skip


def last_runs(filename: str) -> dict[str, datetime]:
    """By name, when entries ran last; empty where there is no such file. A file that cannot be read is logged."""
    if not any(Path(f"{filename}{suffix}").is_file() for suffix in ("", ".db", ".dat", ".dir")):
        return {}
    try:
        with dbm.open(filename, "r") as shelf:
            entries = _Reader(io.BytesIO(shelf[b"entries"])).load()
        return {name: moment for name, entry in entries.items() if (moment := _last_run(entry)) is not None}
    except Exception as exc:  # noqa: BLE001 - a damaged file may raise anything; beat starts without it
        log.logger.warning("beat: Cannot read %s, and starts without it: %s: %s", filename, type(exc).__name__, exc)
        return {}


def _last_run(entry: Any) -> datetime | None:
    """The third argument of Celery's ScheduleEntry: name, task, last run, count, ..."""
    arguments: tuple[Any, ...] = getattr(entry, "args", ())
    moment = arguments[2] if len(arguments) > 2 else None
    return maybe_make_aware(moment, UTC) if isinstance(moment, datetime) else None
