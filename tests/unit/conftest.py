"""Unit tests share a process, and with it the shared tasks that they define."""

import pytest

from canvas.app import shared_tasks


@pytest.fixture(autouse=True)
def _no_shared_task_outlives_its_test():
    known = list(shared_tasks._definitions)
    yield
    shared_tasks._definitions[:] = known
