"""Chords in Memcached, counted in Celery's own counters, so that workers of both kinds may run one header.

A worker counts its parts with ``incr``, which gives each a number, and keeps each under its number. Then it reads the
counter: of several workers, the last that has kept its parts finds all of them. A part of a Celery worker has a number
and no value; its value is the record of its task, whose id is in the saved group.

The worker whose part has the number that is the size of the chord ends it, as Celery's workers do. If there is no part
under that number, it may be a Celery worker's: the chord is then ended by canvas after a minute, unless its counter,
which Celery deletes at the end, is gone.

A number whose worker died before it kept the part stays empty. The task runs again, and its part gets another number:
the counter may be ahead of the parts, never behind them.
"""

import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgpack

from canvas.drivers.keyvalue.memcached import Memcached
from canvas.drivers.keyvalue.ready_chords import ReadyChords
from canvas.drivers.keyvalue.results import KeyValueResults
from canvas.drivers.keyvalue.values import KeyNames
from canvas.drivers.ports.chords import Records
from canvas.errors import DecodeError, RefusedError
from canvas.model import states
from canvas.model.settlement import ChordExtension, ChordStart, Keep, Part, ReadyChord
from canvas.wire import record as wire

_DAY = 86_400
_UNSURE_FOR = 60.0
"""Seconds for which a chord may have parts and no size, or a Celery worker may take to end it."""
_AT_ONCE = 500


class _Counted(NamedTuple):
    """A part as it is kept under its number."""

    task_id: str
    position: int | None
    value: bytes


class _State(NamedTuple):
    """The state of a chord besides its parts."""

    size: int | None
    extensions: Sequence[str]
    """Names of the additions to its header."""
    expires: int


