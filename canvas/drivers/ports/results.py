"""Result records, and the structures of groups."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol, runtime_checkable

from canvas.errors import BrokerError
from canvas.model.settlement import ResultWrite


class TablesMissing(BrokerError):
    """A database lacks a table or a column; the message says how it is made."""


class Watch(Protocol):
    """Records as they are stored, of the ids asked for."""

    def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        """The next ``(task_id, record)``; ``None`` when ``timeout`` seconds pass without one.

        Records that were stored before the watch began, or while a connection was down, are returned too (once or
        more).
        """

    def drop(self, task_id: str) -> None:
        """Stop watching one id."""


class AsyncWatch(Protocol):
    async def next(self, timeout: float | None) -> tuple[str, bytes] | None: ...

    def drop(self, task_id: str) -> None: ...


class ResultStore(Protocol):
    """Result records, and the structures of groups."""

    @property
    def serializer(self) -> str | None:
        """The serializer that its records need, whatever ``result_serializer`` says; ``None``: that of the setting."""

    @property
    def expires_records(self) -> bool:
        """Whether records and groups are deleted automatically when they expire; else ``cleanup`` does it."""

    @property
    def shared(self) -> bool:
        """Whether every process can read the records; if not, the one that has sent the task can."""

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        """The stored records, in order; ``None`` where there is none. ``retry``: whether to try again while the server
        is unreachable."""

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]: ...

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        """The first ``size`` bytes of the stored records, in order; ``b""`` where there is none. Not tried again."""

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]: ...

    def store(self, stores: Sequence[ResultWrite]) -> None:
        """Store and announce records. A stored SUCCESS stays (protocol.md §5.1)."""

    def forget(self, task_ids: Sequence[str]) -> None:
        """Delete records."""

    def watch(self, task_ids: Iterable[str]) -> AbstractContextManager[Watch]:
        """Watch ids; nothing stored after this call returns is missed."""

    def awatch(self, task_ids: Iterable[str]) -> AbstractAsyncContextManager[AsyncWatch]: ...

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        """Keep a GroupResult's structure (protocol.md §5.3)."""

    def get_group(self, group_id: str) -> bytes | None: ...

    def delete_group(self, group_id: str) -> None: ...

    def cleanup(self, seconds: float) -> int:
        """Delete records and groups that are older than ``seconds``. Returns how many: 0 in a store that expires them
        itself."""

    def close(self) -> None: ...


@runtime_checkable
class RefusingStore(Protocol):
    """A store that shows whether its server takes writes."""

    def refusal(self) -> str | None:
        """The server's words if it stores no results now; ``None`` if it does."""


@runtime_checkable
class TableStore(Protocol):
    """A store whose tables have to be made."""

    def create_tables(self) -> list[str]:
        """Make the tables that are missing. Returns their names."""

    def upgrade_tables(self) -> list[str]:
        """Make missing tables, and the columns that tables of earlier versions do not have. Returns the names of
        both."""
