"""The data of an in-process store, under one lock."""

import re
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from canvas.drivers.memory.bus import MemoryInbox
from canvas.drivers.ports.values import Binding, DeadLetter
from canvas.drivers.priority import priority_of, step_of
from canvas.model.message import Publish
from canvas.model.settlement import ChordStart, Part, ReadyChord, ResultWrite, UniqueLock
from canvas.wire.task_message import losses, redelivered

Clock = Callable[[], float]


class Kept(NamedTuple):
    payload: bytes
    until: float | None
    success: bool


class _Chord:
    """A chord's parts and what it waits for."""

    def __init__(self) -> None:
        self.size: int | None = None
        self.extra = 0
        self.parts: dict[str, tuple[float, bytes]] = {}
        self.ready: tuple[bytes, float] | None = None
        self.done = False

    def values(self) -> list[bytes]:
        return [value for _, value in sorted(self.parts.values(), key=lambda part: part[0])]


class Memory:
    """The data, the lock, and the clock of one store."""

    def __init__(self, clock: Clock = time.time) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.queues: dict[tuple[str, int], deque[bytes]] = defaultdict(deque)
        self.bindings: dict[str, set[Binding]] = defaultdict(set)
        self.unacked: dict[str, tuple[str, bytes]] = {}
        self.begun: dict[str, tuple[str, bytes]] = {}
        self.orphaned: dict[str, tuple[float, str]] = {}
        self.started: set[str] = set()
        self.revoked: dict[str, float] = {}
        self.revision = 0
        self.inboxes: dict[tuple[str, str], list[MemoryInbox]] = defaultdict(list)
        self.workers: dict[str, float] = {}
        self.deferred: list[tuple[float, int, Publish]] = []
        self.dead: dict[str, list[DeadLetter]] = defaultdict(list)
        self.runs: dict[str, dict[str, bytes]] = {}
        self.records: dict[str, Kept] = {}
        self.groups: dict[str, Kept] = {}
        self.chords: dict[str, _Chord] = defaultdict(_Chord)
        self.fired: set[str] = set()
        self.watchers: dict[str, list[Callable[[str, bytes], None]]] = defaultdict(list)
        self.turns: dict[str, float] = {}
        self.places: dict[str, set[str]] = defaultdict(set)
        self.parked: dict[str, tuple[int, deque[tuple[str, bytes]]]] = {}
        self.locks: dict[str, tuple[str, float]] = {}
        self.numbers = count()
        self.interrupts = 0

    # -- messages

    def push(self, message: Publish) -> None:
        """Append a message to every queue it goes to."""
        step = step_of(message.priority)
        for queue in self.route(message):
            self.queues[queue, step].append(message.payload)
        self.changed.notify_all()

    def route(self, message: Publish) -> list[str]:
        if not message.exchange:
            return [message.routing_key]
        bound = sorted(b for b in self.bindings[message.exchange] if _matches(b, message.routing_key))
        return list(dict.fromkeys(binding.queue for binding in bound))

    def release(self, tag: str, *, mark: bool = False, count_delivery: bool = False) -> bool:
        """Return a lease to the head of its queue; whether it was held."""
        held = self.unacked.pop(tag, None) or self.begun.pop(tag, None)
        if held is None:
            return False
        queue, payload = held
        if mark:
            payload = redelivered(payload, **(losses(payload, tag in self.started) if count_delivery else {}))
        self._to_head(queue, payload)
        return True

    def _to_head(self, queue: str, payload: bytes) -> None:
        """The message is the next of its queue and priority."""
        self.queues[queue, step_of(priority_of(payload))].appendleft(payload)
        self.changed.notify_all()

    # -- turns

    def taken(self, key: str) -> int:
        """How many of a key's places are taken by messages that are still somebody's."""
        self.places[key] = {tag for tag in self.places[key] if tag in self.unacked or tag in self.begun}
        return len(self.places[key])

    def enqueue_blocked(self, key: str, many: int) -> int:
        """Give back up to so many messages that wait for a place."""
        given, (_, waiting) = 0, self.parked[key]
        while waiting and given < many:
            self._to_head(*waiting.popleft())
            given += 1
        if not waiting:
            del self.parked[key]
        return given

    def free(self, key: str, tag: str) -> None:
        """A place is free, and whoever waited longest may try."""
        self.places[key].discard(tag)
        left = self.taken(key)
        if key in self.parked:
            self.enqueue_blocked(key, self.parked[key][0] - left)

    def unlock(self, lock: UniqueLock) -> None:
        if self.locks.get(lock.key, ("", 0))[0] == lock.owner:
            del self.locks[lock.key]

    # -- records

    def keep(self, store: ResultWrite) -> None:
        old = self.record(store.task_id)
        if old is not None and old.success:
            return
        until = self.clock() + store.expires if store.expires else None
        self.records[store.task_id] = Kept(store.payload, until, store.success)
        for tell in list(self.watchers.get(store.task_id, ())):
            tell(store.task_id, store.payload)

    def record(self, task_id: str) -> Kept | None:
        return alive(self.records, task_id, self.clock())

    def join(self, join: ChordStart) -> None:
        chord = self.chords[join.group_id]
        chord.size, chord.done = join.size, False
        if join.structure:
            self.groups[join.group_id] = Kept(join.structure, None, True)

    def part(self, part: Part) -> ReadyChord | None:
        """Count a part; the chord, when this was its last."""
        chord = self.chords[part.group_id]
        if chord.done:
            return None
        if part.size is not None:
            chord.size = part.size
        index = float("inf") if part.position is None else float(part.position)
        chord.parts.setdefault(f"{part.task_id}:{part.position}", (index, part.value))
        complete = chord.size is not None and len(chord.parts) == chord.size + chord.extra
        if not complete or chord.ready is not None:
            return None
        chord.ready = (part.fire, self.clock())
        return self.ready(part.group_id)

    def ready(self, group_id: str) -> ReadyChord:
        chord = self.chords[group_id]
        assert chord.ready is not None
        structure = self.groups.get(group_id)
        return ReadyChord(group_id, chord.ready[0], chord.values(), structure.payload if structure else None)

    def is_ready(self, group_id: str) -> bool:
        chord = self.chords.get(group_id)
        return chord is not None and chord.ready is not None

    def finish(self, group_id: str, failed: bool) -> bool:
        """Forget a chord that has been fired; whether it was ready."""
        chord = self.chords[group_id]
        if chord.ready is None:
            return False
        chord.ready = None
        chord.size = None
        if not failed:
            chord.parts.clear()
            chord.done = True
        return True

    def record_all(
        self, stores: Sequence[ResultWrite], parts: Sequence[Part], joins: Sequence[ChordStart], grow: Sequence[str]
    ) -> list[ReadyChord]:
        for store in stores:
            self.keep(store)
        for join in joins:
            self.join(join)
        for group_id in grow:
            self.chords[group_id].extra += 1
        return [ready for ready in map(self.part, parts) if ready is not None]


def _matches(binding: Binding, routing_key: str) -> bool:
    if binding.type == "fanout":
        return True
    if binding.type != "topic":
        return binding.routing_key == routing_key
    words = {"*": r"[^\.]+", "#": r".*?"}
    pattern = r"\.".join(words.get(word, re.escape(word)) for word in binding.routing_key.split("."))
    return re.fullmatch(pattern, routing_key) is not None


def alive(kept: dict[str, Kept], key: str, now: float) -> Kept | None:
    found = kept.get(key)
    if found is not None and found.until is not None and found.until <= now:
        del kept[key]
        return None
    return found
