"""A Redis that is away: the error is what programs catch around Celery's calls."""

import kombu.exceptions
import pytest
import redis.exceptions

from canvas import Canvas
from canvas.errors import OperationalError
from tests.support.redis_server import free_port

CALLS = {
    "delay": lambda app: app.tasks["t"].delay(),
    "send_task": lambda app: app.send_task("t"),
    "state": lambda app: app.AsyncResult("1").state,
    "ping": lambda app: app.control.ping(timeout=0.1),
}


@pytest.fixture(scope="module")
def app():
    url = f"redis://127.0.0.1:{free_port()}/0"
    app = Canvas("away", broker=url, backend=url, task_publish_retry=False, set_as_current=False)
    app.conf.result_backend_transport_options = {"retry_policy": {"max_retries": 0}}

    @app.task(name="t")
    def task():
        pass

    yield app
    app.close()


@pytest.mark.parametrize("call", CALLS)
def test_the_errors_that_programs_catch(app, call):
    with pytest.raises(redis.exceptions.ConnectionError) as caught:
        CALLS[call](app)
    assert isinstance(caught.value, OperationalError)
    assert isinstance(caught.value, kombu.exceptions.OperationalError)
    assert str(caught.value).startswith("Redis at 127.0.0.1:")
