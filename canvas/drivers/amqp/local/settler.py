"""Settlements without a state server: RabbitMQ confirms the messages, and then the deliveries are acked.

When a process, or its connection, is lost in between, another worker runs the deliveries again and sends their messages
again. Nothing is lost.
"""

from collections.abc import Sequence

from canvas.drivers.amqp.broker import NO_LEASE, AmqpBroker
from canvas.drivers.amqp.channels.consumer_channel import Held
from canvas.drivers.amqp.channels.publisher import Publication, frames_of
from canvas.drivers.amqp.channels.session import REJECTED, Session
from canvas.drivers.amqp.local.dead_letters import dead_letter
from canvas.drivers.amqp.local.state import LocalMessages
from canvas.drivers.amqp.rpc.replies import Replies
from canvas.drivers.ports.capabilities import missing
from canvas.drivers.ports.values import Lease, LeaseReply, SettleReply
from canvas.drivers.retry_policy import Delays
from canvas.drivers.stored_messages import requeued
from canvas.drivers.tags import worker_of
from canvas.errors import EncodeError, OperationalError
from canvas.model.message import Publish
from canvas.model.settlement import (
    ChordDispatch,
    ChordStart,
    ReadyChord,
    Settlement,
    SettleResult,
)

_LOST = SettleResult(False, [])
_HELD = SettleResult(True, [])


class LocalSettler:
    """The Settler of ``canvas.drivers.ports`` for a broker without a state server."""

    def __init__(self, broker: AmqpBroker, messages: LocalMessages, replies: Replies | None) -> None:
        self._broker = broker
        self._messages = messages
        self._replies = replies

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None = None, ends: Sequence[ChordDispatch] = ()
    ) -> SettleReply:
        worker = worker_of(settlements, lease)
        publications: list[Publication] = []
        verdicts = [self._prepare(settlement, publications) for settlement in settlements]
        dispatched = [self.dispatch_chord(end) for end in ends]
        if not worker:
            self._broker.publisher.publish(publications)
            return SettleReply(verdicts, dispatched)
        try:
            leased = self._commit(worker, settlements, verdicts, publications, lease)
        except OperationalError:
            self._broker.destinations.forget()
            if not settlements:
                raise
            # RabbitMQ delivers them again.
            return SettleReply([one if one.refused else _LOST for one in verdicts], dispatched, NO_LEASE)
        return SettleReply(verdicts, dispatched, leased)

    def _prepare(self, settlement: Settlement, publications: list[Publication]) -> SettleResult:
        """Add the publications of a settlement. Returns the verdict on it."""
        if not self._messages.held(settlement):
            return _LOST
        try:
            publications += self._publications(settlement)
        except EncodeError as exc:
            return SettleResult(False, [], f"EncodeError: {exc}", nothing_sent=True)
        return _HELD

    def _publications(self, s: Settlement) -> list[Publication]:
        destinations, delivery = self._broker.destinations, s.delivery
        if s.parts or s.chord_starts:
            raise missing("chords")
        publishes = list(s.publishes)
        if delivery is not None and s.disposal in ("requeue", "redeliver"):
            payload = requeued(self._broker.codec, delivery.payload, s.disposal == "redeliver")
            publishes.append(Publish("", delivery.queue, 0, payload))
        found = []
        if publishes or s.deferrals:
            found = destinations.publications(destinations.outgoing(publishes, s.deferrals))
        if self._replies is not None:
            found += self._replies.publications(s.stores, delivery)
        for one in found:
            self._broker.topology.check_size(len(one.content.body))
        if delivery is not None and s.disposal == "dead_letter":
            found += destinations.publications([dead_letter(delivery, s.reason)])
        return found

    def _commit(
        self, worker: str, settlements: Sequence[Settlement], verdicts: Sequence[SettleResult],
        publications: Sequence[Publication], lease: Lease | None,
    ) -> LeaseReply | None:  # fmt: skip
        session = self._broker.session(worker)
        if publications:
            returned, _ = session.exchange(frames_of(publications, session.frame_max), (), (), (), 0)
            self._broker.publisher.publish_returned(returned)
        acks, rejects = self._ended(session, settlements, verdicts)
        queues, want = (lease.queues, lease.limit) if lease is not None else ((), 0)
        _, arrived = session.exchange((), acks, (), queues, want, rejects)
        self._broker.take_in(session, worker, arrived)
        return self._broker.register(session, worker) if lease is not None else None

    def _ended(
        self, session: Session, settlements: Sequence[Settlement], verdicts: Sequence[SettleResult]
    ) -> tuple[list[Held], list[Held]]:  # fmt: skip
        """The messages to ack, and those to reject."""
        acks: list[Held] = []
        rejects: list[Held] = []
        for settlement, verdict in zip(settlements, verdicts, strict=True):
            if settlement.delivery is None or not verdict.held:
                continue
            held = session.held.pop(settlement.delivery.tag, None)
            if held is not None:
                (rejects if settlement.disposal in REJECTED else acks).append(held)
            self._messages.end(settlement)
        return acks, rejects

    def publish_with_chords(
        self, chord_starts: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        if chord_starts:
            raise missing("chords")
        self._broker.publish(messages, delays)

    def dispatch_chord(self, end: ChordDispatch) -> SettleResult:
        return _LOST

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        return []

    def renew(self, every: float) -> int:
        return 0
