"""Result records, groups, runs and chords."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

from canvas.model.settlement import (
    ChordStart,
    ReadyChord,
    ResultWrite,
)


class Watch(Protocol):
    """Records as they are stored, of the ids asked for."""

    def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        """The next ``(task_id, record)``; ``None`` when ``timeout`` seconds pass without one.

        What was stored before the watch began, or while a connection was down, is delivered too (once or more).
        """

    def drop(self, task_id: str) -> None:
        """Stop watching one id."""


class AsyncWatch(Protocol):
    async def next(self, timeout: float | None) -> tuple[str, bytes] | None: ...

    def drop(self, task_id: str) -> None: ...


class Results(Protocol):
    """Result records, groups and chord parts."""

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        """The stored records, in order; ``None`` where there is none. ``retry``: whether to try again while the server
        is away."""

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]: ...

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        """The first ``size`` bytes of the stored records, in order; ``b""`` where there is none. Not tried again."""

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]: ...

    def store(self, stores: Sequence[ResultWrite]) -> None:
        """Keep and announce records. A stored SUCCESS stays (protocol.md §5.1)."""

    def forget(self, task_ids: Sequence[str]) -> None:
        """Delete records."""

    def watch(self, task_ids: Iterable[str]) -> AbstractContextManager[Watch]:
        """Watch ids; nothing stored after this call returns is missed."""

    def awatch(self, task_ids: Iterable[str]) -> AbstractAsyncContextManager[AsyncWatch]: ...

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        """Keep a GroupResult's structure (protocol.md §5.3)."""

    def get_group(self, group_id: str) -> bytes | None: ...

    def delete_group(self, group_id: str) -> None: ...

    def save_run(self, run: str, fields: Mapping[str, bytes], expires: int | None, created: float | None) -> None:
        """Keep fields of a workflow's run, for so many seconds from now; ``created`` (unix time) lists it."""

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        """Fields of a run, in order."""

    def begin_attempt(
        self, run: str, attempt: int, fields: Mapping[str, bytes], expires: int | None, start: ReadyChord | None
    ) -> bool:
        """Count ``attempt`` on and set fields; False, and nothing is done, when another one is counted already.

        ``start`` is ready from then on, as a chord is whose parts are all in.
        """

    def expire_run(self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int) -> None:
        """Have a run, and these records, as far as they are there, expire after so many seconds; 0: never."""

    def list_runs(self, limit: int) -> list[str]:
        """The ids of runs that are kept, the latest first."""

    def start_chords(self, joins: Sequence[ChordStart], grow: Sequence[str] = ()) -> None:
        """Start chords: set their sizes (before any part is published), and grow running ones."""

    def close(self) -> None: ...
