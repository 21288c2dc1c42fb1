"""The rows of chords, and of their parts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from canvas.drivers.sql.dialects import unix_time, upsert
from canvas.drivers.sql.results import SqlResults
from canvas.model.settlement import ChordStart, Part, ReadyChord

OPEN, READY, DONE, FAILED = "open", "ready", "done", "failed"
AT_ONCE = 500
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
        """Set the size. Returns whether parts of an earlier run of the chord have to be deleted."""
        again = self.row["state"] in (DONE, FAILED)
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


class ChordRows:
    """Reads, locks and writes them, in transactions of the caller's."""

    def __init__(self, results: SqlResults) -> None:
        self.results = results
        self.chords = results.tables.state.chords
        self.parts = results.tables.state.parts

    def locked(self, connection: Connection, counted: set[str], kept: set[str]) -> dict[str, CountedChord]:
        """The chords, locked in the order of their ids; those in ``counted`` are made where there are none."""
        if not counted and not kept:
            return {}
        chords = self.chords
        if counted:
            new: dict[str, Any] = {"state": OPEN, "extra": 0, "counted": 0, "lost": False, "expires_at": 0.0}
            made = [{"group_id": group_id, **new} for group_id in sorted(counted)]
            connection.execute(upsert(connection, chords, ["group_id"], []), made)
        found: dict[str, CountedChord] = {}
        columns = select(chords, unix_time(connection).label("now")).order_by(chords.c.group_id).with_for_update()
        for ids in slices(sorted(counted | kept)):
            rows = connection.execute(columns.where(chords.c.group_id.in_(ids))).mappings()
            found |= {row["group_id"]: CountedChord(dict(row)) for row in rows}
        return found

    def save(self, connection: Connection, chords: dict[str, CountedChord]) -> list[ReadyChord]:
        """Write the rows that have changed. Returns the chords that became ready."""
        changed = [one for one in chords.values() if one.row != one.found]
        if changed:
            table = self.chords
            names = [column.name for column in table.c if column.name != "group_id"]
            statement = update(table).where(table.c.group_id == bindparam("key"))
            statement = statement.values({name: bindparam(name) for name in names})
            rows = [
                {"key" if name == "group_id" else name: value for name, value in one.row.items()} for one in changed
            ]
            connection.execute(statement, rows)
        ready = [one.row for one in changed if one.row["state"] == READY != one.found["state"]]
        return self.ready(connection, ready)

    def ready(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> list[ReadyChord]:
        """The chords of these rows, with their parts."""
        parts = self.parts
        found = []
        for row in rows:
            query = select(parts.c.value).where(parts.c.group_id == row["group_id"], parts.c.number > 0)
            values = connection.execute(query.order_by(parts.c.position.is_(None), parts.c.position, parts.c.number))
            structure = self.results.read_group(connection, row["group_id"])
            found.append(
                ReadyChord(row["group_id"], row["callback"], list(values.scalars()), structure, bool(row["lost"]))
            )
        return found


def slices(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """These items, in as many as go into one query."""
    return (items[first : first + AT_ONCE] for first in range(0, len(items), AT_ONCE))
