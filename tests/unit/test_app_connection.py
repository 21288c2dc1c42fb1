"""``app.connection()`` beside Celery's, on one Redis."""

import celery
import pytest

from canvas import Canvas
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
    with app.connection() as connection:
        with pytest.raises(OperationalError):
            connection.ensure_connection(
                lambda exc, seconds: attempts.append((type(exc), seconds)),
                max_retries=2, interval_start=0, interval_step=0.01,
            )  # fmt: skip
        assert not connection.connected
    assert attempts == [(OperationalError, 0), (OperationalError, 0.01)]


def test_what_it_does_not_have(apps):
    with pytest.raises(AttributeError, match="send with"):
        apps[0].connection().default_channel.basic_publish
    with pytest.raises(ConfigurationError, match="is not the app's broker"):
        apps[0].connection("redis://elsewhere:6379/0")
