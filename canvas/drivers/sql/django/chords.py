"""Chords of a Django project: Celery's workers count them in ``ChordCounter``, and so does canvas.

A member that a canvas worker runs is counted in the transaction that stores its record: once, because its part is a row
of canvas' own. Celery's worker that counts the last member ends the chord by the records; canvas' ends it by the parts,
which it completes by the records of the members that Celery ran. In both cases the counter is deleted, so that the
other kind of worker does not end the chord again.

A member whose record was final before canvas counted it ran on a Celery worker that may have died before, or after, it
decremented the counter. It is not counted a second time: too low a counter would let Celery give up the chord. So a
chord that gets no further part is read repeatedly: it may have all its records by then. A read covers the records of
the members that are not counted, so the chords with few of these are read more often.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Table, case, select

from canvas.drivers.ports.chords import Records
from canvas.drivers.sql.chord_rows import OPEN, READY, ChordRows, CountedChord
from canvas.drivers.sql.dialects import read_clock, unix_time
from canvas.drivers.sql.django.counters import ChordCounters, Counter
from canvas.drivers.sql.results import SqlResults
from canvas.model.settlement import ChordExtension, ChordStart, Part, ReadyChord

_WAITING_FOR = 60.0
"""Seconds without a further part, or since the last read, after which the records of any chord are read."""
_PER_MEMBER = 3.0
"""Seconds after which they are read, for each member that is not counted, where that is sooner."""
_AT_ONCE = 100
"""Chords that one read decides on at most."""


class DjangoCounting:
    """The SharedCounting of the package's own backend."""

    def __init__(self, results: SqlResults, counters: ChordCounters) -> None:
        self._results = results
        self._rows = ChordRows(results)
        self._counters = counters

    def final_tasks(self, connection: Connection, records: Records) -> Collection[str]:
        groups = {one.group_id for some in (records.parts, records.chord_starts, records.extensions) for one in some}
        counters = self._counters.lock(connection, groups)
        return self._counters.ended(connection, {one.task_id for one in records.parts if one.group_id in counters})

    def start(
        self, connection: Connection, starts: Sequence[ChordStart]
    ) -> tuple[Sequence[ChordStart], Collection[str]]:
        self._counters.start(connection, starts)
        counters = self._counters.lock(connection, {one.group_id for one in starts if one.structure})
        # The counter has the structure of a header without groups.
        left = [
            one._replace(structure=None) if one.group_id in counters and counters[one.group_id].flat else one
            for one in starts
        ]
        return left, counters.keys()

    def extend(self, connection: Connection, extensions: Sequence[ChordExtension]) -> None:
        counters = self._counters.lock(connection, {one.group_id for one in extensions})
        for one in extensions:
            if (counter := counters.get(one.group_id)) is not None:
                results = [*counter.results, [[one.task_id, None], None]]
                counters[one.group_id] = counter._replace(results=results, left=counter.left + 1)
        self._counters.save(connection, list(counters.values()))

    def count(
        self, connection: Connection, chords: Mapping[str, CountedChord], parts: Sequence[Part], final: Collection[str]
    ) -> None:
        by_chord: dict[str, list[Part]] = {}
        for part in parts:
            by_chord.setdefault(part.group_id, []).append(part)
        counters = self._counters.lock(connection, by_chord)
        decremented = [
            self._decremented(connection, chords[group_id], counter, by_chord[group_id], final)
            for group_id, counter in counters.items()
        ]
        self._counters.save(connection, [one for one in decremented if one is not None])

    def _decremented(
        self, connection: Connection, chord: CountedChord, counter: Counter, parts: Sequence[Part],
        final: Collection[str],
    ) -> Counter | None:  # fmt: skip
        """A counter without these members; ``None`` where they complete the chord."""
        sure = sum(part.task_id not in final for part in parts)
        counter = counter._replace(left=counter.left - sure)
        # In a row without a size it is the number of members whose counting is not certain.
        chord.row["extra"] += len(parts) - sure
        if counter.left <= chord.row["extra"]:
            missing = self._complete(connection, chord, counter)
            if not missing:
                chord.row["callback"] = parts[-1].callback
                return None
            counter = counter._replace(left=max(counter.left, missing))
        chord.row["ready_since"] = chord.now
        return counter

    def _complete(self, connection: Connection, chord: CountedChord, counter: Counter) -> int:
        """Make a chord ready if all members of its header have ended; else the number of those that have not."""
        parts = self._rows.parts
        counted = select(parts.c.member).where(parts.c.group_id == counter.group_id, parts.c.number > 0)
        known = {member.rpartition(":")[0] for member in connection.execute(counted).scalars()}
        others = [one for one in counter.members if one.task_id not in known]
        values = self._counters.values(connection, others)
        if len(values) < len(others):
            return len(others) - len(values)
        if values:
            rows = [
                {
                    "group_id": counter.group_id, "member": f"{one.task_id}:{one.position}", "position": one.position,
                    "number": chord.row["counted"] + number, "value": value,
                }
                for number, (one, value) in enumerate(values.items(), 1)
            ]  # fmt: skip
            connection.execute(parts.insert(), rows)
        if not counter.flat:
            self._results.write_group(connection, counter.group_id, self._counters.group(counter))
        self._counters.delete(connection, [counter.group_id])
        chord.row |= {"state": READY, "ready_since": chord.now, "counted": chord.row["counted"] + len(values)}
        return 0

    def sized(self, chords: Table) -> ColumnElement[bool]:
        return chords.c.group_id.in_(select(self._counters.table.c.group_id))

    def delete_lost(self, connection: Connection) -> None:
        chords = self._rows.chords
        lost = select(chords.c.group_id).where(chords.c.lost)
        self._counters.delete(connection, set(connection.execute(lost).scalars()))

    def overdue(self) -> list[ReadyChord]:
        return self._results.database.change(self._decide)

    def _decide(self, connection: Connection) -> list[ReadyChord]:
        """Read the records of chords that have had no part for long. Returns the chords that are ready."""
        chords, left = self._rows.chords, self._counters.table
        few = (left.c.count > 0) & (left.c.count < _WAITING_FOR / _PER_MEMBER)
        pause = case((few, left.c.count * _PER_MEMBER), else_=_WAITING_FOR)
        query = select(chords.c.group_id).outerjoin(left, left.c.group_id == chords.c.group_id)
        query = query.where(chords.c.ready_since <= unix_time(connection) - pause, chords.c.state == OPEN)
        waiting = set(connection.execute(query.order_by(chords.c.ready_since).limit(_AT_ONCE)).scalars())
        counters = self._counters.lock(connection, waiting)
        found = self._rows.locked(connection, set(), waiting)
        now = read_clock(connection) if found else 0.0
        for group_id, chord in found.items():
            if chord.row["state"] == OPEN:
                chord.row["ready_since"] = now if group_id in counters else None
                if group_id in counters:
                    self._complete(connection, chord, counters[group_id])
        return self._rows.save(connection, found)
