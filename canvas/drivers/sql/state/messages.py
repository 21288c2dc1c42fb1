"""Leases on messages of another broker, in SQL, and the outboxes that lead to that broker."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping, delete, select, update

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.message_state import Arrival
from canvas.drivers.ports.values import LeaseReply, clock_offset
from canvas.drivers.sql.database import Database
from canvas.drivers.sql.dialects import read_clock, unix_time, upsert
from canvas.drivers.sql.state.leases import SqlLeases
from canvas.drivers.sql.state.outboxes import OF_ALL, SqlOutboxes
from canvas.drivers.sql.state.tables import MessageTables, key_of
from canvas.drivers.stored_messages import delivery_count, lost_before
from canvas.model.message import Delivery

REMEMBERED = 600.0
"""Seconds after a lease, or its last renewal, for which the id of a message is known. It is known for as long as a
broker that fails may deliver a message again which was settled just before."""
REVISION = "revocations"
"""The counter of changes to the revocations."""
_DELAYS_FOR = 30 * 86_400.0
"""Seconds for which the name of a queue of a delay is kept after it was noted; none is used for longer without being
noted again."""


class _Lost(NamedTuple):
    """How a message was lost with its worker; without ``deliveries`` it was not."""

    started: bool
    deliveries: int


@dataclass(slots=True)
class _Sent:
    """The first messages of an outbox, which the broker was sent."""

    count: int
    refused: Sequence[bytes]
    """The messages that it did not take."""
    ids: Sequence[int] | None = None
    """The ids of the rows of the messages, once they have been read."""


class SqlMessages:
    """The MessageState of ``canvas.drivers.ports``."""

    durable = True

    def __init__(self, database: Database, tables: MessageTables, leases: SqlLeases, outboxes: SqlOutboxes) -> None:
        self.database = database
        self._tables = tables
        self._leases = leases
        self._outboxes = outboxes
        self._sent: dict[str, _Sent] = {}
        self._uncertain: dict[str, list[str]] = {}
        """By worker, the tags of the messages in a call to ``register`` that has not returned, or whose reply was
        lost."""

    def register(self, worker: str, arrivals: Sequence[Arrival]) -> LeaseReply:
        tags = [arrival.delivery.tag for arrival in arrivals]

        def work(connection: Connection) -> LeaseReply:
            earlier = self._leases.deliveries(connection, set(tags).intersection(self._uncertain.get(worker, ())))
            self._uncertain[worker] = tags
            return self._register(connection, worker, arrivals, earlier)

        reply = self.database.change(work)
        self._uncertain.pop(worker, None)
        return reply

    def _register(
        self, connection: Connection, worker: str, arrivals: Sequence[Arrival], earlier: Mapping[str, Delivery]
    ) -> LeaseReply:
        """``earlier``: the messages that an earlier try has leased, by tag. Their deliveries are counted already."""
        counters = self._tables.counters
        asked = time.time()
        version = select(counters.c.value).where(counters.c.name == REVISION).scalar_subquery()
        now, revision = connection.execute(select(unix_time(connection), version)).one()
        latest: dict[str, Arrival] = {}
        for arrival in arrivals:
            # Of two copies in one call, one is leased.
            latest.setdefault(key_of(arrival.message_id), arrival)
        marks = self._marked(connection, latest, now + REMEMBERED)
        leased = {key: (one, self._found(connection, one, marks[key])) for key, one in latest.items()}
        taken = {key: (one, found) for key, (one, found) in leased.items() if found is not None}
        deliveries = {
            one.delivery.tag: earlier.get(one.delivery.tag) or _counted(one, found) for one, found in taken.values()
        }
        self._take(connection, worker, taken, deliveries, now, marks)
        in_order = [deliveries[one.delivery.tag] for one in arrivals if one.delivery.tag in deliveries]
        return LeaseReply(in_order, int(revision or 0), clock_offset(now, asked))

    def _marked(self, connection: Connection, latest: Mapping[str, Arrival], until: float) -> dict[str, RowMapping]:
        """The latest leases of messages, by their ids, locked in the order of these. Those of new messages are the
        leases to come."""
        messages = self._tables.messages
        keys = sorted(latest)
        rows = [
            {"message_id": key, "tag": latest[key].delivery.tag, "started": False, "deliveries": 0, "expires_at": until}
            for key in keys
        ]
        connection.execute(upsert(connection, messages, ["message_id"], []), rows)
        found = select(messages).where(messages.c.message_id.in_(keys)).order_by(messages.c.message_id)
        return {row["message_id"]: row for row in connection.execute(found.with_for_update()).mappings()}

    def _found(self, connection: Connection, arrival: Arrival, mark: RowMapping) -> _Lost | None:
        """How a message was lost before; ``None``: it is settled, or was acked early."""
        if mark["tag"] is None:
            return _Lost(mark["started"], mark["deliveries"])
        # An id that the sender has not given is made from the message: a message that was settled before may have had
        # the same.
        if mark["tag"] == arrival.delivery.tag or not (arrival.deliveries or arrival.own_id):
            return _Lost(False, 0)
        if not arrival.deliveries:
            # Either the message was sent twice, or the broker was killed and has forgotten that it delivered the
            # message. In the second case the broker will not deliver it again for the older lease: that lease is
            # detached.
            self._leases.mark(connection, [mark["tag"]], detached=True)
            return None
        before = self._leases.take(connection, mark["tag"])
        return None if before is None else _Lost(before.started, delivery_count(ENVELOPE, before.payload))

    def _take(
        self, connection: Connection, worker: str, taken: Mapping[str, tuple[Arrival, _Lost]],
        deliveries: Mapping[str, Delivery], now: float, marks: Mapping[str, RowMapping],
    ) -> None:  # fmt: skip
        """Lease messages; note these leases as the latest of their ids."""
        messages, found = self._tables.messages, {key: one.delivery.tag for key, (one, _) in taken.items()}
        for key, tag in found.items():
            if marks[key]["tag"] != tag:
                values = {"tag": tag, "started": False, "deliveries": 0, "expires_at": now + REMEMBERED}
                connection.execute(update(messages).where(messages.c.message_id == key).values(values))
        self._leases.add(connection, worker, {key: deliveries[tag] for key, tag in found.items()}, now)

    def renew(self, message_ids: Sequence[str]) -> None:
        if not message_ids:
            return
        messages, keys = self._tables.messages, sorted(map(key_of, message_ids))

        def work(connection: Connection) -> None:
            until = unix_time(connection) + REMEMBERED
            locked = select(messages.c.message_id).where(messages.c.message_id.in_(keys))
            connection.execute(locked.order_by(messages.c.message_id).with_for_update())
            connection.execute(update(messages).where(messages.c.message_id.in_(keys)).values(expires_at=until))

        self.database.change(work)

    def detach(self, worker: str, tags: Sequence[str]) -> None:
        self.database.change(lambda connection: self._leases.mark(connection, tags, detached=True))

    def attach(self, worker: str, tags: Sequence[str]) -> None:
        """The mark went with the lease."""

    def release(self, deliveries: Sequence[Delivery]) -> int:
        tags = [delivery.tag for delivery in deliveries]
        return self.database.change(lambda connection: self._leases.drop(connection, tags)) if tags else 0

    def take_acked(self, delivery: Delivery, entry: bytes) -> bool:
        def work(connection: Connection) -> bool:
            if not self._leases.end(connection, [delivery.tag]):
                return False
            self._outboxes.add_to_all(connection, [entry])
            return True

        return self.database.change(work)

    def note_delay_queue(self, name: str) -> None:
        queues = self._tables.delay_queues

        def work(connection: Connection) -> None:
            row = {"name": name, "expires_at": read_clock(connection) + _DELAYS_FOR}
            connection.execute(upsert(connection, queues, ["name"], ["expires_at"]), row)

        self.database.call(work)

    def delay_queues(self) -> list[str]:
        names = select(self._tables.delay_queues.c.name)
        return sorted(self.database.call(lambda connection: list(connection.execute(names).scalars())))

    def forget_delay_queues(self, names: Sequence[str]) -> None:
        queues = self._tables.delay_queues
        self.database.call(lambda connection: connection.execute(delete(queues).where(queues.c.name.in_(names))))

    def outbox(self, worker: str) -> str:
        return worker

    def unsent(self, worker: str, limit: int) -> list[bytes]:
        self._delete_sent(worker)
        return self.database.call(lambda connection: self._outboxes.first(connection, worker, limit))

    def sent(self, worker: str, count: int, refused: Sequence[bytes] = ()) -> None:
        self._delete_sent(worker)
        self._sent[worker] = _Sent(count, refused)
        self._delete_sent(worker)

    def _delete_sent(self, worker: str) -> None:
        """Delete messages of an outbox that the broker has: the same rows, however often it is tried."""
        sent = self._sent.get(worker)
        if sent is None:
            return

        def work(connection: Connection) -> None:
            if sent.ids is None:
                sent.ids = self._outboxes.first_ids(connection, worker, sent.count)
            if self._outboxes.delete(connection, sent.ids):
                self._outboxes.add_to_all(connection, sent.refused)

        self.database.change(work)
        del self._sent[worker]

    def claim(self, worker: str, limit: int) -> list[bytes]:
        self._delete_sent(worker)
        return self.database.change(lambda connection: self._outboxes.claim(connection, worker, limit))

    def shared_count(self) -> int:
        return self.database.call(lambda connection: self._outboxes.count(connection, OF_ALL))


def _counted(arrival: Arrival, lost: _Lost) -> Delivery:
    """A message as it is leased; one whose worker has died counts the delivery in its headers."""
    delivery = arrival.delivery
    if not (arrival.deliveries and lost.deliveries):
        return delivery
    return delivery._replace(payload=lost_before(ENVELOPE, delivery.payload, lost.deliveries, lost.started))
