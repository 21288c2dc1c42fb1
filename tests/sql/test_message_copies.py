"""Messages that come to workers twice, and outboxes whose messages may have been sent: the state of each kind."""

import time

import pytest
from sqlalchemy import event, exc

from canvas.drivers.absence import Absence
from canvas.drivers.amqp.contents import Outgoing
from canvas.drivers.amqp.outboxes import Destinations, Outboxes
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.message_state import Arrival
from canvas.drivers.redis import lease_recovery
from canvas.drivers.sql.state import recovery as sql_recovery
from canvas.drivers.stored_messages import delivery_count
from canvas.errors import OperationalError
from canvas.model.message import Delivery
from canvas.model.settlement import Settlement
from canvas.testing.contract import envelope, eventually
from tests.support.message_state import into_outbox, opened

TASK = ENVELOPE.encode(ENVELOPE.decode(envelope("task")), "", "q", 100, "id")


def arrival(worker, number=1, deliveries=0):
    """A message with an id of its own, on its way to a worker."""
    return Arrival(Delivery(f"canvas:{worker}:{number}", "q", TASK), "id", deliveries, True)


def leased(state, worker, *arrivals):
    return [one.tag for one in state.messages.register(worker, arrivals).deliveries]


def settled(state, worker, number=1):
    """Whether the lease of a worker holds until its task is settled."""
    return state.settler.settle([Settlement(arrival(worker, number).delivery)]).verdicts[0].held


@pytest.fixture
def two(state):
    """Two workers, of which one has leased a message."""
    for worker in ("w1", "w2"):
        state.recovery.heartbeat(worker, ["q"], 60)
    assert leased(state, "w1", arrival("w1")) == ["canvas:w1:1"]
    return state


def test_a_copy_does_not_take_a_message_from_the_worker_that_runs_it(two):
    """Its outbox was sent twice, or RabbitMQ was killed and has forgotten that it had delivered the message."""
    assert leased(two, "w2", arrival("w2")) == []
    assert settled(two, "w1")
    assert leased(two, "w2", arrival("w2", 2), arrival("w2", 3, deliveries=1)) == []
    assert two.messages.shared_count() == 0


def test_the_copy_was_all_that_was_left_of_the_message_when_its_worker_dies(two):
    assert leased(two, "w2", arrival("w2")) == []
    assert two.recovery.recover_worker("w1") == 1
    (entry,) = two.messages.claim("f", 9)
    assert b"canvas_delivery_count" in entry
    assert leased(two, "w2", arrival("w2", 2, deliveries=1)) == []  # the first one, if RabbitMQ has it after all


def test_after_a_copy_the_first_message_is_delivered_again(two):
    """The worker that ran it has died, and RabbitMQ has kept the first message."""
    assert leased(two, "w2", arrival("w2")) == []
    assert leased(two, "w2", arrival("w2", 2, deliveries=1)) == ["canvas:w2:2"]
    assert two.recovery.recover_worker("w1") == 0
    assert two.messages.shared_count() == 0
    assert settled(two, "w2", 2)


def test_a_lease_of_which_there_was_a_copy_is_returned_through_the_outbox(two):
    assert leased(two, "w2", arrival("w2")) == []
    delivery = arrival("w1").delivery
    assert two.messages.release([delivery]) == 0
    assert two.messages.take_acked(delivery, b"entry")
    assert two.messages.claim("f", 9) == [b"entry"]


def test_of_two_copies_that_come_together_one_is_leased(state):
    state.recovery.heartbeat("w1", ["q"], 60)
    assert len(leased(state, "w1", arrival("w1", 1, deliveries=1), arrival("w1", 2, deliveries=1))) == 1


@pytest.mark.parametrize(("deaths", "count"), [(0, 1), (2, 2)])
def test_deliveries_are_counted_once_though_the_answer_to_their_lease_is_lost(state, monkeypatch, deaths, count):
    for before in range(deaths):
        assert leased(state, f"w{before}", arrival(f"w{before}", before, deliveries=before))
        state.recovery.recover_worker(f"w{before}")
    again = arrival("again", deliveries=max(deaths, 1))
    lose_answers(state, monkeypatch)
    with pytest.raises(OperationalError):
        state.messages.register("again", [again])
    monkeypatch.undo()
    (delivery,) = state.messages.register("again", [again]).deliveries
    assert delivery_count(ENVELOPE, delivery.payload) == count
    assert settled(state, "again")


def lose_answers(state, monkeypatch):
    """Have each call that leases messages take effect and raise an error."""

    def losing(call):
        def lose(*words):
            call(*words)
            raise OperationalError("the answer was lost")

        return lose

    if hasattr(state.messages, "database"):
        monkeypatch.setattr(state.messages.database, "change", losing(state.messages.database.change))
    else:
        monkeypatch.setattr(state.messages.link, "call", losing(state.messages.link.call))


