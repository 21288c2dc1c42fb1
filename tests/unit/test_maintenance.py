"""The periodic duties of workers: an idle one asks little of its broker, and a large fleet no more than a small one."""

import pytest

from canvas import Canvas
from canvas.model.message import Publish
from canvas.model.settlement import DelayedPublish, Settlement
from canvas.worker.consumer import maintenance
from canvas.worker.consumer.maintenance import ChildMaintenance, LeaseHeartbeats, Maintenance, beat_every

COUNTED = ("next_due", "enqueue_due", "recover_dead_workers")


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(maintenance.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def app(request):
    name = request.node.name.replace("[", "-").replace("]", "")
    app = Canvas("fleet", broker=f"memory://{name}", backend=f"memory://{name}")
    yield app
    app.close()


def counted(driver):
    """How often each of these calls is made from now on."""
    counts = dict.fromkeys(COUNTED, 0)

    def counting(part, name):
        real = getattr(part, name)

        def call(*arguments):
            counts[name] += 1
            return real(*arguments)

        return call

    for name in counts:
        part = driver.recovery if name == "recover_dead_workers" else driver.broker
        setattr(part, name, counting(part, name))
    return counts


def node(app, workers=("mine",), **options):
    app.conf.update(worker_lease_heartbeat=10.0, worker_lease_ttl=3600.0)
    heartbeats = LeaseHeartbeats(
        app.driver.recovery, app.conf, lambda: list(workers), ["q"], lambda: None, lambda worker, renewal: None
    )
    return Maintenance(app.driver, heartbeats, None, **options)


def run(duties, clock, seconds):
    """Let time pass, as a thread that sleeps until something is due; how often it woke."""
    woken, end = 0, clock[0] + seconds
    while clock[0] < end:
        clock[0] += max(duties.tick(), 0.001)
        woken += 1
    return woken


def turns(app, workers, clock, seconds):
    """How often in a second one of so many workers asks what is due, moves it, and looks for the dead."""
    counts = counted(app.driver)
    for number in range(workers - 1):
        app.driver.recovery.heartbeat(f"worker-{number}", ["q"], 3600)
    run(node(app), clock, seconds)
    return {name: count / seconds for name, count in counts.items()}


def test_the_duties_of_a_few_workers_are_each_ones_own(app, clock):
    found = turns(app, 4, clock, 60)
    assert found["enqueue_due"] == 0
    assert found["next_due"] == pytest.approx(1, rel=0.1)
    assert found["recover_dead_workers"] == pytest.approx(0.5, rel=0.1)


def test_the_duties_of_many_are_shared(app, clock):
    found = turns(app, 80, clock, 600)
    assert found["enqueue_due"] == 0
    assert found["next_due"] == pytest.approx(0.1, rel=0.3)
    assert found["recover_dead_workers"] == pytest.approx(0.05, rel=0.3)


def test_children_of_a_node_do_not_make_its_turns_rare(app, clock):
    counts = counted(app.driver)
    run(node(app, [f"child-{number}" for number in range(80)]), clock, 60)
    assert counts["next_due"] == pytest.approx(60, rel=0.1)
    assert counts["recover_dead_workers"] == pytest.approx(30, rel=0.1)


def test_turns_are_frequent_again_when_most_workers_are_gone(app, clock):
    """The one that is left does not wait for the turn that it has drawn as one of many."""
    memory = app.driver.broker._memory
    memory.clock = lambda: clock[0]
    memory.workers.update({f"worker-{number}": 30.0 for number in range(8000)})
    counts, duties = counted(app.driver), node(app)
    run(duties, clock, 29)
    assert counts["recover_dead_workers"] == counts["next_due"] == 1
    run(duties, clock, 20)
    assert counts["recover_dead_workers"] >= 4
    assert counts["next_due"] >= 8


def defer(app, clock, times):
    """Messages of another worker that are due at these times."""
    memory = app.driver.broker._memory
    memory.clock = lambda: clock[0]
    app.driver.settler.settle(
        [Settlement(None, "none", deferrals=[DelayedPublish(due, Publish("", "q", 0, b"{}")) for due in times])]
    )


def test_deferred_messages_are_moved_when_they_are_due(app, clock):
    counts = counted(app.driver)
    defer(app, clock, [7.25, 7.25, 30.0])
    run(node(app), clock, 7.2)
    assert app.driver.admin.queue_length("q") == counts["enqueue_due"] == 0
    clock[0] = 7.2
    run(node(app), clock, 0.1)
    assert (app.driver.admin.queue_length("q"), counts["enqueue_due"]) == (2, 1)


def test_messages_that_are_due_one_after_another_are_moved_together(app, clock):
    counts = counted(app.driver)
    defer(app, clock, [number / 1000 for number in range(10_000)])
    run(node(app), clock, 10)
    assert app.driver.admin.queue_length("q") == pytest.approx(10_000, abs=60)
    assert counts["enqueue_due"] <= 201


@pytest.mark.parametrize(("part", "moves"), [(64, (350, 500)), (4, (99, 102))])
def test_the_next_part_comes_sooner_where_the_last_one_was_large(app, clock, part, moves):
    """Of messages that their queues take in parts."""
    real, counts = app.driver.broker.enqueue_due, counted(app.driver)
    counting = app.driver.broker.enqueue_due
    app.driver.broker.enqueue_due = lambda limit: counting(min(limit, part))
    defer(app, clock, [0.0] * (part * moves[1] + 1))
    run(node(app), clock, 1)
    assert moves[0] <= counts["enqueue_due"] <= moves[1]
    assert app.driver.admin.queue_length("q") == part * counts["enqueue_due"]
    assert real(1) == 1


@pytest.mark.parametrize("kind", ["node", "child"])
def test_the_lifetimes_are_looked_after_when_they_are_due(app, clock, kind):
    looked = []

    def lifetimes():
        looked.append(clock[0])
        return 0.4

    duties = node(app, lifetimes=lifetimes) if kind == "node" else ChildMaintenance(app.driver.broker, lifetimes)
    run(duties, clock, 4)
    assert looked == pytest.approx([number * 0.4 for number in range(len(looked))], abs=0.02)
    assert len(looked) >= 9


def test_an_idle_child_asks_nothing_of_the_broker(app, clock):
    counts = counted(app.driver)
    assert run(ChildMaintenance(app.driver.broker, lambda: 10.0), clock, 60) <= 7
    assert counts == dict.fromkeys(COUNTED, 0)


def test_a_child_moves_what_it_has_deferred_for_the_next_moments(app, clock):
    defer(app, clock, [0.5])
    duties = ChildMaintenance(app.driver.broker, lambda: 10.0)
    duties.tick()
    assert duties.expect(0.5)
    assert not duties.expect(60.0)
    run(duties, clock, 0.6)
    assert app.driver.admin.queue_length("q") == 1


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 10), ({"worker_lease_ttl": 4}, 4 / 3), ({"worker_lease_heartbeat": 2}, 2),
        ({"worker_lease_ttl": 90}, 10), ({"broker_transport_options": {"visibility_timeout": 6}}, 2),
        ({"worker_lease_ttl": 3, "broker_transport_options": {"visibility_timeout": 6}}, 1),
    ],
)  # fmt: skip
def test_heartbeats_come_before_leases_end(app, settings, seconds):
    """A worker whose leases end sooner is taken for dead, by itself too, and runs its tasks twice."""
    app.conf.update(settings)
    assert beat_every(app.conf) == pytest.approx(seconds)
