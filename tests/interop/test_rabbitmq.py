"""Clients and workers of canvas and real Celery 5.7 on the same RabbitMQ queues, in all pairings."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from canvas.testing.contract import eventually
from tests.interop.conftest import PAIRINGS, Pair
from tests.support.apps import make
from tests.support.processes import WorkerProcess
from tests.support.rabbit_bench import RabbitBench
from tests.support.shapes import SHAPES, Shapes
from tests.worker.commands import invoked, start

OURS = [pairing for pairing in PAIRINGS if "canvas" in pairing]
SAMPLED = SHAPES[:: max(1, len(SHAPES) // 6)]


@pytest.fixture(scope="module", params=OURS, ids=lambda p: f"{p[0]}-client-{p[1]}-worker")
def pair(request, own_server, rabbitmq):
    client, worker = request.param
    own_server.client().flushall()
    bench = RabbitBench(own_server, rabbitmq.url())
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


def test_messages_move_between_redis_and_rabbitmq(own_server, rabbitmq):
    own_server.client().flushall()
    redis_url, rabbit = own_server.url(0), rabbitmq.url()
    bench = RabbitBench(own_server, rabbit)
    backend = bench.urls()[1]
    app = make("canvas", redis_url, backend)
    result = app.tasks["t.add"].apply_async((1, 2))
    later = app.tasks["t.add"].apply_async((2, 2), countdown=0.2)
    assert invoked(app, "migrate", redis_url, rabbit).stdout == "Moved 2 messages of celery.\n"
    app.close()
    moved = make("canvas", rabbit, backend)
    assert moved.driver.admin.queue_length("celery") == 2
    with start(bench, "-P", "solo"):
        assert [moved.AsyncResult(one.id).get(timeout=30) for one in (result, later)] == [3, 4]
    back = moved.tasks["t.add"].apply_async((3, 3))
    assert invoked(moved, "migrate", rabbit, redis_url).stdout == "Moved 1 messages of celery.\n"
    moved.close()
    again = make("canvas", redis_url, backend)
    with WorkerProcess("canvas", redis_url, backend, "-P", "solo"):
        assert again.AsyncResult(back.id).get(timeout=30) == 6
    again.close()


def test_dead_letters_and_queues(own_server, rabbitmq):
    own_server.client().flushall()
    bench = RabbitBench(own_server, rabbitmq.url())
    app = make("canvas", *bench.urls()[:2])
    app.send_task("t.unknown_here")
    with start(bench, "-P", "solo") as worker:
        eventually(lambda: app.driver.admin.dead_letter_count("celery") == 1)
        assert "NotRegistered" in invoked(app, "dead-letters", "list").stdout
        worker.stop()
    assert invoked(app, "dead-letters", "requeue", "--all").stdout == "1 put back\n"
    assert '"waiting": 1' in invoked(app, "queues", "--json").stdout
    assert invoked(app, "purge", "-f").stdout == "Purged 1 message from 1 known task queue.\n"
    app.close()