class Sent:
    """A publisher that RabbitMQ confirms everything to."""

    def __init__(self):
        self.payloads = []

    def offer(self, publications):
        self.payloads += [one.content.body for one in publications]
        return set()


def test_messages_that_a_process_has_sent_are_not_sent_again_when_it_could_not_note_it(state, monkeypatch):
    """The state goes away between the sending of an outbox and its emptying, and comes back."""
    publisher, messages, names = Sent(), state.messages, set()
    outboxes = Outboxes(state, publisher, Destinations(None, None, lambda: 0.0))
    into_outbox(state, *(Outgoing(str(one), "", "q", TASK).packed() for one in range(3)))
    empty, heartbeat = messages._delete_sent, state.recovery.heartbeat

    def fail(worker):
        if messages._sent:
            raise OperationalError("the state is away")
        empty(worker)

    def beat(name, queues, ttl):
        names.add(name)
        return heartbeat(name, queues, ttl)

    monkeypatch.setattr(state.recovery, "heartbeat", beat)
    monkeypatch.setattr(messages, "_delete_sent", fail)
    for _ in range(2):
        with pytest.raises(OperationalError):
            outboxes.forward()
    monkeypatch.setattr(messages, "_delete_sent", empty)
    outboxes.forward()
    for name in names:
        state.recovery.recover_worker(name)  # as if it had died
    assert (len(publisher.payloads), messages.shared_count()) == (3, 0)
    into_outbox(state, Outgoing("last", "", "q", TASK).packed())
    assert outboxes.forward() == 1


def test_messages_that_a_worker_puts_into_its_outbox_after_its_recovery_are_sent_by_others(state):
    """Its call was on its way when it was killed, or it stood still for so long that others took it for dead."""
    for worker in ("w1", "w2"):
        state.recovery.heartbeat(worker, ["q"], 60)
    state.recovery.recover_worker("w1")
    into_outbox(state, b"late", worker="w1")
    into_outbox(state, b"own", worker="w2")
    assert eventually(state.recovery.recover_dead_workers) == 1
    assert state.messages.claim("f", 9) == [b"late"]
    assert state.messages.unsent("w2", 9) == [b"own"]


def missed_soon(monkeypatch):
    for module in (sql_recovery, lease_recovery):
        monkeypatch.setattr(module, "MISSED_FOR", 0.2)


def recovered_after_an_absence(state):
    """How many messages are taken from dead workers once the server has answered again for long enough; before that
    none is."""
    server = state.messages.database if hasattr(state.messages, "database") else state.messages.link
    server.absence._until = time.monotonic() + 3_600
    for _ in range(3):
        assert state.recovery.recover_dead_workers() == 0
        time.sleep(0.2)
    server.absence._until = 0.0
    return state.recovery.recover_dead_workers()


def test_a_worker_that_was_silent_before_an_absence_gets_time(state, monkeypatch):
    """It has had no chance to send a heartbeat."""
    missed_soon(monkeypatch)
    state.recovery.heartbeat("w1", ["q"], 0.01)
    assert leased(state, "w1", arrival("w1")) == ["canvas:w1:1"]
    assert recovered_after_an_absence(state) == 1


def test_a_process_is_absent_when_it_begins_and_when_its_own_heartbeat_has_expired():
    absence = Absence()
    assert not absence.over_for(60)
    absence._until -= 100
    absence.beat(30)
    assert absence.over_for(60)
    absence._last_beat -= 31  # it was stopped
    absence.beat(30)
    assert not absence.over_for(60)


@pytest.mark.parametrize("which", ["sqlite_url", "postgres_url"])
def test_a_lost_connection_to_a_database_is_an_absence(request, which):
    engines = []
    state = opened(request.getfixturevalue(which), database_engine_callback=engines.append)
    state.recovery.heartbeat("w1", ["q"], 60)
    absence = state.messages.database.absence
    absence._until -= 100

    def lose(connection, *rest):
        raise exc.OperationalError("", {}, ConnectionAbortedError("lost"), connection_invalidated=True)

    event.listen(engines[0], "before_cursor_execute", lose, once=True)
    assert absence.over_for(60)
    state.recovery.heartbeat("w1", ["q"], 60)
    assert not absence.over_for(60)
    state.close()


@pytest.mark.timeout(60)
def test_a_worker_that_is_heard_of_while_another_is_recovered_keeps_its_leases(state, monkeypatch):
    missed_soon(monkeypatch)
    names = ("w1", "w2")

    def hear_of_the_others(worker):
        for name in names:
            if name != worker:
                state.recovery.heartbeat(name, ["q"], 60)

    state.connect(hear_of_the_others, lambda queue, payload: payload)
    for number, name in enumerate(names):
        state.recovery.heartbeat(name, ["q"], 0.01)
        one = arrival(name)
        assert leased(state, name, one._replace(message_id=f"id{number}")) == [f"canvas:{name}:1"]
    assert recovered_after_an_absence(state) == 1
    assert [settled(state, name) for name in names].count(True) == 1
