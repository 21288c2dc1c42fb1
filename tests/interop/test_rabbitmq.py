"""Clients and workers of canvas and real Celery 5.7 on the same RabbitMQ queues, in all pairings."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from canvas.testing.contract import eventually
from tests.interop.conftest import PAIRINGS, Pair
from tests.support.apps import make
from tests.support.processes import WorkerProcess
from tests.support.rabbit_bench import RabbitBench
from tests.support.redis_server import RedisServer
from tests.support.shapes import SHAPES, Shapes

OURS = [pairing for pairing in PAIRINGS if "canvas" in pairing]
SAMPLED = SHAPES[:: max(1, len(SHAPES) // 6)]


@pytest.fixture(scope="module")
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module", params=OURS, ids=lambda p: f"{p[0]}-client-{p[1]}-worker")
def pair(request, server, rabbitmq):
    client, worker = request.param
    server.client().flushall()
    bench = RabbitBench(server, rabbitmq.url())
    broker, backend, ledger = bench.urls()
    with WorkerProcess(worker, broker, backend, "-P", "threads", "-c", "4", "-E", "-n", "one@here", ledger=ledger):
        app = make(client, broker, backend, ledger=ledger)
        yield Pair(client, worker, app, bench)
        app.close()


@pytest.mark.parametrize(
    "shape", [pytest.param(shape, marks=() if shape in SAMPLED else pytest.mark.slow) for shape in SHAPES]
)
def test_value(pair, shape):
    signature, expected = getattr(Shapes(pair.lib, pair.app), shape)()
    assert signature.apply_async().get(timeout=30) == expected


def test_links_errbacks_and_retries(pair):
    shapes, bench, key = Shapes(pair.lib, pair.app), pair.bench, pair.bench.new_key()
    linked = shapes.s("add", 1, 2)
    linked.link(shapes.s("noted", f"{key}:linked"))
    results = [
        linked.apply_async(),
        shapes.s("fail").on_error(shapes.s("errback_by_id", f"{key}:failed")).apply_async(),
    ]
    assert bench.ledger(f"{key}:linked", 1) == ["3"]
    assert bench.ledger(f"{key}:failed", 1) == [results[1].id]
    assert shapes.s("retried_once", 0.2, "value").apply_async().get(timeout=30) == "value"
    assert shapes.s("add", 1, 1).apply_async(countdown=0.3).get(timeout=30) == 2


def test_remote_control_and_events(pair):
    asked = pair.app.control.inspect(destination=["one@here"], timeout=10)
    assert asked.ping() == {"one@here": {"ok": "pong"}}
    assert asked.active_queues()["one@here"][0]["name"] == "celery"
    key = pair.bench.new_key()
    result = Shapes(pair.lib, pair.app).s("until_open", key).apply_async()
    eventually(lambda: [one["id"] for one in asked.active()["one@here"]] == [result.id])
    pair.bench.open(key)
    assert result.get(timeout=30) == key
    monitors = [partial(heard_by_celery, pair.bench), partial(heard_by_canvas, pair.bench)]
    with ThreadPoolExecutor(2) as threads:
        heard = [threads.submit(monitor) for monitor in monitors]
        eventually(lambda: result_of_a_task(pair) and all(one.done() for one in heard))
        assert [one.result() for one in heard] == ["task-succeeded"] * 2


def result_of_a_task(pair):
    return Shapes(pair.lib, pair.app).s("add", 1, 1).apply_async().get(timeout=30)


def heard_by_celery(bench):
    """The kind of the first event that ends a task, as Celery's receiver gets it."""
    app, found = make("celery", *bench.urls()[:2]), []
    with app.connection() as connection:
        receiver = app.events.Receiver(connection)

        def succeeded(event):
            found.append(event["type"])
            receiver.should_stop = True

        receiver.handlers["task-succeeded"] = succeeded
        receiver.capture(limit=None, timeout=20, wakeup=False)
    return found[0]


def heard_by_canvas(bench):
    app = make("canvas", *bench.urls()[:2])
    found = next(event["type"] for event in app.events.capture(timeout=20) if event["type"] == "task-succeeded")
    app.close()
    return found
