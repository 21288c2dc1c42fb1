"""Records, groups and chord parts on Redis, in Celery's own keys (protocol.md §5)."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from canvas.drivers.ports.chords import Records
from canvas.drivers.ports.runs import NewAttempt
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.refusals import refusal_of
from canvas.drivers.redis.keys import BrokerKeys, ResultKeys
from canvas.drivers.redis.results.run_index import RedisRunIndex, index_entry
from canvas.drivers.redis.results.watch import Watching
from canvas.drivers.redis.scripts.arguments import ScriptArguments, pack
from canvas.drivers.redis.scripts.replies import accepted, mail_in, ready_of
from canvas.model.run_index import FoundRun, RunListing, RunQuery
from canvas.model.settlement import ChordExtension, ChordStart, ReadyChord, ResultWrite

_RENEWED_AT_ONCE = 250


class RedisResults:
    """The ResultStore, ChordStore and RunRecords of ``canvas.drivers.ports``."""

    serializer = None
    expires_records = True
    shared = True
    ended_by_celery = False

    def __init__(self, link: RedisClient, options: Mapping[str, Any]) -> None:
        self.link = link
        self.keys = ResultKeys(
            str(options.get("global_keyprefix") or ""), bool(options.get("result_chord_ordered", True))
        )
        self.packing = ScriptArguments(BrokerKeys(), self.keys)
        self._index = RedisRunIndex(link, self.keys.runs, self.keys.run)
        watching = Watching(link, self.keys, self.get, self.aget)
        self.watch = watching.watch
        self.awatch = watching.awatch

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        if not task_ids:
            return []
        return self.link.command("MGET", *map(self.keys.task, task_ids), retry=retry)  # type: ignore[no-any-return]

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]:
        if not task_ids:
            return []
        return await self.link.acommand("MGET", *map(self.keys.task, task_ids))  # type: ignore[no-any-return]

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return self.link.pipeline(self._prefix_reads(task_ids, size), retry=False) if task_ids else []

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return await self.link.apipeline(self._prefix_reads(task_ids, size)) if task_ids else []

    def _prefix_reads(self, task_ids: Sequence[str], size: int) -> list[tuple[Any, ...]]:
        return [("GETRANGE", self.keys.task(task_id), 0, size - 1) for task_id in task_ids]

    def store(self, stores: Sequence[ResultWrite]) -> None:
        self.record(Records(stores))

    def refusal(self) -> str | None:
        return refusal_of(self.link, self.keys.write_check)

    def forget(self, task_ids: Sequence[str]) -> None:
        if task_ids:
            keys = [key for task_id in task_ids for key in self._record_keys(task_id)]
            self.link.command("DEL", *keys)

    @property
    def client(self) -> Any:
        """redis-py's client of the server."""
        return self.link.client

    def get_value(self, key: str) -> bytes | None:
        """A value of another program, by its key."""
        found: bytes | None = self.link.command("GET", self.keys.prefix + key)
        return found

    def set_value(self, key: str, value: bytes, seconds: int | None) -> None:
        """Store a value under the key of another program."""
        self.link.pipeline([_set(self.keys.prefix + key, value, seconds)])

    def delete_value(self, key: str) -> None:
        """Delete a value of another program."""
        self.link.command("DEL", self.keys.prefix + key)

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        key = self.keys.group(group_id)
        self.link.pipeline([_set(key, payload, expires), ("PUBLISH", key, payload)], transaction=True)

    def get_group(self, group_id: str) -> bytes | None:
        return self.link.command("GET", self.keys.group(group_id))  # type: ignore[no-any-return]

    def delete_group(self, group_id: str) -> None:
        self.link.command("DEL", self.keys.group(group_id))

    def save_run(
        self,
        run: str,
        fields: Mapping[str, bytes],
        expires: int | None,
        created: float | None,
        listing: RunListing | None = None,
        start: ReadyChord | None = None,
    ) -> str:
        keys, words = self.keys, [word for item in fields.items() for word in item]
        entry = b"" if listing is None or created is None else pack(index_entry(listing, created))
        group = [start.group_id, start.callback] if start is not None else ["", ""]
        arguments = [run, expires or 0, entry, *group, *words]
        owner = self.link.call("save_run", [keys.run(run), keys.ready, keys.ready_since], arguments)
        return str(owner.decode())

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        return self.link.command("HMGET", self.keys.run(run), *names) if names else []

    def read_runs(self, runs: Sequence[str], names: Sequence[str]) -> list[list[bytes | None]]:
        return self.link.pipeline([("HMGET", self.keys.run(run), *names) for run in runs])

    def begin_attempt(self, run: str, new: NewAttempt) -> bool:
        keys, words = self.keys, [word for item in new.fields.items() for word in item]
        group = [new.start.group_id, new.start.callback] if new.start is not None else ["", ""]
        arguments = [str(new.before), *group, new.expires or 0, new.state, new.call, new.unless, *words]
        script_keys = [keys.run(run), keys.ready, keys.ready_since, *self._record_keys(run)]
        return bool(self.link.call("begin_attempt", script_keys, arguments))

    def mark_attempt(self, run: str, attempt: int, fields: Mapping[str, bytes]) -> bool:
        words = [word for item in fields.items() for word in item]
        return bool(self.link.call("mark_attempt", [self.keys.run(run)], [attempt, *words]))

    def expire_run(
        self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int,
        latest: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        if latest is not None:
            self._expire_attempt(run, seconds, task_ids, record_seconds, latest)
            return
        commands = [_expiry(self.keys.run(run), seconds), *self._record_expiries(task_ids, record_seconds)]
        if not seconds:
            self.link.pipeline(commands)
            return
        checks, runs, when = f"{self.keys.runs}:until", f"{self.keys.runs}:listed", time.time() + seconds
        asked = [("ZADD", checks, "XX", when, run), ("ZSCORE", checks, run), ("HEXISTS", runs, run), ("TTL", runs)]
        *_, checked, listed, left = self.link.pipeline([*commands, *asked])
        if listed and checked is None:  # it is not listed as one that has ended
            lasts = [("EXPIRE", checks, left)] if left >= 0 else []
            self.link.pipeline([("ZADD", checks, when, run), *lasts])

    def _expire_attempt(
        self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int, latest: tuple[str, int]
    ) -> None:
        keys = self.keys
        records = [key for task_id in task_ids for key in self._record_keys(task_id)]
        of_runs = [keys.run(latest[0]), keys.run(run), f"{keys.runs}:until"]
        arguments = [latest[1], seconds, record_seconds, run, time.time() + seconds]
        self.link.call("expire_run", [*of_runs, *records], arguments)

    def expire_records(self, task_ids: Sequence[str], seconds: int) -> None:
        """Let those of these records that exist expire after ``seconds``; 0: never."""
        self.link.pipeline(self._record_expiries(task_ids, seconds))

    def _record_expiries(self, task_ids: Sequence[str], seconds: int) -> list[tuple[Any, ...]]:
        return [_expiry(key, seconds) for task_id in task_ids for key in self._record_keys(task_id)]

    def _record_keys(self, task_id: str) -> tuple[str, str]:
        key = self.keys.task(task_id)
        return key, f"{key}:success"

    def read_mail(self, run: str) -> dict[str, list[bytes]]:
        # The chunks of the run are in the same hash, and may be large.
        fields: dict[bytes, bytes] = {}
        cursor: Any = 0
        while True:
            cursor, found = self.link.command("HSCAN", self.keys.run(run), cursor, "MATCH", "@v*", "COUNT", 1_000)
            fields.update(zip(found[::2], found[1::2], strict=True))
            if int(cursor) == 0:
                return mail_in(fields)

    def took_mail(self, run: str, mailbox: str, id: str) -> bool:
        return bool(self.link.command("HEXISTS", self.keys.run(run), f"@i{id}\0{mailbox}"))

    def find_runs(self, query: RunQuery) -> list[FoundRun]:
        return self._index.find(query)

    def run_of_key(self, name: str, key: str) -> str | None:
        return self._index.run_of_key(name, key)

    def count_runs(self, query: RunQuery) -> int:
        return self._index.count(query)

    def waiting_runs(self, seconds: float, cursor: str = "") -> tuple[list[str], str]:
        return self._index.waiting_runs(seconds, cursor)

    def list_run_as(self, run: str, state: str, before: str) -> None:
        self.link.call("list_run_as", [self.keys.run(run)], [state, before])

    def start_chords(self, chord_starts: Sequence[ChordStart], extensions: Sequence[ChordExtension] = ()) -> None:
        self.record(Records(chord_starts=chord_starts, extensions=extensions))

    def record(self, records: Records) -> list[ReadyChord]:
        """Records, parts and chord starts in one atomic call; the chords that became ready. Raises RefusedError."""
        packed = pack(self.packing.recorded(records))
        keys = [self.keys.ready, self.keys.ready_since, self.keys.alive]
        found = accepted(self.link.call("store_results", keys, [packed]))
        return [ready_of(one) for one in found]

    def readiness(self, group_id: str) -> str | None:
        since = self.link.command("ZSCORE", self.keys.ready_since, group_id)
        return None if since is None else repr(float(since))

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        """See ``ChordStore``."""
        keys = self.keys
        script_keys = [keys.ready, keys.ready_since, keys.group(group_id), keys.alive]
        self.link.call("delete_chord", script_keys, [group_id, "1" if failed else "0", expires])

    def renew(self, every: float) -> int:
        """As the settler's."""
        return renewed(self.link, self.keys.alive, "0", "0", every)

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        """See ``ChordStore``."""
        keys = self.keys
        waiting, unsized = self.link.pipeline([("ZCARD", keys.ready_since), ("ZCARD", keys.unsized_index)])
        if not waiting and not unsized:
            return []
        now = self.link.time()
        if unsized:
            self.link.call("unsized", [keys.ready, keys.ready_since], [keys.group(""), now])
        limit = now - older_than
        groups = [g.decode() for g in self.link.command("ZRANGE", keys.ready_since, "-inf", limit, "BYSCORE")]
        return [ready for ready in map(self._ready, groups) if ready is not None]

    def _ready(self, group_id: str) -> ReadyChord | None:
        base = self.keys.group(group_id)
        listed = not self.keys.ordered and self.link.command("TYPE", f"{base}.j") == b"list"
        commands = [
            ("HGET", self.keys.ready, group_id),
            ("LRANGE" if listed else "ZRANGE", f"{base}.j", 0, -1),
            ("GET", base),
            ("GET", f"{base}.c"),
        ]
        callback, parts, structure, claim = self.link.pipeline(commands)
        return None if callback is None else ReadyChord(group_id, callback, parts, structure, claim == b"lost")

    def cleanup(self, seconds: float) -> int:
        return 0

    def close(self) -> None:
        self.link.close()


def renewed(link: RedisClient, alive: str, broker_db: str, result_db: str, every: float) -> int:
    """Renew the keys of the chords that a registry lists. Returns how many chords it checked."""
    first, looked, pause = 0, 0, max(1, int(every * 1000))
    seen, gone = _RENEWED_AT_ONCE, 0
    while seen == _RENEWED_AT_ONCE:
        words = [broker_db, result_db, first, _RENEWED_AT_ONCE, pause]
        seen, gone = map(int, link.call("renew", [alive, f"{alive}:round"], words))
        first, looked, pause = first + seen - gone, looked + seen, 0
    return looked


def _expiry(key: str, seconds: int) -> tuple[Any, ...]:
    return ("EXPIRE", key, seconds) if seconds else ("PERSIST", key)


def _set(key: str, value: Any, expires: int | None) -> tuple[Any, ...]:
    return ("SET", key, value, "EX", expires) if expires else ("SET", key, value)
