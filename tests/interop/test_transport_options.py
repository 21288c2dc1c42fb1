"""broker_transport_options that change where messages lie: Celery and canvas with the same options find each other's."""

import pytest
from celery import Celery

from canvas import Canvas
from canvas.drivers.redis.keys import BrokerKeys
from canvas.errors import ConfigurationError
from canvas.testing.embedded_redis import EmbeddedRedis

OPTIONS = [
    {"priority_steps": list(range(10)), "sep": ":"}, {"priority_steps": [0, 5]}, {"priority_steps": [3, 6]}, {"sep": "|"},
    {"global_keyprefix": "g_", "sep": ":", "priority_steps": [0, 9]}, {},
]  # fmt: skip
PRIORITIES = [None, 0, 1, 3, 5, 6, 7, 9]


@pytest.fixture(scope="module")
def server():
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def apps(server, request):
    options = getattr(request, "param", {})
    url = server.url(2)
    theirs = Celery("options", broker=url, backend=url, set_as_current=False)
    ours = Canvas("options", broker=url, backend=url, set_as_current=False)
    for app in (theirs, ours):
        app.conf.broker_transport_options = options
    yield ours, theirs
    ours.driver.broker.link.command("FLUSHDB")
    ours.close()
    theirs.close()


def lists(ours):
    link = ours.driver.broker.link
    keys = sorted(key for key in link.command("KEYS", "*") if link.command("TYPE", key) == b"list")
    return {key: link.command("LLEN", key) for key in keys}


@pytest.mark.parametrize("apps", OPTIONS, indirect=True, ids=str)
def test_both_send_into_the_same_lists(apps):
    ours, theirs = apps
    found = []
    for app in apps:
        for priority in PRIORITIES:
            app.send_task("t", priority=priority)
        found.append(lists(ours))
        ours.driver.broker.link.command("FLUSHDB")
    assert found[0] == found[1]
    for priority in PRIORITIES:
        theirs.send_task("t", priority=priority)
    assert ours.driver.admin.queue_length("celery") == len(PRIORITIES)
    keys = BrokerKeys(ours.conf.broker_transport_options, 2)
    assert set(lists(ours)) <= {name.encode() for name in keys.queue_lists("celery")}


@pytest.mark.parametrize("apps", OPTIONS, indirect=True, ids=str)
def test_a_celery_consumer_takes_what_canvas_sends(apps):
    ours, theirs = apps
    for priority in PRIORITIES:
        ours.send_task("t", priority=priority, headers={"given": priority})
    with theirs.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        taken = [queue.get(timeout=5).headers["given"] for _ in PRIORITIES]
        queue.close()
    assert sorted(map(str, taken)) == sorted(map(str, PRIORITIES))


def test_leases_lie_under_the_keys_that_options_name(apps):
    ours, _ = apps
    names = {"unacked_key": "u", "unacked_index_key": "ui", "unacked_mutex_key": "um"}
    ours.conf.broker_transport_options = names
    keys = ours.driver.broker.keys
    assert (keys.unacked, keys.unacked_index, keys.unacked_mutex) == ("u", "ui", "um")


@pytest.mark.parametrize(
    "apps",
    [{}, {"fanout_prefix": False}, {"fanout_prefix": "x{db}/"}, {"fanout_patterns": False}],
    indirect=True,
    ids=str,
)
def test_events_and_commands_are_broadcast_where_the_peer_listens(apps):
    ours, theirs = apps
    with theirs.connection_for_read() as connection:
        channel, keys = connection.default_channel, ours.driver.broker.keys
        for topic in (("celeryev", "task.sent"), ("celery.pidbox", "")):
            assert keys.channel(*topic) == channel._get_publish_topic(*topic)
    with ours.driver.bus.subscribe(ours.conf.event_exchange, topics=True) as inbox:
        with theirs.events.default_dispatcher() as dispatcher:
            dispatcher.send("task-custom", uuid="j")
        assert inbox.next(10)
    with ours.driver.bus.subscribe("celery.pidbox") as inbox:
        theirs.control.broadcast("nothing")
        assert inbox.next(10)


@pytest.mark.parametrize(("strategy", "expected"), [("priority", "baba"), ("sorted", "aabb")])
def test_queues_are_taken_in_the_order_that_the_strategy_says(apps, strategy, expected):
    from canvas.drivers.ports.values import Lease

    ours, _ = apps
    ours.conf.broker_transport_options = {"queue_order_strategy": strategy}
    for queue in "aabb":
        ours.send_task("t", queue=queue)
    assert not ours.driver.broker.round_robin
    taken = ours.driver.broker.lease(Lease("w", ("b", "a"), 4))
    assert "".join(delivery.queue for delivery in taken) == ("bbaa" if strategy == "priority" else expected)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"priority_steps": []}, "priority_steps: expected a list"), ({"sep": ""}, "sep: expected text"),
     ({"queue_order_strategy": "lifo"}, "expected round_robin, priority or sorted")],
)  # fmt: skip
def test_options_of_the_wrong_kind_are_refused(apps, options, text):
    ours, _ = apps
    ours.conf.broker_transport_options = options
    with pytest.raises(ConfigurationError, match=text):
        ours.send_task("t")
    ours.conf.broker_transport_options = {}
