"""Records, chords and runs, each in the partition of its id."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from canvas.drivers.ports.chords import Records
from canvas.drivers.ports.runs import NewAttempt
from canvas.drivers.redis.keys import ResultKeys
from canvas.drivers.redis.partitions.partition import HashedLayout
from canvas.drivers.redis.partitions.record_sets import divided
from canvas.drivers.redis.partitions.run_starts import RunStarts
from canvas.drivers.redis.results.run_index import page_of_several
from canvas.drivers.redis.results.store import RedisResults
from canvas.drivers.redis.results.watch import Watching
from canvas.model.run_index import FoundRun, RunListing, RunQuery
from canvas.model.settlement import ChordExtension, ChordStart, ReadyChord, ResultWrite

T = TypeVar("T")
_RECORD = ResultKeys().task("")
_READ_AGAIN_EVERY = 5.0
"""Seconds after which a wait reads the records that it waits for: their announcements come through other nodes, which
may be cut off from each other."""


class SpreadKeys(ResultKeys):
    """The keys of records wherever they are."""

    def __init__(self, every: Sequence[RedisResults], layout: HashedLayout) -> None:
        super().__init__()
        self._every = every
        self._layout = layout

    def task(self, task_id: str) -> str:
        return self._every[self._layout.of_key(task_id)].keys.task(task_id)

    def task_id(self, key: str) -> str:
        return key.partition(_RECORD)[2]


class PartitionedResults:
    """The ResultStore, ChordStore and RunRecords of ``canvas.drivers.ports``."""

    serializer = None
    expires_records = True
    shared = True
    ended_by_celery = False

    def __init__(self, every: Sequence[RedisResults]) -> None:
        self._every = every
        self._layout = layout = HashedLayout(len(every))
        self._starts = RunStarts(self._of)
        watching = Watching(every[0].link, SpreadKeys(every, layout), self.get, self.aget, _READ_AGAIN_EVERY)
        self.watch = watching.watch
        self.awatch = watching.awatch

    def _of(self, some_id: str) -> RedisResults:
        return self._every[self._layout.of_key(some_id)]

    def _gathered(self, task_ids: Sequence[str], read: Callable[[RedisResults, list[str]], Sequence[T]]) -> list[T]:
        """The answers of all partitions, each for the ids that are in it, in the order of the ids."""
        found: dict[str, T] = {}
        for store, some in self._by_store(task_ids):
            found |= zip(some, read(store, some), strict=True)
        return [found[task_id] for task_id in task_ids]

    async def _agathered(
        self, task_ids: Sequence[str], read: Callable[[RedisResults, list[str]], Awaitable[Sequence[T]]]
    ) -> list[T]:
        found: dict[str, T] = {}
        for store, some in self._by_store(task_ids):
            found |= zip(some, await read(store, some), strict=True)
        return [found[task_id] for task_id in task_ids]

    def _by_store(self, task_ids: Iterable[str]) -> list[tuple[RedisResults, list[str]]]:
        by_number: dict[int, list[str]] = {}
        for task_id in task_ids:
            by_number.setdefault(self._layout.of_key(task_id), []).append(task_id)
        return [(self._every[number], some) for number, some in by_number.items()]

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        return self._gathered(task_ids, lambda store, some: store.get(some, retry))

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]:
        return await self._agathered(task_ids, lambda store, some: store.aget(some))

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return self._gathered(task_ids, lambda store, some: store.read_prefix(some, size))

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return await self._agathered(task_ids, lambda store, some: store.aread_prefix(some, size))

    def store(self, stores: Sequence[ResultWrite]) -> None:
        self.record(Records(stores))

    def forget(self, task_ids: Sequence[str]) -> None:
        for store, some in self._by_store(task_ids):
            store.forget(some)

    @property
    def client(self) -> Any:
        """redis-py's client of the servers."""
        return self._every[0].client

    def get_value(self, key: str) -> bytes | None:
        """A value of another program, by its key."""
        return self._of(key).get_value(key)

    def set_value(self, key: str, value: bytes, seconds: int | None) -> None:
        """Keep a value of another program."""
        self._of(key).set_value(key, value, seconds)

    def delete_value(self, key: str) -> None:
        """Delete a value of another program."""
        self._of(key).delete_value(key)

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        self._of(group_id).save_group(group_id, payload, expires)

    def get_group(self, group_id: str) -> bytes | None:
        return self._of(group_id).get_group(group_id)

    def delete_group(self, group_id: str) -> None:
        self._of(group_id).delete_group(group_id)

    def cleanup(self, seconds: float) -> int:
        return 0

    def close(self) -> None:
        self._every[0].link.close()

    def save_run(
        self, run: str, fields: Mapping[str, bytes], expires: int | None, created: float | None,
        listing: RunListing | None = None, start: ReadyChord | None = None,
    ) -> str:  # fmt: skip
        store = self._of(run)
        if listing is None or created is None or not listing.key:
            return store.save_run(run, fields, expires, created, listing, start)
        owner = self._starts.claim(listing.name, listing.key, run)
        if owner != run:
            return owner
        if start is not None and self._starts.is_kept(run):
            return run  # in a repeated call the chord of the start may have been dispatched already
        store.save_run(run, fields, expires, created, listing._replace(key=""), start)
        self._starts.confirm(listing.name, listing.key, run, expires)
        return run

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        return self._of(run).read_run(run, names)

    def read_runs(self, runs: Sequence[str], names: Sequence[str]) -> list[list[bytes | None]]:
        return self._gathered(runs, lambda store, some: store.read_runs(some, names))

    def begin_attempt(self, run: str, new: NewAttempt) -> bool:
        return self._of(run).begin_attempt(run, new)

    def mark_attempt(self, run: str, attempt: int, fields: Mapping[str, bytes]) -> bool:
        return self._of(run).mark_attempt(run, attempt, fields)

    def expire_run(
        self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int,
        latest: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        if latest is not None and self.read_run(latest[0], ["attempt"]) != [str(latest[1]).encode()]:
            return
        home, by_store = self._of(run), dict(self._by_store(task_ids))
        home.expire_run(run, seconds, by_store.pop(home, []), record_seconds)
        for store, some in by_store.items():
            store.expire_records(some, record_seconds)

    def read_mail(self, run: str) -> dict[str, list[bytes]]:
        return self._of(run).read_mail(run)

    def took_mail(self, run: str, mailbox: str, id: str) -> bool:
        return self._of(run).took_mail(run, mailbox, id)

    def find_runs(self, query: RunQuery) -> list[FoundRun]:
        found = [run for store in self._every for run in store.find_runs(query)]
        return sorted(found, key=lambda one: one.created, reverse=True)[: query.limit]

    def run_of_key(self, name: str, key: str) -> str | None:
        return self._starts.run_of(name, key)

    def count_runs(self, query: RunQuery) -> int:
        return sum(store.count_runs(query) for store in self._every)

    def waiting_runs(self, seconds: float, cursor: str = "") -> tuple[list[str], str]:
        return page_of_several(
            lambda place, inside: self._every[place].waiting_runs(seconds, inside), len(self._every), cursor
        )

    def list_run_as(self, run: str, state: str, before: str) -> None:
        self._of(run).list_run_as(run, state, before)

    def start_chords(self, chord_starts: Sequence[ChordStart], extensions: Sequence[ChordExtension] = ()) -> None:
        self.record(Records(chord_starts=chord_starts, extensions=extensions))

    def record(self, records: Records) -> list[ReadyChord]:
        """As ChordStore.record, atomic in each partition. A repeated call after an error completes the missing
        partitions."""
        sets = divided(self._layout.of_key, records)
        return [ready for number, one in sets for ready in self._every[number].record(one)]

    def readiness(self, group_id: str) -> str | None:
        return self._of(group_id).readiness(group_id)

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        self._of(group_id).delete_chord(group_id, failed, expires)

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        return [ready for store in self._every for ready in store.stale_ready_chords(older_than)]

    def renew(self, every: float) -> int:
        first = self._every[0]
        lock = (f"{first.keys.alive}:partitions", "1", "NX", "PX", max(1, int(every * 1000)))
        if not first.link.command("SET", *lock):
            return 0
        return sum(store.renew(every) for store in self._every)
