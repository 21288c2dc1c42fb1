from unittest.mock import patch

import celery
import pytest
from celery.contrib.testing.tasks import ping
from celery.contrib.testing.worker import start_worker
from tested_tasks import double


def test_a_worker_of_the_session(celery_session_app, celery_session_worker):
    assert celery_session_app.conf.task_track_started
    assert double.delay(4).get(timeout=10) == 8
    assert ping.delay().get(timeout=10) == "pong"


def test_a_worker_of_the_test(celery_app, celery_worker):
    @celery_app.task
    def mul(x, y):
        return x * y

    celery_worker.reload()
    assert celery_app.main == "celery.tests"
    assert mul.delay(4, 4).get(timeout=10) == 16


@pytest.mark.celery(task_always_eager=True)
def test_settings_of_a_mark(celery_app):
    assert celery_app.conf.task_always_eager
    assert celery.current_app == celery_app


def test_a_worker_of_a_block(celery_app):
    add = celery_app.task(name="add")(lambda x, y: x + y)
    with start_worker(celery_app, perform_ping_check=False, pool="threads", concurrency=2):
        assert [add.delay(n, 1).get(timeout=10) for n in range(3)] == [1, 2, 3]


def test_a_patched_task():
    with patch("tested_tasks.double.delay") as delay:
        double.delay(1)
    delay.assert_called_once_with(1)
