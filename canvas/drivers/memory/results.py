"""Records, groups, chords and runs in this process."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from queue import Empty, SimpleQueue

from canvas.drivers.async_watch import AsyncQueueWatch
from canvas.drivers.memory.records import Kept, MemoryRecords, alive
from canvas.drivers.ports.chords import Records
from canvas.drivers.ports.runs import NewAttempt
from canvas.model.run_index import FoundRun, RunListing, RunQuery
from canvas.model.settlement import ChordExtension, ChordStart, ReadyChord, ResultWrite


class MemoryWatch:
    """A watch of one thread."""

    def __init__(self) -> None:
        self.found: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._dropped: set[str] = set()

    def next(self, timeout: float | None) -> tuple[str, bytes] | None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                found = self.found.get(timeout=left)
            except Empty:
                return None
            if found[0] not in self._dropped:
                return found

    def drop(self, task_id: str) -> None:
        self._dropped.add(task_id)


class MemoryResults:
    """ResultStore, ChordStore and RunRecords over :class:`MemoryRecords`."""

    serializer = None
    expires_records = True
    shared = True
    ended_by_celery = False

    def __init__(self, memory: MemoryRecords) -> None:
        self._memory = memory

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        with self._memory.lock:
            found = [self._memory.record(task_id) for task_id in task_ids]
        return [kept.payload if kept is not None else None for kept in found]

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]:
        return self.get(task_ids)

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return [(payload or b"")[:size] for payload in self.get(task_ids)]

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return self.read_prefix(task_ids, size)

    def store(self, stores: Sequence[ResultWrite]) -> None:
        self.record(Records(stores))

    def forget(self, task_ids: Sequence[str]) -> None:
        with self._memory.lock:
            for task_id in task_ids:
                self._memory.records.pop(task_id, None)

    @contextmanager
    def watch(self, task_ids: Iterable[str]) -> Iterator[MemoryWatch]:
        watch = MemoryWatch()
        with self._listening(list(task_ids), lambda task_id, payload: watch.found.put((task_id, payload))):
            yield watch

    @asynccontextmanager
    async def awatch(self, task_ids: Iterable[str]) -> AsyncIterator[AsyncQueueWatch]:
        queue, loop = asyncio.Queue[tuple[str, bytes] | Exception | None](), asyncio.get_running_loop()

        def announce(task_id: str, payload: bytes) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, (task_id, payload))

        with self._listening(list(task_ids), announce):
            loop.call_soon(queue.put_nowait, None)
            yield AsyncQueueWatch(queue)

    @contextmanager
    def _listening(self, task_ids: list[str], announce: Callable[[str, bytes], None]) -> Iterator[None]:
        memory = self._memory
        with memory.lock:
            for task_id in task_ids:
                memory.watchers[task_id].append(announce)
                kept = memory.record(task_id)
                if kept is not None:
                    announce(task_id, kept.payload)
        try:
            yield
        finally:
            with memory.lock:
                for task_id in task_ids:
                    memory.watchers[task_id].remove(announce)
                    if not memory.watchers[task_id]:
                        del memory.watchers[task_id]

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        until = self._memory.clock() + expires if expires else None
        self._memory.groups[group_id] = Kept(payload, until, True)

    def get_group(self, group_id: str) -> bytes | None:
        kept = alive(self._memory.groups, group_id, self._memory.clock())
        return kept.payload if kept is not None else None

    def delete_group(self, group_id: str) -> None:
        self._memory.groups.pop(group_id, None)

    def save_run(
        self,
        run: str,
        fields: Mapping[str, bytes],
        expires: int | None,
        created: float | None,
        listing: RunListing | None = None,
        start: ReadyChord | None = None,
    ) -> str:
        memory = self._memory
        with memory.lock:
            index, new = memory.run_index, listing is not None and created is not None
            owner = index.run_of_key(listing.name, listing.key) if listing is not None else None
            if owner is not None and owner != run:
                return owner
            if memory.run(run) and start is not None:
                return run  # in a repeated call the chord of the start may have been dispatched already
            memory.runs.setdefault(run, {}).update(fields)
            if expires or new:
                memory.keep_run(run, expires)
            if listing is not None and created is not None:
                index.add(run, listing, created)
            else:
                index.set_state(run)
            self._make_ready(start)
            return run

    def _make_ready(self, start: ReadyChord | None) -> None:
        if start is not None:
            self._memory.chords[start.group_id].ready = (start.callback, self._memory.clock())

    def read_run(self, run: str, names: Sequence[str]) -> list[bytes | None]:
        with self._memory.lock:
            kept = self._memory.run(run)
            return [kept.get(name) for name in names]

    def read_runs(self, runs: Sequence[str], names: Sequence[str]) -> list[list[bytes | None]]:
        return [self.read_run(run, names) for run in runs]

    def begin_attempt(self, run: str, new: NewAttempt) -> bool:
        memory = self._memory
        with memory.lock:
            kept = memory.run(run)
            if kept.get("attempt") != str(new.before).encode():
                return bool(new.call) and kept.get("begun_by") == new.call.encode()
            if kept.get(new.unless) == str(new.before).encode():
                return False
            kept.update(new.fields, attempt=str(new.before + 1).encode(), begun_by=new.call.encode())
            memory.records.pop(run, None)
            memory.run_index.set_state(run, new.state)
            if new.expires:
                memory.keep_run(run, new.expires)
            self._make_ready(new.start)
            return True

    def mark_attempt(self, run: str, attempt: int, fields: Mapping[str, bytes]) -> bool:
        memory = self._memory
        with memory.lock:
            kept = memory.run(run)
            if kept.get("attempt") != str(attempt).encode():
                return False
            kept.update(fields)
            memory.run_index.set_state(run)
            return True

    def expire_run(
        self, run: str, seconds: int, task_ids: Sequence[str], record_seconds: int,
        latest: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        memory = self._memory
        with memory.lock:
            if latest is not None and memory.run(latest[0]).get("attempt") != str(latest[1]).encode():
                return
            memory.keep_run(run, seconds)
            until = memory.clock() + record_seconds if record_seconds else None
            for task_id in task_ids:
                kept = memory.record(task_id)
                if kept is not None:
                    memory.records[task_id] = kept._replace(until=until)

    def read_mail(self, run: str) -> dict[str, list[bytes]]:
        with self._memory.lock:
            return self._memory.mailboxes.values(run)

    def took_mail(self, run: str, mailbox: str, id: str) -> bool:
        with self._memory.lock:
            return self._memory.mailboxes.took(run, mailbox, id)

    def find_runs(self, query: RunQuery) -> list[FoundRun]:
        with self._memory.lock:
            return self._memory.run_index.find(query)[: query.limit]

    def run_of_key(self, name: str, key: str) -> str | None:
        with self._memory.lock:
            return self._memory.run_index.run_of_key(name, key)

    def count_runs(self, query: RunQuery) -> int:
        with self._memory.lock:
            return len(self._memory.run_index.find(query))

    def waiting_runs(self, seconds: float, cursor: str = "") -> tuple[list[str], str]:
        memory = self._memory
        with memory.lock:
            soon = memory.clock() + seconds
            found = [run for run in memory.mailboxes.waiting() if memory.run(run)]
            return [run for run in found if memory.runs_until.get(run, math.inf) < soon], ""

    def list_run_as(self, run: str, state: str, before: str) -> None:
        with self._memory.lock:
            self._memory.run_index.set_state(run, state, before)

    def start_chords(self, chord_starts: Sequence[ChordStart], extensions: Sequence[ChordExtension] = ()) -> None:
        self.record(Records(chord_starts=chord_starts, extensions=extensions))

    def record(self, records: Records) -> list[ReadyChord]:
        with self._memory.lock:
            return self._memory.record_all(records)

    def readiness(self, group_id: str) -> str | None:
        with self._memory.lock:
            return self._memory.readiness(group_id)

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        with self._memory.lock:
            self._memory.finish(group_id, failed)

    def renew(self, every: float) -> int:
        """Chords do not expire here."""
        return 0

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        memory = self._memory
        with memory.lock:
            limit = memory.clock() - older_than
            waiting = [g for g, chord in memory.chords.items() if chord.ready and chord.ready[1] <= limit]
            return [memory.ready(group_id) for group_id in waiting]

    def cleanup(self, seconds: float) -> int:
        return 0

    def close(self) -> None:
        """There is no connection to close."""