class MemcachedChords:
    """The ChordStore of ``canvas.drivers.ports``."""

    ended_by_celery = True

    def __init__(self, values: Memcached, names: KeyNames, results: KeyValueResults, serializer: str) -> None:
        self._values = values
        self._names = names
        self._results = results
        self._serializer = serializer
        self._accept = frozenset({serializer})
        self._listed = ReadyChords(values, names)

    def start_chords(self, chord_starts: Sequence[ChordStart], extensions: Sequence[ChordExtension] = ()) -> None:
        values, names = self._values, self._names
        for start in chord_starts:
            state = msgpack.packb(_State(start.size, (), start.expires))
            again = self._listed.has_ended(start.group_id)
            values.set(names.own("chord", start.group_id), state, start.expires)
            if start.structure:
                values.set(names.group(start.group_id), start.structure, start.expires)
            if again:
                values.set(names.counter(start.group_id), b"0", start.expires)
                values.delete([self._listed.mark(start.group_id)])
            else:
                values.add(names.counter(start.group_id), b"0", start.expires)
        for extension in extensions:
            self._extend(extension)

    def _extend(self, extension: ChordExtension) -> None:
        group_id, member = extension.group_id, extension.member

        def one_more(known: bytes | None) -> bytes:
            state = _State(*msgpack.unpackb(known)) if known else _State(self._saved_size(group_id), (), _DAY)
            names = tuple(dict.fromkeys((*state.extensions, member)))
            return bytes(msgpack.packb(state._replace(extensions=names)))

        self._values.change(self._names.own("chord", group_id), one_more, None)

    def record(self, records: Records) -> list[ReadyChord]:
        if records.mail or records.runs:
            raise RefusedError("Memcached keeps no workflow runs: set result_backend to Redis or a database")
        self._results.store(records.stores)
        self.start_chords(records.chord_starts, records.extensions)
        for keep in records.keeps:
            self._keep(keep)
        by_chord: dict[str, list[Part]] = {}
        for part in records.parts:
            by_chord.setdefault(part.group_id, []).append(part)
        found = [self._count(group_id, some) for group_id, some in by_chord.items()]
        return [ready for ready in found if ready is not None]

    def _keep(self, keep: Keep) -> None:
        names, own = self._names, self._names.own("chord", keep.group_id)
        counter = self._counter(keep.group_id)
        if counter is None or own not in self._values.get([own]):
            return
        keys = [own, names.counter(keep.group_id), names.group(keep.group_id)]
        for key in (*keys, *self._slots(keep.group_id, counter)):
            self._values.touch(key, keep.seconds)

    def _count(self, group_id: str, parts: Sequence[Part]) -> ReadyChord | None:
        """Count the parts of one chord. Returns the chord, if it became ready."""
        values, key, done = self._values, self._names.own("chord", group_id), self._listed.mark(group_id)
        marks = {self._mark(group_id, part.task_id, part.position): part for part in parts}
        known = values.get([key, done, *marks])
        if done in known:
            return None
        state = self._state(known.get(key), parts, group_id)
        new = {mark: part for mark, part in marks.items() if mark not in known}
        if new:
            self._number(group_id, new, parts[-1].expires)
        if state.size is None:
            self._listed.add(group_id, "unsure", parts[-1].callback)
            return None
        return self._completed(group_id, state.size + len(state.extensions), parts[-1].callback)

    def _state(self, known: bytes | None, parts: Sequence[Part], group_id: str) -> _State:
        """The state of a chord. Its size may come with its parts, or be that of a Celery client's header."""
        if known is not None:
            return _State(*msgpack.unpackb(known))
        size = next((part.size for part in parts if part.size is not None), None)
        return _State(self._saved_size(group_id) if size is None else size, (), 0)

    def _mark(self, group_id: str, task_id: str, position: int | None) -> str:
        """The key that marks a part as counted. The id is hashed: it may be as long as a key may be."""
        return self._names.own("counted", f"{group_id}-{_short(f'{task_id}:{position}')}")

    def _number(self, group_id: str, new: Mapping[str, Part], expires: int) -> None:
        """Count parts, and keep each under its number."""
        values, key = self._values, self._names.counter(group_id)
        last = values.count(key, len(new))
        if last is None:
            values.add(key, b"0", expires)
            last = values.count(key, len(new)) or len(new)
        slots = self._slots(group_id, last)[-len(new) :]
        kept = {
            slot: msgpack.packb(_Counted(part.task_id, part.position, part.value))
            for slot, part in zip(slots, new.values(), strict=True)
        }
        values.set_all({**kept, **dict.fromkeys(new, b"1")}, expires)
        values.touch(key, expires)

    def _counter(self, group_id: str) -> int | None:
        key = self._names.counter(group_id)
        found = self._values.get([key]).get(key)
        return None if found is None else int(found)

    def _slots(self, group_id: str, count: int) -> list[str]:
        return [self._names.own("part", f"{group_id}-{number}") for number in range(1, count + 1)]

    def _saved_size(self, group_id: str) -> int | None:
        """The size of a Celery client's chord."""
        members = self._saved_members(self._results.get_group(group_id))
        return None if members is None else len(_leaves(members))

    def _saved_members(self, structure: bytes | None) -> list[Any] | None:
        if structure is None:
            return None
        try:
            saved = wire.decode_group(structure, serializer=self._serializer, accept=self._accept)
            return list(saved[1])
        except (DecodeError, TypeError, IndexError):
            return None

    def _completed(self, group_id: str, size: int, callback: bytes, sure: bool = False) -> ReadyChord | None:
        """The chord, if all of its parts are there and no other worker has listed it; ``sure``: no Celery worker is
        ending it."""
        counter = self._counter(group_id) or 0
        if counter < size:
            return None
        found = self._parts(group_id, counter, size)
        if len(found) < size:
            return None
        if not sure and not self._values.get(self._slots(group_id, size)[-1:]):
            self._listed.add(group_id, "unsure", callback)
            return None
        if not self._listed.add(group_id, "ready", callback):
            return None
        return self._ready(group_id, callback, found, False)

    def _parts(self, group_id: str, counter: int, size: int) -> list[_Counted]:
        """The parts that are there, in their order."""
        slots = self._slots(group_id, counter)
        kept: dict[str, bytes] = {}
        for first in range(0, len(slots), _AT_ONCE):
            kept |= self._values.get(slots[first : first + _AT_ONCE])
        counted = [_Counted(*msgpack.unpackb(kept[slot])) for slot in slots if slot in kept]
        parts = {(one.task_id, one.position): one for one in counted}
        if len(parts) < size:
            known = {one.task_id for one in counted}
            parts |= {(one.task_id, one.position): one for one in self._celerys_parts(group_id, known)}
        order = {key: number for number, key in enumerate(parts)}
        return sorted(
            parts.values(),
            key=lambda one: (one.position is None, one.position or 0, order[one.task_id, one.position]),
        )

    def _celerys_parts(self, group_id: str, known: Collection[str]) -> list[_Counted]:
        """The parts of tasks that have ended on Celery's workers."""
        members = self._saved_members(self._results.get_group(group_id)) or []
        ids = {task_id: at for at, task_id in enumerate(_leaves(members)) if task_id not in known}
        found = []
        for task_id, payload in zip(ids, self._results.get(list(ids)), strict=True):
            if payload is None:
                continue
            try:
                record = wire.decode(payload, serializer=self._serializer, accept=self._accept)
            except DecodeError:
                continue
            if record.status in states.READY_STATES:
                value = wire.encode_part(task_id, record.status, record.result, serializer=self._serializer)
                found.append(_Counted(task_id, ids[task_id], value))
        return found

    def _ready(self, group_id: str, callback: bytes, parts: Iterable[_Counted], lost: bool) -> ReadyChord:
        structure = self._results.get_group(group_id)
        members = self._saved_members(structure)
        flat = members is not None and all(one[1] is None for one in members)
        return ReadyChord(group_id, callback, [one.value for one in parts], None if flat else structure, lost)

    def readiness(self, group_id: str) -> str | None:
        listed = (one for one in self._listed.all() if one.group_id == group_id and one.kind != "unsure")
        return next((repr(one.since) for one in listed), None)

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        values, names = self._values, self._names
        if self.readiness(group_id) is None:
            return
        self._listed.end(group_id)
        counter = self._counter(group_id) or 0
        marks = [self._mark(group_id, one.task_id, one.position) for one in self._parts(group_id, counter, 0)]
        own = [names.own("chord", group_id), names.counter(group_id), names.group(group_id)]
        values.delete([*self._slots(group_id, counter), *marks, *own])

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        now = time.time()
        found = []
        for group_id, since, kind in self._listed.all():
            if kind != "unsure" and since <= now - older_than:
                parts = self._parts(group_id, self._counter(group_id) or 0, sys.maxsize)
                found.append(self._ready(group_id, self._listed.callback(group_id), parts, kind == "lost"))
            elif kind == "unsure" and since <= now - _UNSURE_FOR:
                self._decide(group_id)
        return found

    def _decide(self, group_id: str) -> None:
        """A chord that was unsure for long: it is ready, waits for more parts, is lost, or was ended by Celery."""
        callback, key = self._listed.callback(group_id), self._names.own("chord", group_id)
        state = self._state(self._values.get([key]).get(key), (), group_id)
        if self._counter(group_id) is None:
            self._listed.drop_unsure(group_id)
        elif state.size is None:
            self._listed.add(group_id, "lost", callback)
        elif self._completed(group_id, state.size + len(state.extensions), callback, sure=True) is None:
            self._listed.drop_unsure(group_id)

    def renew(self, every: float) -> int:
        """Nothing shortens the lives of chords here."""
        return 0


def _short(name: str) -> str:
    """A part of a key that is short enough for Memcached."""
    return blake2b(name.encode(), digest_size=12).hexdigest()


def _leaves(members: Iterable[Any]) -> list[str]:
    """The ids of the tasks in a saved group."""
    found: list[str] = []
    for (task_id, _), inner in members:
        found += [task_id] if inner is None else _leaves(inner)
    return found
