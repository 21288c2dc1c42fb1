import pytest

from canvas import Workflow
from tests.support.apps import make


@pytest.fixture
def app(bench):
    """A client of an empty server."""
    broker, backend, ledger = bench.urls()
    bench.server.client().flushall()
    app = make("canvas", broker, backend, ledger=ledger)
    yield app
    app.close()


@pytest.fixture
def flow(app):
    return Workflow("flow", app)
