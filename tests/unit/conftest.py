"""Unit tests share a process, and with it the shared tasks and the memory stores of the tests before."""

import pytest

from canvas.app import shared_tasks
from canvas.drivers import memory


@pytest.fixture(autouse=True)
def _no_shared_task_outlives_its_test():
    known, apps = list(shared_tasks._definitions), set(shared_tasks._apps)
    yield
    shared_tasks._definitions[:] = known
    for app in set(shared_tasks._apps) - apps:  # some stay until the garbage is collected
        shared_tasks._apps.discard(app)


@pytest.fixture(autouse=True)
def _each_test_opens_memory_stores_of_its_own():
    memory._queues.clear()
    memory._records.clear()
