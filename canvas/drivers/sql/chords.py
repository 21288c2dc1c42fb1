"""Chords: their parts are rows, counted in the transaction that stores the records of their tasks.

A transaction that counts locks the chord's row first. The one that inserts the last part sets the state ``ready``, and
it alone returns the chord. A chord of a Celery client has no size here: its ``celery.chord_unlock`` ends it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, bindparam, delete, select, update

from canvas.drivers.ports.chords import Records
from canvas.drivers.sql.dialects import read_clock, unix_time, upsert
from canvas.drivers.sql.mailboxes import SqlMailboxes
from canvas.drivers.sql.results import SqlResults
from canvas.drivers.sql.run_index import write_runs
from canvas.model.settlement import ChordExtension, ChordStart, Part, ReadyChord

OPEN, READY, _DONE, _FAILED = "open", "ready", "done", "failed"
_DONE_FOR = 300.0
"""Seconds for which late parts of a chord that has ended are still known to be late."""
_DAY = 86_400.0
_AT_ONCE = 500
"""Chords that one call of ``stale_ready_chords`` returns, and ids in one query."""


class CountedChord:
    """The row of one chord while a transaction has it locked."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.found = dict(row)
        self.now: float = self.found.pop("now")
        self.row = dict(self.found)
        self.members: set[str] = set()

    def live(self, seconds: float) -> None:
        """Keep the chord for ``seconds`` from now at least; 0: without an end."""
        kept = self.row["expires_at"]
        if seconds <= 0 or kept is None:
            self.row["expires_at"] = None
        else:
            self.row["expires_at"] = max(kept, self.now + seconds)

    def start(self, start: ChordStart) -> bool:
        """Set the size; whether parts of an earlier run of the chord have to be deleted."""
        again = self.row["state"] in (_DONE, _FAILED)
        if again or self.row["size"] is None:
            # The time in the row is that of an earlier run, or of parts that came first.
            self.row["expires_at"] = self.now
        if again:
            self.row |= {"state": OPEN, "extra": 0, "counted": 0, "callback": None}
            self.members.clear()
        self.row["size"] = start.size
        self.live(start.expires)
        return again

    def count(self, part: Part) -> dict[str, Any] | None:
        """The row of a part that is new; ``None`` for one that is counted already, or comes too late."""
        row, member = self.row, f"{part.task_id}:{part.position}"
        if row["state"] != OPEN:
            return None
        if part.size is not None:
            row["size"] = part.size
        self.live(part.expires)
        new = member not in self.members
        if new:
            self.members.add(member)
            row["counted"] += 1
            # The first part's callback ends the chord if it expires before it is complete.
            row["callback"] = row["callback"] or part.callback
        if row["size"] is not None and row["counted"] == row["size"] + row["extra"]:
            row |= {"state": READY, "ready_since": self.now, "callback": part.callback}
        if not new:
            return None
        return {
            "group_id": part.group_id, "member": member, "position": part.position, "number": row["counted"],
            "value": part.value,
        }  # fmt: skip


