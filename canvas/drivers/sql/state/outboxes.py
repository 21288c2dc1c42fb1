"""Outboxes: messages on their way to the broker, by the worker that sends them; those of all workers under ``""``."""

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, select, update

from canvas.drivers.sql.state.tables import MessageTables
from canvas.model.message import Publish

OF_ALL = ""
"""The outbox of all workers."""


class SqlOutboxes:
    """Changes of outboxes, in transactions of the caller's."""

    def __init__(self, tables: MessageTables) -> None:
        self._outbox = tables.outbox

    def add(self, connection: Connection, publishes: Iterable[Publish]) -> None:
        """Append messages; the routing key of each names its outbox."""
        rows = [{"worker": one.routing_key, "payload": one.payload} for one in publishes]
        if rows:
            connection.execute(self._outbox.insert(), rows)

    def add_to_all(self, connection: Connection, entries: Iterable[bytes]) -> None:
        """Append messages to the outbox of all workers."""
        self.add(connection, (Publish("", OF_ALL, 0, entry) for entry in entries))

    def first(self, connection: Connection, worker: str, limit: int) -> list[bytes]:
        """The messages to be sent first."""
        outbox = self._outbox.c
        found = select(outbox.payload).where(outbox.worker == worker).order_by(outbox.id).limit(limit)
        return list(connection.execute(found).scalars())

    def delete(self, connection: Connection, ids: Sequence[int]) -> int:
        """Delete messages that the broker has, from whichever outbox they were moved to. Returns how many there
        were."""
        found: int = connection.execute(delete(self._outbox).where(self._outbox.c.id.in_(ids))).rowcount
        return found

    def claim(self, connection: Connection, worker: str, limit: int) -> list[bytes]:
        """Fill a worker's outbox up to ``limit`` from that of all workers. Returns its messages."""
        room = limit - len(self.first_ids(connection, worker, limit))
        ids = self.first_ids(connection, OF_ALL, room, skip_locked=True)
        connection.execute(update(self._outbox).where(self._outbox.c.id.in_(ids)).values(worker=worker))
        return self.first(connection, worker, limit)

    def first_ids(self, connection: Connection, worker: str, limit: int, skip_locked: bool = False) -> Sequence[int]:
        """The rows of the messages to be sent first, locked; ``skip_locked``: without those that another process has
        locked."""
        outbox = self._outbox.c
        found = select(outbox.id).where(outbox.worker == worker).order_by(outbox.id).limit(limit)
        return connection.execute(found.with_for_update(skip_locked=skip_locked)).scalars().all()

    def release(self, connection: Connection, worker: str) -> int:
        """Move the messages of a worker's outbox to that of all workers. Returns how many."""
        moved = update(self._outbox).where(self._outbox.c.worker == worker).values(worker=OF_ALL)
        found: int = connection.execute(moved).rowcount
        return found

    def any_of_unknown(self, connection: Connection, workers: Table) -> bool:
        """Whether an outbox has messages whose worker is not in the table of workers."""
        found = select(self._outbox.c.id).where(self._of_unknown(workers)).limit(1)
        return connection.execute(found).first() is not None

    def release_unknown(self, connection: Connection, workers: Table) -> int:
        """Move the messages of workers that are not in this table to the outbox of all workers. Returns how many."""
        moved = update(self._outbox).where(self._of_unknown(workers)).values(worker=OF_ALL)
        found: int = connection.execute(moved).rowcount
        return found

    def _of_unknown(self, workers: Table) -> ColumnElement[bool]:
        owner = self._outbox.c.worker
        return and_(owner != OF_ALL, owner.not_in(select(workers.c.worker)))

    def count(self, connection: Connection, worker: str) -> int:
        """How many messages are in an outbox."""
        found = select(func.count()).select_from(self._outbox).where(self._outbox.c.worker == worker)
        return int(connection.execute(found).scalar_one())
