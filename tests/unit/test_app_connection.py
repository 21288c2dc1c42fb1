"""``app.connection()`` beside Celery's, on one Redis."""

import subprocess
import sys

import celery
import kombu
import pytest

from canvas import Canvas
from canvas.app.connection import Connection
from canvas.errors import ConfigurationError, OperationalError
from tests.support.redis_server import free_port


@pytest.fixture
def apps(redis_url):
    ours = Canvas("ours", broker=redis_url, set_as_current=False)
    theirs = celery.Celery("theirs", broker=redis_url, set_as_current=False)
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.mark.parametrize("name", ["connection", "connection_for_read", "connection_for_write", "connection_or_acquire"])
def test_lengths_of_queues(apps, name):
    apps[0].send_task("a")
    apps[1].send_task("a", priority=5)
    found = []
    for app in apps:
        with getattr(app, name)() as connection:
            connection.ensure_connection(max_retries=3)
            declared = connection.default_channel.queue_declare(queue="celery", passive=True)
            found.append(tuple(declared))
    assert found[0] == found[1]
    assert found[0] == ("celery", 2, 0)


def test_a_pool(apps):
    for app in apps:
        with app.pool.acquire(block=True) as connection:
            assert connection.default_channel.queue_purge("celery") == 0


def test_a_password_is_masked():
    app = Canvas("a", broker="redis://user:secret@host:6379/0", set_as_current=False)
    assert "secret" not in repr(app.connection())
    assert app.connection().as_uri(include_password=True) == "redis://user:secret@host:6379/0"


def test_a_broker_that_does_not_answer():
    app = Canvas("a", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    attempts = []
    with Connection(app) as connection:
        with pytest.raises(OperationalError):
            connection.ensure_connection(
                lambda exc, seconds: attempts.append((isinstance(exc, OperationalError), seconds)),
                max_retries=2, interval_start=0, interval_step=0.01,
            )  # fmt: skip
        assert not connection.connected
    assert attempts == [(True, 0), (True, 0.01)]
    with app.connection() as connection, pytest.raises(kombu.exceptions.OperationalError):
        connection.ensure_connection(max_retries=1, interval_start=0)


def test_what_canvas_own_does_not_have():
    app = Canvas("a", broker="memory://", set_as_current=False)
    with pytest.raises(AttributeError, match="send with"):
        app.connection().default_channel.basic_publish
    with pytest.raises(ConfigurationError, match="is not the app's broker"):
        app.connection("memory://elsewhere")


def test_kombus_producers_and_queues(apps):
    """kombu's own objects on the app's connections: a message that one sends, another reads."""
    for app in apps:
        queue = kombu.Queue("letters", kombu.Exchange("letters"), routing_key="letters")
        with app.producer_or_acquire() as producer:
            producer.publish({"n": 1}, exchange=queue.exchange, routing_key="letters", declare=[queue])
        with app.producer_pool.acquire(block=True) as producer:
            producer.publish({"n": 2}, exchange=queue.exchange, routing_key="letters", declare=[queue])
        with app.connection_for_read() as connection, connection.SimpleQueue(queue) as letters:
            read = [letters.get(timeout=5) for _ in range(2)]
            assert [message.payload["n"] for message in read] == [1, 2]
            for message in read:
                message.ack()


def test_queues_and_routes(apps):
    found = []
    for app in apps:
        app.conf.task_routes = {"a.*": {"queue": "fast"}}
        amqp = app.amqp
        amqp.queues.add(kombu.Queue("fast", kombu.Exchange("x"), routing_key="k"))
        routed = amqp.router.route({"priority": 3}, "a.b")
        queue = routed.pop("queue")
        found.append((type(queue), queue.name, routed, sorted(amqp.queues), amqp.default_queue.name,
                      amqp.default_exchange.name, amqp.Producer, amqp.Consumer, amqp.Connection))  # fmt: skip
    assert found[0] == found[1]


@pytest.mark.parametrize("place", ["kombu", "redis"])
def test_kombus_error_is_caught(place):
    """Code that catches kombu's error catches canvas', whichever was imported first."""
    program = f"""
import canvas.errors, {place}
import kombu.exceptions
from canvas import Canvas
app = Canvas("a", broker="redis://127.0.0.1:{free_port()}/0", set_as_current=False, task_publish_retry=False)
caught = []
for send, kind in [(lambda: app.send_task("x"), kombu.exceptions.OperationalError),
                   (lambda: app.send_task("x", [object()]), kombu.exceptions.EncodeError)]:
    try:
        send()
    except kind as exc:
        caught.append(isinstance(exc, canvas.errors.CanvasError))
print(caught)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[True, True]", done.stderr


@pytest.mark.parametrize("login", [":12secret#x", ":12secret/x", ":12secret?x", ":12[secret"])
def test_a_url_that_cannot_be_divided(login):
    app = Canvas("ours", broker=f"redis://{login}@h:6379/0", set_as_current=False)
    with pytest.raises(ConfigurationError, match="percent-encoded") as raised:
        app.connection()
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