class SqlChords:
    """The ChordStore of ``canvas.drivers.ports``."""

    ended_by_celery = False

    def __init__(self, results: SqlResults) -> None:
        self._database = results.database
        self._results = results
        self._state = results.tables.state
        self._chords = self._state.chords
        self._parts = self._state.parts
        self._mailboxes = SqlMailboxes(self._state)

    def start_chords(self, joins: Sequence[ChordStart], extensions: Sequence[ChordExtension] = ()) -> None:
        self.record(Records(joins=joins, extensions=extensions))

    def record(self, records: Records) -> list[ReadyChord]:
        return self._database.call(lambda connection: self.write(connection, records))

    def write(self, connection: Connection, records: Records) -> list[ReadyChord]:
        """Like ``record``, in a transaction of the caller's."""
        stores, parts, joins, extensions, keeps, mail, runs = records
        write_runs(connection, self._state, runs)
        before = self._before(connection, records)
        self._results.writer(stores)(connection)
        found = [*parts, *self._mailboxes.apply(connection, mail)]
        counted = {one.group_id for some in (extensions, found, joins) for one in some}
        chords = self._locked(connection, counted, {one.group_id for one in keeps})
        self._start(connection, chords, joins, extensions)
        for keep in keeps:
            if keep.group_id in chords and self._is_known(chords[keep.group_id]):
                chords[keep.group_id].live(keep.seconds)
        new = self._count(connection, chords, found)
        self._count_elsewhere(connection, chords, new, before)
        return self._save(connection, chords)

    def _locked(self, connection: Connection, counted: set[str], kept: set[str]) -> dict[str, CountedChord]:
        """The chords, locked in the order of their ids; those in ``counted`` are made where there are none."""
        if not counted and not kept:
            return {}
        chords = self._chords
        if counted:
            new: dict[str, Any] = {"state": OPEN, "extra": 0, "counted": 0, "lost": False, "expires_at": 0.0}
            made = [{"group_id": group_id, **new} for group_id in sorted(counted)]
            connection.execute(upsert(connection, chords, ["group_id"], []), made)
        found: dict[str, CountedChord] = {}
        columns = select(chords, unix_time(connection).label("now")).order_by(chords.c.group_id).with_for_update()
        for ids in _slices(sorted(counted | kept)):
            rows = connection.execute(columns.where(chords.c.group_id.in_(ids))).mappings()
            found |= {row["group_id"]: CountedChord(dict(row)) for row in rows}
        return found

    def _start(
        self, connection: Connection, chords: Mapping[str, CountedChord], joins: Sequence[ChordStart],
        extensions: Sequence[ChordExtension],
    ) -> None:  # fmt: skip
        for start in joins:
            if chords[start.group_id].start(start):
                connection.execute(delete(self._parts).where(self._parts.c.group_id == start.group_id))
            if start.structure:
                self._results.write_group(connection, start.group_id, start.structure)
        self._extend(connection, chords, extensions)

    def _extend(
        self, connection: Connection, chords: Mapping[str, CountedChord], extensions: Sequence[ChordExtension]
    ) -> list[ChordExtension]:
        """Let chords wait for one part more; the extensions that are new. Each is a row among the parts, with the
        number 0: it counts once."""
        found = {(one.group_id, f"extension:{one.member}"): one for one in extensions}
        new = sorted(found.keys() - self._known(connection, found.keys()))
        for group_id, _ in new:
            chords[group_id].row["extra"] += 1
            chords[group_id].live(_DAY)
        if new:
            none: dict[str, Any] = {"position": None, "number": 0, "value": b""}
            rows = [{"group_id": group_id, "member": member, **none} for group_id, member in new]
            connection.execute(self._parts.insert(), rows)
        return [found[one] for one in new]

    def _known(self, connection: Connection, members: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these members of groups that are counted already."""
        table, found = self._parts, set[tuple[str, str]]()
        for some in _slices(sorted(members)):
            known = select(table.c.group_id, table.c.member).where(
                table.c.group_id.in_({group_id for group_id, _ in some}),
                table.c.member.in_({member for _, member in some}),
            )
            found.update((group_id, member) for group_id, member in connection.execute(known))
        return found

    def _count(self, connection: Connection, chords: Mapping[str, CountedChord], parts: Sequence[Part]) -> list[Part]:
        """Count parts; those that are new."""
        for group_id, member in self._known(
            connection, {(one.group_id, f"{one.task_id}:{one.position}") for one in parts}
        ):
            chords[group_id].members.add(member)
        counted = [(part, chords[part.group_id].count(part)) for part in parts]
        rows = [row for _, row in counted if row is not None]
        if rows:
            connection.execute(self._parts.insert(), rows)
        return [part for part, row in counted if row is not None]

    # -- for a store where Celery's workers count the same chords

    def _before(self, connection: Connection, records: Records) -> Collection[str]:
        """Called before records are written: the tasks of parts whose records are final already."""
        return ()

    def _count_elsewhere(
        self, connection: Connection, chords: Mapping[str, CountedChord], new: Sequence[Part], before: Collection[str]
    ) -> None:
        """Called with the parts that have been counted, and the result of ``_before``."""

    def _is_known(self, chord: CountedChord) -> bool:
        """Whether the size of a chord is known."""
        return chord.row["size"] is not None

    def _known_chords(self) -> ColumnElement[bool]:
        """The condition that the size of a chord is known."""
        return self._chords.c.size.is_not(None)

    def _save(self, connection: Connection, chords: dict[str, CountedChord]) -> list[ReadyChord]:
        """Write the rows that have changed; the chords that became ready."""
        changed = [one for one in chords.values() if one.row != one.found]
        if changed:
            table = self._chords
            names = [column.name for column in table.c if column.name != "group_id"]
            statement = update(table).where(table.c.group_id == bindparam("key"))
            statement = statement.values({name: bindparam(name) for name in names})
            rows = [
                {"key" if name == "group_id" else name: value for name, value in one.row.items()} for one in changed
            ]
            connection.execute(statement, rows)
        ready = [one.row for one in changed if one.row["state"] == READY != one.found["state"]]
        return self._ready(connection, ready)

    def _ready(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> list[ReadyChord]:
        parts = self._parts
        found = []
        for row in rows:
            query = select(parts.c.value).where(parts.c.group_id == row["group_id"], parts.c.number > 0)
            values = connection.execute(query.order_by(parts.c.position.is_(None), parts.c.position, parts.c.number))
            structure = self._results.read_group(connection, row["group_id"])
            found.append(
                ReadyChord(row["group_id"], row["callback"], list(values.scalars()), structure, bool(row["lost"]))
            )
        return found

    def readiness(self, group_id: str) -> str | None:
        chords = self._chords
        query = select(chords.c.ready_since).where(chords.c.group_id == group_id, chords.c.state == READY)
        since = self._database.call(lambda connection: connection.execute(query).scalar())
        return None if since is None else repr(since)

    def delete_chord(self, group_id: str, failed: bool, expires: int) -> None:
        self._database.call(lambda connection: self.end(connection, group_id, failed, expires))

    def end(self, connection: Connection, group_id: str, failed: bool, expires: int) -> bool:
        """Like ``delete_chord``, in a transaction of the caller's; whether the chord was ready."""
        chords, parts = self._chords, self._parts
        now = read_clock(connection)
        values: dict[str, Any] = {"state": _FAILED if failed else _DONE, "size": None, "ready_since": None}
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
            rows = connection.execute(query.order_by(chords.c.ready_since).limit(_AT_ONCE)).mappings().all()
            return self._ready(connection, map(dict, rows))

        return self._database.call(work)

    def renew(self, every: float) -> int:
        """Delete the chords and runs that have expired; how many. Chords that have parts and are not complete become
        ready, to end in failure. Nothing shortens the others here."""
        return self._database.call(self._delete_expired)

    def _delete_expired(self, connection: Connection) -> int:
        chords, state = self._chords, self._state
        now = read_clock(connection)
        over = and_(chords.c.expires_at <= now, chords.c.state != READY)
        lost = update(chords).where(over, chords.c.state == OPEN, self._known_chords(), chords.c.counted > 0)
        found: int = connection.execute(lost.values(state=READY, ready_since=now, lost=True)).rowcount
        found += _delete(connection, chords.c.group_id, over, self._parts)
        return found + _delete(connection, state.runs.c.run, state.runs.c.expires_at <= now, *state.of_runs)


def _delete(connection: Connection, key: Column[str], over: ColumnElement[bool], *children: Table) -> int:
    """Delete rows, and those of ``children`` with the same key; how many."""
    ids = list(connection.execute(select(key).where(over).limit(_AT_ONCE)).scalars())
    if not ids:
        return 0
    # One that has been renewed since then is locked by nothing and kept.
    locked = select(key).where(over, key.in_(ids)).order_by(key).with_for_update()
    ids = list(connection.execute(locked).scalars())
    for table in children:
        connection.execute(delete(table).where(table.c[key.name].in_(ids)))
    connection.execute(delete(key.table).where(key.in_(ids)))
    return len(ids)


def _slices(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[first : first + _AT_ONCE] for first in range(0, len(items), _AT_ONCE))
