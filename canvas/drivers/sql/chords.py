"""Chords: their parts are rows, counted in the transaction that stores the records of their tasks.

A transaction that counts locks the chord's row first. The one that inserts the last part sets the state ``ready``, and
it alone returns the chord. A chord of a Celery client has no size here: its ``celery.chord_unlock`` ends it. Where
Celery's workers count chords in a table of their own, a ``SharedCounting`` keeps that table.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, delete, or_, select, update

from canvas.drivers.ports.chords import Records
from canvas.drivers.sql.chord_rows import AT_ONCE, DONE, FAILED, OPEN, READY, ChordRows, CountedChord, slices
from canvas.drivers.sql.dialects import read_clock, unix_time
from canvas.drivers.sql.mailboxes import SqlMailboxes
from canvas.drivers.sql.results import SqlResults
from canvas.drivers.sql.run_index import write_runs
from canvas.model.settlement import ChordExtension, ChordStart, Part, ReadyChord

_DONE_FOR = 300.0
"""Seconds for which late parts of a chord that has ended are still known to be late."""
_DAY = 86_400.0


class SharedCounting(Protocol):
    """The table in which Celery's workers count the same chords. It has the sizes of the chords that are in it.

    All methods but ``overdue`` run in the transaction of their caller.
    """

    def final_tasks(self, connection: Connection, records: Records) -> Collection[str]:
        """Called before ``records`` are written: the tasks of its parts that have a final record already."""
        ...

    def start(
        self, connection: Connection, starts: Sequence[ChordStart]
    ) -> tuple[Sequence[ChordStart], Collection[str]]:
        """Start chords. Returns those of ``starts`` that canvas counts in rows of its own, and the chords whose size is
        in this table."""
        ...

    def extend(self, connection: Connection, extensions: Sequence[ChordExtension]) -> None:
        """Chords wait for one part more."""
        ...

    def count(
        self, connection: Connection, chords: Mapping[str, CountedChord], parts: Sequence[Part], final: Collection[str]
    ) -> None:
        """Parts have been counted in canvas' own rows; ``final``: the result of ``final_tasks``."""
        ...

    def sized(self, chords: Table) -> ColumnElement[bool]:
        """The condition that a chord is in this table."""
        ...

    def delete_lost(self, connection: Connection) -> None:
        """Chords have become ready because parts are lost: Celery's workers do not end them any more."""
        ...

    def overdue(self) -> list[ReadyChord]:
        """Look at chords that have had no part for some time. Returns those that are ready."""
        ...


