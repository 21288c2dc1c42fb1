"""Entries of periodic tasks in Redis, beside the messages that they send."""

from collections.abc import Sequence
from typing import Any

import msgpack

from canvas.drivers.ports.schedules import DueEntries, EntryWrite, StoredEntry
from canvas.drivers.redis.broker import RedisBroker
from canvas.drivers.redis.results.store import RedisResults
from canvas.drivers.redis.scripts.arguments import ScriptArguments, pack
from canvas.drivers.redis.scripts.replies import verdict_of
from canvas.model.ids import new_id
from canvas.model.settlement import Settlement, SettleResult

_READ_AT_ONCE = 1_000


class RedisSchedules:
    """The ScheduleStore of ``canvas.drivers.ports``, on the broker's server."""

    def __init__(self, broker: RedisBroker, results: RedisResults | None) -> None:
        """``results``: those on the broker's server; ``None``: there are none, or they are on another one."""
        self._link = broker.link
        self._keys = broker.keys
        self._packing = ScriptArguments(broker.keys, results.keys if results else None, broker.bindings)
        own = str(broker.link.address.db)
        self._dbs = [own, str(results.link.address.db) if results else own]
        self._ready = [results.keys.ready, results.keys.ready_since] if results else broker.keys.no_chords

    def due(self, schedule: str, limit: int) -> DueEntries:
        now, following, *found = self._link.call("due_schedules", self._keys_of(schedule), [limit])
        entries = [_entry(*found[n : n + 3]) for n in range(0, len(found), 3)]
        return DueEntries(float(now), entries, float(following) if following else None)

    def read(self, schedule: str, names: Sequence[str] | None = None) -> list[StoredEntry]:
        if names is None:
            return self._read_all(schedule)
        entries, due = self._keys_of(schedule)
        found: list[StoredEntry] = []
        for first in range(0, len(names), _READ_AT_ONCE):
            some = names[first : first + _READ_AT_ONCE]
            raws, times = self._link.pipeline([("HMGET", entries, *some), ("ZMSCORE", due, *some)])
            found += [_entry(n.encode(), t, raw) for n, t, raw in zip(some, times, raws, strict=True) if raw]
        return found

    def _read_all(self, schedule: str) -> list[StoredEntry]:
        """All entries by their names, read in pages: others must not wait for Redis meanwhile."""
        entries, due = self._keys_of(schedule)
        found: dict[bytes, StoredEntry] = {}
        cursor: Any = 0
        while True:
            cursor, page = self._link.command("HSCAN", entries, cursor, "COUNT", _READ_AT_ONCE)
            names, raws = page[::2], page[1::2]
            times = self._link.command("ZMSCORE", due, *names) if names else []
            found.update({name: _entry(name, at, raw) for name, at, raw in zip(names, times, raws, strict=True)})
            if int(cursor) == 0:
                return sorted(found.values(), key=lambda entry: entry.name)

    def write(self, change: EntryWrite, settlement: Settlement | None = None) -> SettleResult:
        keys = self._keys
        packed = b"" if settlement is None else pack(self._packing.settlement(settlement))
        script_keys = [*self._keys_of(change.schedule), keys.delayed, keys.delayed_messages, *self._ready,
                       keys.alive, keys.workers]  # fmt: skip
        due = "" if change.due is None else f"{change.due:.6f}"
        definition = [0, b""] if change.definition is None else [1, change.definition]
        arguments = [change.name, change.revision, new_id(), due, change.state, *definition, *self._dbs, packed]
        return verdict_of(self._link.call("write_schedule", script_keys, arguments))

    def remove(self, schedule: str, names: Sequence[str]) -> int:
        if not names:
            return 0
        entries, due = self._keys_of(schedule)
        commands = [("HDEL", entries, *names), ("ZREM", due, *names)]
        return int(self._link.pipeline(commands, transaction=True)[0])

    def _keys_of(self, schedule: str) -> list[str]:
        entries = self._keys.schedule(schedule)
        return [entries, f"{entries}:due"]


def _entry(name: bytes, due: Any, raw: bytes) -> StoredEntry:
    revision, _, state, definition = msgpack.unpackb(raw, raw=True)
    return StoredEntry(name.decode(), int(revision), None if due is None else float(due), state, definition)
