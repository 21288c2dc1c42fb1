"""How fast queues fill and empty, and how long their first message has waited, where the broker does not say it."""

import pytest

from canvas.dashboard.collecting.flows import Flows
from canvas.remote.cluster_entries import Task, Worker

CONSUMED = {"one@h": ["celery"], "two@h": ["celery", "mails"]}
ROUTES = {"t.add": "celery", "t.mail": "mails", "t.moved": "a queue that no worker consumes"}


@pytest.fixture
def flows():
    return Flows(ROUTES.get, lambda worker: CONSUMED.get(worker, []))


def received(flows, count=1, name="t.add", worker="one@h", **fields):
    for _ in range(count):
        task = Task("id")
        task.__dict__.update(name=name, worker=Worker(worker), **fields)
        flows.take(task)


def test_messages_in_and_out_a_second(flows):
    assert flows.look("celery", 100, 1_000.0).outgoing is None
    received(flows, 60)
    found = flows.look("celery", 70, 1_010.0)
    assert (found.change, found.outgoing, found.incoming) == (-3.0, 6.0, 3.0)
    # An average of the last half minute: earlier messages do not count.
    for moment in (1_050.0, 1_079.0):
        found = flows.look("celery", 70, moment)
    assert (found.outgoing, found.incoming) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("fields", "queue"),
    [
        ({"worker": "one@h", "name": "t.unheard_of"}, "celery"),
        ({"worker": "two@h", "name": "t.mail"}, "mails"),
        ({"worker": "two@h", "name": "t.add"}, "celery"),
        ({"worker": "one@h", "queue": "mails"}, "mails"),
    ],
)
def test_a_message_is_counted_for_its_queue(flows, fields, queue):
    names = ["celery", "mails"]
    for name in names:
        flows.look(name, 10, 0.0)
    received(flows, 10, **fields)
    assert {name: flows.look(name, 0, 10.0).outgoing for name in names if name == queue} == {queue: 1.0}


@pytest.mark.parametrize("name", ["t.unheard_of", "t.moved"])
def test_rates_are_unknown_where_the_queue_of_a_message_is(flows, monkeypatch, name):
    monkeypatch.setattr("canvas.dashboard.collecting.flows.time.time", lambda: 5.0)
    for queue in ("celery", "mails"):
        flows.look(queue, 10, 0.0)
    received(flows, worker="two@h", name=name)
    for queue in ("celery", "mails"):
        found = flows.look(queue, 10, 10.0)
        assert (found.incoming, found.outgoing, found.oldest) == (None, None, None)
    flows.look("celery", 10, 45.0)
    assert flows.look("celery", 10, 50.0).outgoing == 0.0


def test_rates_are_unknown_where_workers_send_no_events(flows):
    flows.look("celery", 1_000, 0.0)
    assert flows.look("celery", 0, 10.0) == (-100.0, None, None, None)


def test_the_first_message_is_as_old_as_the_messages_that_came_after_it_allow(flows):
    """Each second 10 messages come and 5 leave: the first one of those that wait came when half of the time was over."""
    for second in range(1, 101):
        received(flows, 5)
        found = flows.look("celery", second * 5, float(second))
    assert (found.incoming, found.outgoing) == (10.0, 5.0)
    assert found.oldest == pytest.approx(50.0, abs=2.0)
    received(flows, 500)
    assert flows.look("celery", 0, 101.0).oldest is None


def test_what_is_kept_is_bounded(flows):
    for number in range(5_000):
        received(flows, queue=f"q{number}", name=f"n{number}")
        received(flows, worker="two@h", name=f"n{number}")
        flows.look("celery", 1, float(number))
    assert len(flows._taken) <= 2_000
    assert len(flows._found) <= 2_000
    assert len(flows._samples["celery"]) == 1_800
    flows.forget_all_but(["celery"])
    assert set(flows._samples) == {"celery"}
    assert set(flows._taken) | set(flows._unsure) <= {"celery"}
