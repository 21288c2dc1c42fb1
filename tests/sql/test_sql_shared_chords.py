"""One chord whose header runs on a Celery worker and on a canvas worker, with results in PostgreSQL."""

import celery
import pytest

from canvas import chord
from tests.support.apps import make
from tests.support.processes import WorkerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request):
    return (
        request.getfixturevalue("redis_url") if request.param == "redis" else request.getfixturevalue("rabbitmq").url()
    )


@pytest.mark.parametrize("library", ["celery", "canvas"])
def test_both_kinds_of_worker_share_a_chord(broker, postgres_url, library):
    settings = {"result_chord_retry_interval": 0.1}
    app = make(
        library, broker, postgres_url, **settings, **({"result_chord_unlock": True} if library == "canvas" else {})
    )
    add, tsum = app.tasks["t.add"], app.tasks["t.tsum"]
    compose = celery.chord if library == "celery" else chord
    with (
        WorkerProcess("canvas", broker, postgres_url, "-P", "solo", result_chord_retry_interval=0.1),
        WorkerProcess("celery", broker, postgres_url, "-P", "solo"),
    ):
        sent = [compose([add.s(n, n) for n in range(20)], tsum.s()).apply_async() for _ in range(5)]
        assert [one.get(timeout=90) for one in sent] == [380] * 5
    app.close()
