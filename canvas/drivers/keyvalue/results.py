"""Records and groups as values by key, in the keys of Celery's stores."""

from collections.abc import Sequence
from typing import Any

from canvas.drivers.keyvalue.values import KeyNames, KeyValues
from canvas.drivers.polling import BlockingReads
from canvas.model.settlement import ResultWrite
from canvas.wire.record import HEAD, says_success

_AT_ONCE = 500
"""Keys in one request."""
_SUCCESS = b"I01\n."
"""A pickle of ``True``: some stores keep objects."""


class KeyValueResults(BlockingReads):
    """The ResultStore of ``canvas.drivers.ports``."""

    shared = True

    def __init__(self, values: KeyValues, names: KeyNames, serializer: str | None = None) -> None:
        """``serializer``: the one that the values need; ``None``: any."""
        self.serializer = serializer
        self._values = values
        self._names = names
        self.expires_records = values.deletes_expired

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        keys = [self._names.task(task_id) for task_id in task_ids]
        found: dict[str, bytes] = {}
        for first in range(0, len(keys), _AT_ONCE):
            found |= self._values.get(keys[first : first + _AT_ONCE], retry)
        return [found.get(key) for key in keys]

    def store(self, stores: Sequence[ResultWrite]) -> None:
        for one in stores:
            self._store(one)

    def _store(self, write: ResultWrite) -> None:
        key, mark = self._names.task(write.task_id), self._names.success(write.task_id)
        shows_success = says_success(write.payload[:HEAD])
        marked = not (write.success and shows_success) and mark in self._values.get([mark])

        def changed(known: bytes | None) -> bytes | None:
            succeeded = known is not None and (marked or says_success(known[:HEAD]))
            return None if succeeded else write.payload

        done = self._values.change(key, changed, write.expires)
        if done and write.success and not shows_success:
            self._values.set(mark, _SUCCESS, write.expires)

    def forget(self, task_ids: Sequence[str]) -> None:
        names = self._names
        self._values.delete([key for one in task_ids for key in (names.task(one), names.success(one))])

    @property
    def client(self) -> Any:
        """The library's client of the server, if there is one."""
        return getattr(self._values, "client", None)

    def get_value(self, key: str) -> bytes | None:
        """A value of another program, by its key."""
        return self._values.get([key]).get(key)

    def set_value(self, key: str, value: bytes, seconds: int | None) -> None:
        """Keep a value of another program."""
        self._values.set(key, value, seconds)

    def delete_value(self, key: str) -> None:
        """Delete a value of another program."""
        self._values.delete([key])

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        self._values.set(self._names.group(group_id), payload, expires)

    def get_group(self, group_id: str) -> bytes | None:
        key = self._names.group(group_id)
        return self._values.get([key]).get(key)

    def delete_group(self, group_id: str) -> None:
        self._values.delete([self._names.group(group_id)])

    def cleanup(self, seconds: float) -> int:
        names = self._names
        return self._values.cleanup((names.tasks, names.groups, names.counters, names.own("")), seconds)

    def close(self) -> None:
        self._values.close()
