import pytest

from canvas import Workflow


@pytest.fixture
def flow(app):
    return Workflow("flow", app)
