"""``rpc://`` results of canvas and real Celery 5.7, in all pairings, by RabbitMQ, without a state server and with one,
and by Redis."""

import asyncio
import time

import pytest

import canvas
from canvas.testing.contract import eventually
from tests.interop.conftest import PAIRINGS, Pair
from tests.support.apps import make
from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess
from tests.support.rabbit_bench import RabbitBench
from tests.support.shapes import Shapes

OURS = [pairing for pairing in PAIRINGS if "canvas" in pairing]
BROKERS = ["rabbitmq", "redis"]


class RpcBench(RabbitBench):
    """A bench whose results are messages."""

    def urls(self):
        return self.url, "rpc://", self._ledger


class RpcOnRedis(Bench):
    """The same, with messages in Redis."""

    def urls(self):
        return self.server.url(0), "rpc://", self.server.url(2)


@pytest.fixture(scope="module", params=BROKERS)
def bench(request, own_server):
    if request.param == "redis":
        return RpcOnRedis(own_server)
    return RpcBench(own_server, request.getfixturevalue("rabbitmq").url())


@pytest.fixture(scope="module", params=OURS, ids=lambda p: f"{p[0]}-client-{p[1]}-worker")
def pair(request, bench):
    client, worker = request.param
    broker, backend, ledger = bench.urls()
    with WorkerProcess(worker, broker, backend, "-P", "threads", "-c", "4", "-n", "one@here", ledger=ledger):
        app = make(client, broker, backend, ledger=ledger)
        yield Pair(client, worker, app, bench)
        app.close()


def test_values_errors_chains_and_groups(pair):
    shapes, group = Shapes(pair.lib, pair.app), pair.lib.group
    assert shapes.s("add", 1, 2).apply_async().get(timeout=30) == 3
    with pytest.raises(Exception, match="boom"):
        shapes.s("fail").apply_async().get(timeout=30)
    assert (shapes.s("add", 1, 2) | shapes.s("add", 4)).apply_async().get(timeout=30) == 7
    members = [shapes.s("add", n, n) for n in range(20)]
    assert group(members).apply_async().get(timeout=30) == [2 * n for n in range(20)]
    assert shapes.s("retried_once", 0.2, "value").apply_async().get(timeout=30) == "value"
    assert shapes.s("add", 1, 1).apply_async(countdown=0.3).get(timeout=30) == 2


def test_states_are_polled_and_results_wait_for_their_reader(pair):
    if pair.client != "canvas":
        pytest.skip("Celery does not find polled results once it has waited for one")
    shapes, key = Shapes(pair.lib, pair.app), pair.bench.new_key()
    result = shapes.s("until_open", key).apply_async()
    assert result.state == "PENDING"
    pair.bench.open(key)
    eventually(lambda: result.state == "SUCCESS")
    assert result.get(timeout=30) == key


def test_results_are_awaited(pair):
    if pair.client != "canvas":
        pytest.skip("Celery has no awaitable results")

    async def main():
        sent = [await pair.app.tasks["t.add"].aapply_async((n, 1)) for n in range(5)]
        return [await one.aget(timeout=30) for one in sent]

    assert asyncio.run(main()) == [1, 2, 3, 4, 5]


def test_prefork_and_a_state_server(bench):
    broker, backend, ledger = bench.urls()
    state = bench.server.url(3)
    with (
        WorkerProcess("canvas", broker, backend, "-P", "prefork", "-c", "2", ledger=ledger, state=state),
        make("canvas", broker, backend, ledger=ledger) as app,
    ):
        shapes = Shapes(canvas, app)
        assert (shapes.s("add", 1, 2) | shapes.s("add", 4)).apply_async().get(timeout=30) == 7
        assert shapes.s("retried_once", 0.2, "value").apply_async().get(timeout=30) == "value"


def test_results_that_came_before_the_first_look_are_read_at_once(bench):
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    key = bench.new_key()
    with WorkerProcess("canvas", broker, backend, "-P", "solo", "-n", "two@here", ledger=ledger):
        result = app.tasks["t.add"].delay(1, 1)
        app.tasks["t.noted"].delay(key, key)
        bench.ledger(key, 1)
    before = time.monotonic()
    assert result.state == "SUCCESS"
    assert time.monotonic() - before < 3
    app.close()
