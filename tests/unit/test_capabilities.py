"""What a driver cannot do is refused with what is missing and what to set."""

import pytest

from canvas import Canvas
from canvas.drivers.ports.capabilities import STORE_OF_ALL
from canvas.errors import ConfigurationError, NoResultBackend
from canvas.worker.startup import check_limits

LIMITS = {
    "concurrency_limit": {"concurrency_limit": 2},
    "unique_for": {"unique_for": 60},
    "the global rate_limit": {"rate_limit": "10/s", "rate_limit_scope": "global"},
}


@pytest.fixture
def app():
    with Canvas("limited", broker="memory://", backend="memory://", set_as_current=False) as app:
        yield app


@pytest.mark.parametrize("named", LIMITS)
def test_limits_need_a_broker_that_keeps_them(app, named):
    app.task(name="shop.ship", **LIMITS[named])(lambda: None)
    check_limits(app)
    app.driver.capabilities = STORE_OF_ALL
    with pytest.raises(ConfigurationError, match=f"{named} of shop.ship needs state that all workers share.*redis://"):
        check_limits(app)


def test_a_rate_limit_of_one_node_needs_nothing(app):
    app.task(name="shop.ship", rate_limit="10/s")(lambda: None)
    app.driver.capabilities = STORE_OF_ALL
    check_limits(app)


def test_what_a_result_backend_would_give(app):
    with Canvas("alone", broker="memory://", set_as_current=False) as alone:
        ship = alone.task(name="shop.ship")(lambda: None)
        assert alone.driver.capabilities == {"coordination"}
        with pytest.raises(NoResultBackend, match="no result backend is configured: set result_backend"):
            ship.delay().get(timeout=1)
        with pytest.raises(NoResultBackend, match="a workflow needs a result backend"):
            alone.runs(limit=1)
