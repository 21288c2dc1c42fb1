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
    "topics of the default exchange": {
        "task_queues": [Queue("a", routing_key="task.#"), Queue("f", routing_key="feed.#"), Queue("b")],
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


@pytest.mark.parametrize("named", SETTINGS)
def test_a_call_goes_where_celery_sends_it(redis_server, named):
    # kombu binds the queues of one URL once, whatever is deleted meanwhile, and knows them by their names.
    db = list(SETTINGS).index(named)
    settings, client = SETTINGS[named], redis_server.client(db)

    def lists(app, name, call):
        client.delete("none", *(key for key in client.keys() if client.type(key) == b"list"))
        app.send_task(name, (1,), **call)
        return sorted(key for key in client.keys() if client.type(key) == b"list")

    def all_lists(make):
        client.flushdb()
        app = make("routed", broker=redis_server.url(db), set_as_current=False)
        app.conf.update(settings)
        found = [lists(app, name, call) for name in settings.get("task_routes") or ["t.n"] for call in CALLS]
        app.close()
        return found

    assert all_lists(Canvas) == all_lists(celery.Celery)