class SqlChords:
    """The ChordStore of ``canvas.drivers.ports``."""

    def __init__(self, results: SqlResults, shared: SharedCounting | None = None) -> None:
        self.ended_by_celery = shared is not None
        self._shared = shared
        self._rows = ChordRows(results)
        self._database = results.database
        self._results = results
        self._state = results.tables.state
        self._chords = self._state.chords
        self._parts = self._state.parts
        self._mailboxes = SqlMailboxes(self._state)

    def start_chords(self, chord_starts: Sequence[ChordStart], extensions: Sequence[ChordExtension] = ()) -> None:
        self.record(Records(chord_starts=chord_starts, extensions=extensions))

    def record(self, records: Records) -> list[ReadyChord]:
        reads_first = any(one.run_state for one in records.stores)
        call = self._database.change if reads_first else self._database.call
        return call(lambda connection: self.write(connection, records))

    def write(self, connection: Connection, records: Records) -> list[ReadyChord]:
        """Like ``record``, in a transaction of the caller's."""
        stores, parts, chord_starts, extensions, keeps, mail, runs = records
        write_runs(connection, self._state, runs)
        final = self._shared.final_tasks(connection, records) if self._shared is not None else ()
        self._results.writer(stores)(connection)
        found = [*parts, *self._mailboxes.apply(connection, mail)]
        counted = {one.group_id for some in (extensions, found, chord_starts) for one in some}
        chords = self._rows.locked(connection, counted, {one.group_id for one in keeps})
        self._start(connection, chords, chord_starts)
        self._extend(connection, chords, extensions)
        for keep in keeps:
            chord = chords.get(keep.group_id)
            if chord is not None and (self._shared is not None or chord.row["size"] is not None):
                chord.live(keep.seconds)
        new = self._count(connection, chords, found)
        if self._shared is not None:
            self._shared.count(connection, chords, new, final)
        return self._rows.save(connection, chords)

    def _start(self, connection: Connection, chords: Mapping[str, CountedChord], starts: Sequence[ChordStart]) -> None:
        starts, sized = self._shared.start(connection, starts) if self._shared is not None else (starts, ())
        for start in starts:
            if chords[start.group_id].start(start):
                connection.execute(delete(self._parts).where(self._parts.c.group_id == start.group_id))
            if start.structure:
                self._results.write_group(connection, start.group_id, start.structure)
        for group_id in sized:
            chords[group_id].row["size"] = None

    def _extend(
        self, connection: Connection, chords: Mapping[str, CountedChord], extensions: Sequence[ChordExtension]
    ) -> None:
        """Let chords wait for one part more. Each extension is a row among the parts, with the number 0: it counts
        once."""
        found = {(one.group_id, f"extension:{one.member}"): one for one in extensions}
        new = sorted(found.keys() - self._known(connection, found.keys()))
        for group_id, _ in new:
            chords[group_id].row["extra"] += 1
            chords[group_id].live(_DAY)
        if new:
            none: dict[str, Any] = {"position": None, "number": 0, "value": b""}
            rows = [{"group_id": group_id, "member": member, **none} for group_id, member in new]
            connection.execute(self._parts.insert(), rows)
        if self._shared is not None:
            self._shared.extend(connection, [found[one] for one in new])

    def _known(self, connection: Connection, members: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """The pairs of group and member, among these, that are counted already."""
        table, found = self._parts, set[tuple[str, str]]()
        for some in slices(sorted(members)):
            known = select(table.c.group_id, table.c.member).where(
                table.c.group_id.in_({group_id for group_id, _ in some}),
                table.c.member.in_({member for _, member in some}),
            )
            found.update((group_id, member) for group_id, member in connection.execute(known))
        return found

    def _count(self, connection: Connection, chords: Mapping[str, CountedChord], parts: Sequence[Part]) -> list[Part]:
        """Count parts. Returns those that are new."""
        for group_id, member in self._known(
            connection, {(one.group_id, f"{one.task_id}:{one.position}") for one in parts}
        ):
            chords[group_id].members.add(member)
        counted = [(part, chords[part.group_id].count(part)) for part in parts]
        rows = [row for _, row in counted if row is not None]
        if rows:
            connection.execute(self._parts.insert(), rows)
        return [part for part, row in counted if row is not None]

    def readiness(self, group_id: str) -> str | None:
        chords = self._chords
        query = select(chords.c.ready_since).where(chords.c.group_id == group_id, chords.c.state == READY)
        since = self._database.call(lambda connection: connection.execute(query).scalar())
        return None if since is None else repr(since)

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        self._database.call(lambda connection: self.end(connection, group_id, failed, expires))

    def end(self, connection: Connection, group_id: str, failed: bool, expires: int) -> bool:
        """Like ``delete_chord``, in a transaction of the caller's. Returns whether the chord was ready."""
        chords, parts = self._chords, self._parts
        now = read_clock(connection)
        values: dict[str, Any] = {"state": FAILED if failed else DONE, "size": None, "ready_since": None}
        if not failed:
            values |= {"extra": 0, "counted": 0, "callback": None, "expires_at": now + _DONE_FOR}
        elif expires:
            values |= {"expires_at": now + expires}
        ended = update(chords).where(chords.c.group_id == group_id, chords.c.state == READY).values(values)
        if not connection.execute(ended).rowcount:
            return False
        if not failed:
            connection.execute(delete(parts).where(parts.c.group_id == group_id))
        return True

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        chords = self._chords

        def work(connection: Connection) -> list[ReadyChord]:
            until = unix_time(connection) - older_than
            query = select(chords).where(chords.c.ready_since <= until, chords.c.state == READY)
            rows = connection.execute(query.order_by(chords.c.ready_since).limit(AT_ONCE)).mappings().all()
            return self._rows.ready(connection, map(dict, rows))

        found = self._database.call(work)
        return found + self._shared.overdue() if self._shared is not None else found

    def renew(self, every: float) -> int:
        """Delete the chords and runs that have expired. Returns how many. Chords that have parts and are not complete
        become ready, to end in failure. Nothing shortens the others here."""
        return self._database.call(self._delete_expired)

    def _delete_expired(self, connection: Connection) -> int:
        chords, state = self._chords, self._state
        now = read_clock(connection)
        over = and_(chords.c.expires_at <= now, chords.c.state != READY)
        sized: ColumnElement[bool] = chords.c.size.is_not(None)
        if self._shared is not None:
            sized = or_(sized, self._shared.sized(chords))
        lost = update(chords).where(over, chords.c.state == OPEN, sized, chords.c.counted > 0)
        found: int = connection.execute(lost.values(state=READY, ready_since=now, lost=True)).rowcount
        found += _delete(connection, chords.c.group_id, over, self._parts)
        found += _delete(connection, state.runs.c.run, state.runs.c.expires_at <= now, *state.of_runs)
        if self._shared is not None:
            self._shared.delete_lost(connection)
        return found


def _delete(connection: Connection, key: Column[str], over: ColumnElement[bool], *children: Table) -> int:
    """Delete rows, and those of ``children`` with the same key. Returns how many."""
    ids = list(connection.execute(select(key).where(over).limit(AT_ONCE)).scalars())
    if not ids:
        return 0
    # A row that was renewed since the first read no longer fits the condition: it is not locked, and it is kept.
    locked = select(key).where(over, key.in_(ids)).order_by(key).with_for_update()
    ids = list(connection.execute(locked).scalars())
    for table in children:
        connection.execute(delete(table).where(table.c[key.name].in_(ids)))
    connection.execute(delete(key.table).where(key.in_(ids)))
    return len(ids)
