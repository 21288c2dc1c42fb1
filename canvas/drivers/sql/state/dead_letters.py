"""Dead letters in SQL, and how many messages are in no queue."""

from typing import Any

from sqlalchemy import Connection, delete, func, select

from canvas.drivers.ports.values import DeadLetter, InFlight
from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import read_clock
from canvas.drivers.sql.state.outboxes import SqlOutboxes
from canvas.drivers.sql.state.tables import MessageTables
from canvas.model.settlement import Settlement

_KEPT = 10_000
"""Dead letters of one queue."""


class SqlDeadLetters:
    """The MessageAdmin of ``canvas.drivers.ports``."""

    def __init__(self, database: Database, tables: MessageTables, outboxes: SqlOutboxes) -> None:
        self._database = database
        self._tables = tables
        self._letters = tables.dead_letters
        self._outboxes = outboxes

    def add(self, connection: Connection, settlement: Settlement) -> None:
        """Keep the message of a settlement, in a transaction of the caller's."""
        assert settlement.delivery is not None
        letters, queue = self._letters, settlement.delivery.queue
        reason = settlement.reason.encode("utf-8", "surrogatepass")
        row: dict[str, Any] = {"queue": queue, "payload": settlement.delivery.payload, "reason": reason}
        row["died_at"] = read_clock(connection)
        connection.execute(letters.insert(), row)
        oldest = select(letters.c.id).where(letters.c.queue == queue).order_by(letters.c.id.desc()).offset(_KEPT)
        beyond = connection.execute(oldest.limit(1)).scalar()
        if beyond is not None:
            connection.execute(delete(letters).where(letters.c.queue == queue, letters.c.id <= beyond))

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        letters = self._letters
        rows = select(letters).where(letters.c.queue == queue).order_by(letters.c.id)
        found = self._database.call(lambda connection: connection.execute(rows).all())
        return [
            DeadLetter(row.payload, row.reason.decode("utf-8", "surrogatepass"), queue, row.died_at, b"%d" % row.id)
            for row in found
        ]

    def dead_letter_count(self, queue: str) -> int:
        count = select(func.count()).select_from(self._letters).where(self._letters.c.queue == queue)
        return int(self._database.call(lambda connection: connection.execute(count).scalar_one()))

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        return self._take(letter, [])

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        return self._take(letter, [payload])

    def _take(self, letter: DeadLetter, payloads: list[bytes]) -> bool:
        """Delete a letter and send these messages; whether it was there."""
        was_there = False

        def work(connection: Connection) -> bool:
            nonlocal was_there
            if self._remove(connection, letter):
                was_there = True
                if payloads:
                    self._outboxes.add_to_all(connection, payloads)
            return was_there  # also where this is repeated because the answer to the commit was lost

        return self._database.change(work)

    def _remove(self, connection: Connection, letter: DeadLetter) -> bool:
        return bool(connection.execute(delete(self._letters).where(self._letters.c.id == int(letter.token))).rowcount)

    def in_flight(self) -> InFlight:
        leases, blocked = self._tables.leases, self._tables.blocked
        leased = select(func.count()).select_from(leases).where(leases.c.early_acked.is_(False))
        waiting = select(func.count()).select_from(blocked)

        def work(connection: Connection) -> InFlight:
            return InFlight(connection.execute(leased).scalar_one(), 0, connection.execute(waiting).scalar_one())

        return self._database.call(work)
