"""The data of records, groups, chords and runs in this process, under one lock."""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from canvas.drivers.memory.mailboxes import MemoryMailboxes
from canvas.drivers.memory.run_index import MemoryRunIndex
from canvas.drivers.ports.chords import Records
from canvas.model.settlement import ChordStart, MailboxStep, Part, ReadyChord, ResultWrite, RunWrite


class Kept(NamedTuple):
    payload: bytes
    until: float | None
    success: bool


class _Chord:
    """A chord: its size, its parts, and whether it is ready."""

    def __init__(self) -> None:
        self.size: int | None = None
        self.extensions: set[str] = set()
        self.parts: dict[str, tuple[float, bytes]] = {}
        self.ready: tuple[bytes, float] | None = None
        self.done = False

    def values(self) -> list[bytes]:
        return [value for _, value in sorted(self.parts.values(), key=lambda part: part[0])]


class MemoryRecords:
    """Records by task id, chords by group id, runs by their id."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.runs: dict[str, dict[str, bytes]] = {}
        self.runs_until: dict[str, float] = {}
        """When runs expire; a run that is not here is kept."""
        self.run_index = MemoryRunIndex(self.run)
        self.records: dict[str, Kept] = {}
        self.groups: dict[str, Kept] = {}
        self.chords: dict[str, _Chord] = defaultdict(_Chord)
        self.mailboxes = MemoryMailboxes(self.part)
        self.watchers: dict[str, list[Callable[[str, bytes], None]]] = defaultdict(list)

    def keep(self, store: ResultWrite) -> None:
        old = self.record(store.task_id)
        late = store.run_state and int(self.run(store.task_id).get("attempt", b"0")) > store.run_attempt
        if late or (old is not None and old.success):
            return
        until = self.clock() + store.expires if store.expires else None
        self.records[store.task_id] = Kept(store.payload, until, store.success)
        for tell in list(self.watchers.get(store.task_id, ())):
            tell(store.task_id, store.payload)
        if store.run_state:
            self.run_index.set_state(store.task_id, store.run_state)

    def run(self, run: str) -> dict[str, bytes]:
        """The fields of a run; none of one that is not kept."""
        if self.runs_until.get(run, math.inf) <= self.clock():
            del self.runs[run], self.runs_until[run]
        return self.runs.get(run, {})

    def keep_run(self, run: str, expires: int | None) -> None:
        """Keep a run for ``expires`` seconds, or without an end."""
        self.runs_until.pop(run, None)
        if expires and run in self.runs:
            self.runs_until[run] = self.clock() + expires

    def write_run(self, write: RunWrite) -> None:
        """Keep a new run, unless it has begun another attempt."""
        if self.run(write.run).get("attempt", b"0") == b"0":
            self.runs.setdefault(write.run, {}).update(write.fields)
            self.keep_run(write.run, write.expires)

    def record(self, task_id: str) -> Kept | None:
        return alive(self.records, task_id, self.clock())

    def start_chord(self, start: ChordStart) -> None:
        chord = self.chords[start.group_id]
        chord.size, chord.done = start.size, False
        if start.structure:
            self.groups[start.group_id] = Kept(start.structure, None, True)

    def part(self, part: Part) -> ReadyChord | None:
        """Count a part. Returns the chord, when this was its last."""
        chord = self.chords[part.group_id]
        if chord.done:
            return None
        if part.size is not None:
            chord.size = part.size
        index = float("inf") if part.position is None else float(part.position)
        chord.parts.setdefault(f"{part.task_id}:{part.position}", (index, part.value))
        complete = chord.size is not None and len(chord.parts) == chord.size + len(chord.extensions)
        if not complete or chord.ready is not None:
            return None
        chord.ready = (part.callback, self.clock())
        return self.ready(part.group_id)

    def ready(self, group_id: str) -> ReadyChord:
        chord = self.chords[group_id]
        assert chord.ready is not None
        structure = self.groups.get(group_id)
        return ReadyChord(group_id, chord.ready[0], chord.values(), structure.payload if structure else None)

    def readiness(self, group_id: str) -> str | None:
        chord = self.chords.get(group_id)
        return repr(chord.ready[1]) if chord is not None and chord.ready is not None else None

    def finish(self, group_id: str, failed: bool) -> bool:
        """Delete a chord whose body is sent. Returns whether it was ready."""
        chord = self.chords[group_id]
        if chord.ready is None:
            return False
        chord.ready = None
        chord.size = None
        if not failed:
            chord.parts.clear()
            chord.extensions.clear()
            chord.done = True
        return True

    def _take_step(self, step: MailboxStep) -> ReadyChord | None:
        """Change a mailbox; a run that waits for a value is kept meanwhile."""
        until = self.clock() + step.lasting
        if step.kind == "take" and self.runs_until.get(step.run, math.inf) < until:
            self.runs_until[step.run] = until
        return self.mailboxes.apply(step)

    def record_all(self, records: Records) -> list[ReadyChord]:
        for write in records.runs:
            self.write_run(write)
        for store in records.stores:
            self.keep(store)
        for start in records.chord_starts:
            self.start_chord(start)
        for extension in records.extensions:
            self.chords[extension.group_id].extensions.add(extension.member)
        steps = (self._take_step(step) for step in records.mail if self.run(step.run))
        found = [*map(self.part, records.parts), *steps]
        return [ready for ready in found if ready is not None]


def alive(kept: dict[str, Kept], key: str, now: float) -> Kept | None:
    found = kept.get(key)
    if found is not None and found.until is not None and found.until <= now:
        del kept[key]
        return None
    return found
