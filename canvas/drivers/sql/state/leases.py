"""The rows of leases, and the marks of their messages, which change as a lease ends."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, select, update

from canvas.drivers.sql.dialects import read_clock, upsert
from canvas.drivers.sql.state.tables import MessageTables
from canvas.model.message import Delivery
from canvas.model.settlement import Orphan, Settlement

_AT_ONCE = 500
"""Tags in one statement."""


_COLUMNS = ("tag", "worker", "message_id", "queue", "payload", "early_acked", "detached", "started")


class LeaseRow(NamedTuple):
    """A lease, by ``_COLUMNS`` of its table."""

    tag: str
    worker: str
    message_id: str
    queue: str
    payload: bytes
    early_acked: bool
    detached: bool
    started: bool

    @property
    def delivery(self) -> Delivery:
        """Its message."""
        return Delivery(self.tag, self.queue, self.payload)


class SqlLeases:
    """Changes of leases, in transactions of the caller's. All processes lock leases in the order of their tags."""

    def __init__(self, tables: MessageTables) -> None:
        self._leases = tables.leases
        self._messages = tables.messages
        self._columns = [self._leases.c[name] for name in _COLUMNS]

    def add(self, connection: Connection, worker: str, deliveries: Mapping[str, Delivery], now: float) -> None:
        """Lease messages, by the keys of their ids."""
        rows = [
            {"tag": one.tag, "worker": worker, "message_id": key, "queue": one.queue, "payload": one.payload,
             "leased_at": now, "early_acked": False, "detached": False, "started": False, "reason": ""}
            for key, one in deliveries.items()
        ]  # fmt: skip
        if rows:
            connection.execute(upsert(connection, self._leases, ["tag"], []), rows)

    def take(self, connection: Connection, tag: str) -> LeaseRow | None:
        """End a lease that another worker takes over. Returns its row; ``None`` if there is no lease, or its message
        was acked early."""
        found = self.locked(connection, tag)
        if found is None or found.early_acked:
            return None
        self.end(connection, [tag])
        return found

    def _locked(self, connection: Connection, tags: Collection[str]) -> list[LeaseRow]:
        leases, found = self._leases, []
        for some in _slices(sorted(tags)):
            rows = select(*self._columns).where(leases.c.tag.in_(some)).order_by(leases.c.tag).with_for_update()
            found += [LeaseRow(*row) for row in connection.execute(rows)]
        return found

    def deliveries(self, connection: Connection, tags: Collection[str]) -> dict[str, Delivery]:
        """The messages of leases, by tag."""
        return {row.tag: row.delivery for row in self._locked(connection, tags)}

    def locked(self, connection: Connection, tag: str) -> LeaseRow | None:
        """One lease, locked."""
        return next(iter(self._locked(connection, [tag])), None)

    def holds(self, connection: Connection, settlements: Sequence[Settlement], lock: bool) -> list[bool]:
        """Whether the fence of each settlement holds; with ``lock`` this stays so until the end of the transaction."""
        tags = {one.delivery.tag for one in settlements if one.delivery is not None and one.fence != "none"}
        leases, early = self._leases, dict[str, bool]()
        for some in _slices(sorted(tags)):
            rows = select(leases.c.tag, leases.c.early_acked).where(leases.c.tag.in_(some)).order_by(leases.c.tag)
            early |= {tag: acked for tag, acked in connection.execute(rows.with_for_update() if lock else rows)}
        return [_holds(one, early) for one in settlements]

    def of(self, connection: Connection, worker: str) -> list[LeaseRow]:
        """The leases of a worker, without those that were acked early."""
        leases = self._leases
        rows = select(*self._columns).where(leases.c.worker == worker, leases.c.early_acked.is_(False))
        return [LeaseRow(*row) for row in connection.execute(rows.order_by(leases.c.tag).with_for_update())]

    def mark(self, connection: Connection, tags: Sequence[str], **values: Any) -> int:
        """Set columns of leases. Returns how many there are."""
        total = 0
        for some in _slices(sorted(tags)):
            changed = update(self._leases).where(self._leases.c.tag.in_(some)).values(values)
            total += connection.execute(changed).rowcount
        return total

    def end(self, connection: Connection, tags: Collection[str]) -> int:
        """Delete leases. Returns how many there were. Their messages are known as settled."""
        total = 0
        for some in _slices(sorted(tags)):
            total += connection.execute(delete(self._leases).where(self._leases.c.tag.in_(some))).rowcount
        return total

    def drop(self, connection: Connection, tags: Collection[str], lost: "Mapping[str, LostMark] | None" = None) -> int:
        """End leases of messages that the broker delivers again. Returns how many were held. Those of messages that it
        does not have any more stay. ``lost``: marks of the messages whose worker died, by tag; the marks of others are
        deleted."""
        found = [one for one in self._locked(connection, tags) if not (one.early_acked or one.detached)]
        messages = self._messages
        for row in sorted(found, key=lambda one: one.message_id):
            latest = and_(messages.c.message_id == row.message_id, messages.c.tag == row.tag)
            mark = (lost or {}).get(row.tag)
            if mark is None:
                connection.execute(delete(messages).where(latest))
            else:
                connection.execute(update(messages).where(latest).values(tag=None, **mark._asdict()))
        return self.end(connection, [one.tag for one in found])

    def orphans(self, connection: Connection, again: float) -> list[Orphan]:
        """The orphans that may be settled; they are handed out again ``again`` seconds from now."""
        leases, now = self._leases, read_clock(connection)
        columns = (leases.c.tag, leases.c.queue, leases.c.payload, leases.c.reason)
        rows = select(*columns).where(leases.c.orphaned_at <= now).order_by(leases.c.tag).with_for_update()
        found = connection.execute(rows).all()
        self.mark(connection, [row.tag for row in found], orphaned_at=now + again)
        return [Orphan(Delivery(row.tag, row.queue, row.payload), row.reason) for row in found]


class LostMark(NamedTuple):
    """The mark of a message whose worker died."""

    started: bool
    deliveries: int
    expires_at: float


def _holds(settlement: Settlement, early: Mapping[str, bool]) -> bool:
    """Whether the fence of a settlement holds. ``early``: for the tag of each existing lease, whether the message was
    acked early."""
    if settlement.delivery is None or settlement.fence == "none":
        return True
    acked = early.get(settlement.delivery.tag)
    if acked is None:
        return False
    return acked if settlement.fence == "early_acked" else (not acked or settlement.early_ack)


def _slices(tags: Sequence[str]) -> list[Sequence[str]]:
    return [tags[first : first + _AT_ONCE] for first in range(0, len(tags), _AT_ONCE)]
