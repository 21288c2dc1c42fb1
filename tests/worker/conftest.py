import pytest

from canvas import Workflow
from canvas.testing.worker import start_worker
from tests.support.combined_app import Combined


@pytest.fixture
def flow(app):
    return Workflow("flow", app)


@pytest.fixture(scope="module")
def combined(bench):
    broker, backend, _ = bench.urls()
    bench.empty()
    combined = Combined(broker, backend)
    with combined.app, start_worker(combined.app, concurrency=4, pool="threads"):
        yield combined
