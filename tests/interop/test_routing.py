"""Where a call goes: the same lists as with Celery, for each way to say it."""

import celery
import pytest
from kombu import Exchange, Queue

from canvas import Canvas

TOPIC = Exchange("tx", type="topic")
SETTINGS = {
    "nothing set": {},
    "another default": {"task_default_queue": "dq"},
    "a default with an exchange": {
        "task_default_queue": "dq",
        "task_default_exchange": "dx",
        "task_default_routing_key": "drk",
    },
    "queues": {
        "task_queues": [Queue("a", routing_key="a.k"), Queue("b", Exchange("bx"), routing_key="b.k")],
        "task_default_queue": "a",
    },
    "topics": {
        "task_queues": [Queue("a", TOPIC, routing_key="task.#"), Queue("f", TOPIC, routing_key="feed.#")],
        "task_default_queue": "a",
        "task_default_exchange": "tx",
        "task_default_exchange_type": "topic",
        "task_default_routing_key": "task.default",
    },
    "routes": {
        "task_routes": {
            "t.x": {"queue": "rq", "routing_key": "rrk", "priority": 5},
            "t.y": "plain",
            "t.z": {"routing_key": "only.rk"},
            "t.e": {"exchange": "ex", "routing_key": "k"},
        }
    },
}
CALLS = [
    {}, {"queue": "q1"}, {"routing_key": "rk"}, {"exchange": "ex1"}, {"exchange": "ex1", "routing_key": "rk"},
    {"queue": "q1", "routing_key": "rk"}, {"queue": "q1", "exchange": "ex1"},
    {"queue": "q1", "exchange": "ex1", "routing_key": "rk"}, {"priority": 7}, {"queue": "f"}, {"queue": "b"},
    {"routing_key": "feed.x"}, {"queue": "b", "priority": 0},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_call_goes_where_celery_sends_it(redis_server, redis_url, settings):
    client = redis_server.client()
    apps = [make("routed", broker=redis_url, set_as_current=False) for make in (Canvas, celery.Celery)]
    for app in apps:
        app.conf.update(settings)

    def lists(app, name, call):
        client.flushdb()
        app.send_task(name, (1,), **call)
        return sorted(key for key in client.keys() if client.type(key) == b"list")

    names = settings.get("task_routes") or ["t.n"]
    found, expected = ([lists(app, name, call) for name in names for call in CALLS] for app in apps)
    assert found == expected
    for app in apps:
        app.close()
