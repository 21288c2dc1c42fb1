"""A client makes the queue that a message is routed to, so that nothing is lost before the first worker starts."""

import celery
import pytest
from kombu import Exchange, Queue

from canvas import Canvas

QUEUES = [
    Queue("videos", Exchange("media", type="topic"), routing_key="video.#"),
    Queue("plain", Exchange("plain"), routing_key="plain"),
]
CALLS = [
    {"queue": "videos", "routing_key": "video.mp4"},
    {"queue": "videos", "routing_key": "audio.mp3"},
    {"queue": "videos"},
    {"queue": "plain"},
    {"exchange": "media", "routing_key": "video.avi", "queue": "videos"},
]


def kept(own_server, make, call):
    """What is in Redis after one call, but for the messages' contents."""
    # kombu remembers for each URL what it has declared.
    db = CALLS.index(call) + len(CALLS) * (make is Canvas)
    client = own_server.client(db)
    app = make("sender", broker=own_server.url(db), set_as_current=False)
    app.conf.update(task_queues=QUEUES)
    app.send_task("media.cut", (1,), **call)
    app.close()
    lists = {key.decode(): client.llen(key) for key in client.keys() if client.type(key) == b"list"}
    return lists, {key: client.smembers(key) for key in client.keys("_kombu.binding.*")}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: "-".join(call.values()))
def test_a_queue_is_made_and_bound_as_celery_does(own_server, call):
    ours, theirs = kept(own_server, Canvas, call), kept(own_server, celery.Celery, call)
    assert ours[0] == theirs[0]
    ours_bound = {key: value for key, value in ours[1].items() if value}
    # Celery's client binds a queue also where a message reaches its list without an exchange.
    assert ours_bound.items() <= theirs[1].items()


@pytest.mark.parametrize("broker", ["redis", "memory"])
@pytest.mark.parametrize(("exchange", "kind", "bound", "sent"), [
    ("images", "direct", "image.small", "image.small"), ("images", "topic", "image.#", "image.a.b"),
    ("images", "fanout", "", "anything"),
])  # fmt: skip
def test_the_queue_of_an_exchange_that_the_settings_name(own_server, broker, exchange, kind, bound, sent):
    """Celery's client loses the message where no worker has declared the queue."""
    own_server.client(15).flushdb()
    url = own_server.url(15) if broker == "redis" else f"memory://of-exchange-{kind}"
    app = Canvas("sender", broker=url, set_as_current=False)
    app.conf.task_default_queue = "default"
    app.conf.task_queues = [
        Queue("default", Exchange("default"), routing_key="default"),
        Queue("other", Exchange(exchange, type=kind), routing_key="another"),
        Queue("small", Exchange(exchange, type=kind), routing_key=bound),
    ]
    app.conf.task_routes = {"media.*": {"exchange": exchange, "routing_key": sent}}
    app.send_task("media.cut", (1,))
    found = "other" if kind == "fanout" else "small"
    # A fanout exchange of Redis is a channel, as Celery's: a queue has nothing without a worker.
    expected = 0 if (kind, broker) == ("fanout", "redis") else 1
    assert [app.driver.admin.queue_length(name) for name in ("default", found)] == [0, expected]
    app.close()
