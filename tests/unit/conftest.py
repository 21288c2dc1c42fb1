"""Unit tests share a process, and with it the shared tasks that they define."""

import pytest

from canvas import shared


@pytest.fixture(autouse=True)
def _no_shared_task_outlives_its_test():
    known = list(shared._definitions)
    yield
    shared._definitions[:] = known
