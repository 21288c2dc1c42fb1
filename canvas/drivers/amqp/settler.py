"""Settlements of messages from RabbitMQ: first in the state, with the messages to send in an outbox; then the messages
and the acks, in one transaction of RabbitMQ.

A worker that dies between the two leaves its outbox to the others, and the message that RabbitMQ delivers again is
found settled. A connection that is lost in the middle leaves the worker's outbox to be sent before its next
settlement.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from canvas.drivers.amqp.broker import NO_LEASE, AmqpBroker
from canvas.drivers.amqp.channels.consumer_channel import Held
from canvas.drivers.amqp.channels.publisher import frames_of
from canvas.drivers.amqp.channels.session import REJECTED
from canvas.drivers.amqp.contents import Outgoing
from canvas.drivers.amqp.rpc.replies import Replies
from canvas.drivers.ports.settler import Settler
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
    SpeculativeDispatch,
)

_UNSENT_AT_ONCE = 10_000


class Prepared(NamedTuple):
    """A settlement as the state commits it, and its messages."""

    settlement: Settlement
    outgoing: list[Outgoing]
    frames: list[bytes]


class AmqpSettler:
    """The Settler of ``canvas.drivers.ports`` for a broker whose leases another server keeps."""

    def __init__(self, broker: AmqpBroker, settler: Settler, replies: Replies | None = None) -> None:
        """``settler``: the state's, which commits everything but the messages and the acks. ``replies``: of results
        that are messages."""
        self._broker = broker
        self._settler = settler
        self._replies = replies
        self._state = broker.state.messages
        self._unsent: set[str] = set()
        """Workers of this process whose outboxes may hold messages that RabbitMQ does not have."""

    def settle(
        self, settlements: Sequence[Settlement], lease: Lease | None = None, ends: Sequence[ChordDispatch] = ()
    ) -> SettleReply:
        worker = worker_of(settlements, lease)
        if worker in self._unsent:
            self._broker.outboxes.send_left(worker)
            self._unsent.discard(worker)
        prepared, refused = self._prepared(settlements, worker)
        reply = SettleReply([], [])
        if prepared or ends:
            if worker and (ends or any(one.outgoing or one.settlement.speculative for one in prepared.values())):
                self._unsent.add(worker)
            outbox = self._state.outbox(worker)
            dispatches, too_large = self._ends(ends, outbox)
            reply = self._settler.settle([one.settlement for one in prepared.values()], None, dispatches)
            for place, verdict in too_large:
                reply.dispatched.insert(place, verdict)
        done = dict(zip(prepared, reply.verdicts, strict=True))
        verdicts = [done.get(place, refused.get(place)) or SettleResult(False, []) for place in range(len(settlements))]
        leased = self._transact(worker, settlements, prepared, verdicts, lease, bool(ends))
        if self._broker.detached:
            self._broker.attach(worker, [s.delivery.tag for s in settlements if s.delivery is not None])
        if not worker or self._broker.outboxes.due() or any(one.releases_permits for one in settlements):
            self._forward()
        return SettleReply(verdicts, reply.dispatched, leased)

    def _forward(self) -> None:
        try:
            self._broker.outboxes.forward()
        except OperationalError:
            return  # the outbox of all workers is sent by the next process that looks after it

    def _prepared(
        self, settlements: Sequence[Settlement], worker: str
    ) -> tuple[dict[int, Prepared], dict[int, SettleResult]]:
        """By place, the settlements as the state commits them, and verdicts on those with messages that AMQP cannot
        carry."""
        outbox, prepared, refused = self._state.outbox(worker), {}, {}
        for place, settlement in enumerate(settlements):
            try:
                prepared[place] = self._one_prepared(settlement, outbox)
            except EncodeError as exc:
                refused[place] = _refused(exc)
        return prepared, refused

    def _one_prepared(self, settlement: Settlement, outbox: str) -> Prepared:
        s, delivery = settlement, settlement.delivery
        back = delivery is not None and s.disposal in ("requeue", "redeliver")
        replied = self._replies is not None and s.stores
        if not (s.publishes or s.deferrals or s.speculative or back or replied):
            return Prepared(s, [], [])
        publishes = list(s.publishes)
        if delivery is not None and back:
            payload = requeued(self._broker.codec, delivery.payload, s.disposal == "redeliver")
            publishes.append(Publish("", delivery.queue, 0, payload))
        destinations = self._broker.destinations
        outgoing = destinations.outgoing(publishes, s.deferrals)
        if self._replies is not None and s.stores:
            outgoing += destinations.checked(self._replies.outgoing(s.stores, delivery))
        written = frames_of(destinations.publications(outgoing))
        kept = s._replace(
            publishes=_into(outbox, outgoing),
            deferrals=(),
            disposal="ack" if back else s.disposal,
            stores=s.stores if self._replies is None else (),
            speculative=self._speculative(s.speculative, outbox),
        )
        return Prepared(kept, outgoing, written)

    def _speculative(self, ends: Sequence[SpeculativeDispatch], outbox: str) -> list[SpeculativeDispatch]:
        """Speculative ends as the state commits them. One with a message that AMQP cannot carry is left out: it is
        refused when its chord is ready."""
        found = []
        for one in ends:
            with suppress(EncodeError):
                found.append(one._replace(chord_dispatch=self._end(one.chord_dispatch, outbox)))
        return found

    def _ends(
        self, ends: Sequence[ChordDispatch], outbox: str
    ) -> tuple[list[ChordDispatch], list[tuple[int, SettleResult]]]:
        """The ends of chords as the state commits them, and by place, verdicts on those with messages that AMQP cannot
        carry."""
        found, refused = [], []
        for place, end in enumerate(ends):
            try:
                found.append(self._end(end, outbox))
            except EncodeError as exc:
                refused.append((place, _refused(exc)))
        return found, refused

    def _end(self, end: ChordDispatch, outbox: str) -> ChordDispatch:
        outgoing = self._broker.destinations.outgoing(end.publishes, end.deferrals)
        return end._replace(publishes=_into(outbox, outgoing), deferrals=[])

    def _transact(
        self, worker: str, settlements: Sequence[Settlement], prepared: dict[int, Prepared],
        verdicts: Sequence[SettleResult], lease: Lease | None, ends: bool,
    ) -> LeaseReply | None:  # fmt: skip
        if not worker:
            return None
        session = self._broker.session(worker)
        publications, sent = self._to_publish(worker, prepared, verdicts, ends)
        acks: list[Held] = []
        nacks: list[Held] = []
        rejects: list[Held] = []
        for settlement, verdict in zip(settlements, verdicts, strict=True):
            if settlement.delivery is not None and not verdict.refused:
                held = session.held.pop(settlement.delivery.tag, None)
                if held is not None:
                    ended = rejects if settlement.disposal in REJECTED else acks
                    (ended if verdict.held else nacks).append(held)
        queues, want = (lease.queues, lease.limit) if lease is not None else ((), 0)
        try:
            returned, arrived = session.exchange(publications, acks, nacks, queues, want, rejects)
            self._broker.take_in(session, worker, arrived)
            if worker in self._unsent:
                if returned:
                    self._broker.publisher.publish_returned(returned)
                if sent:
                    self._state.sent(worker, sent)
                self._unsent.discard(worker)
            return self._broker.register(session, worker) if lease is not None else None
        except OperationalError:
            self._broker.destinations.forget()
            if not (settlements or ends):
                raise
            # The state has committed them. Messages that were not sent are in the worker's outbox. The broker delivers
            # messages that were not acked again, and they are found settled.
            return NO_LEASE if lease is not None else None

    def _to_publish(
        self, worker: str, prepared: dict[int, Prepared], verdicts: Sequence[SettleResult], ends: bool
    ) -> tuple[list[bytes], int]:
        """The frames of the messages in the worker's outbox, and their number."""
        if worker not in self._unsent:
            return [], 0
        known = not ends and all(
            verdicts[place].held and not one.settlement.speculative for place, one in prepared.items()
        )
        if known:
            written = [frame for one in prepared.values() for frame in one.frames]
            return written, len(written)
        found = [Outgoing.unpacked(entry) for entry in self._state.unsent(worker, _UNSENT_AT_ONCE)]
        return frames_of(self._broker.destinations.publications(found)), len(found)

    def publish_with_chords(
        self, chord_starts: Sequence[ChordStart], messages: Sequence[Publish], delays: Delays = None
    ) -> None:
        if chord_starts:
            self._settler.publish_with_chords(chord_starts, [], delays)
        self._broker.publish(messages, delays)

    def dispatch_chord(self, end: ChordDispatch) -> SettleResult:
        try:
            kept = self._end(end, self._state.outbox(""))
        except EncodeError as exc:
            return _refused(exc)
        found = self._settler.dispatch_chord(kept)
        self._forward()
        return found

    def stale_ready_chords(self, older_than: float) -> list[ReadyChord]:
        return self._settler.stale_ready_chords(older_than)

    def renew(self, every: float) -> int:
        return self._settler.renew(every)


def _refused(exc: EncodeError) -> SettleResult:
    return SettleResult(False, [], f"EncodeError: {exc}", nothing_sent=True)


def _into(outbox: str, outgoing: Sequence[Outgoing]) -> list[Publish]:
    """Messages as the state puts them into an outbox."""
    return [Publish("", outbox, 0, one.packed()) for one in outgoing]
