"""What a client and a worker do in a Redis Cluster: workflows, options of tasks, remote control, beat."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas import Workflow
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.shapes import SHAPES, Shapes
from tests.worker.commands import start, task

SAMPLED = SHAPES[:: max(1, len(SHAPES) // 8)]
QUEUES = ("celery", "q1", "q2", "other")
"""Each in another partition."""


@pytest.fixture(scope="module")
def worker(bench):
    with start(bench, "-P", "threads", "-c", "4", "-E", "-Q", ",".join(QUEUES), "-n", "one@here") as worker:
        yield worker


@pytest.fixture(scope="module")
def app(bench, worker):
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    yield app
    app.close()


@pytest.mark.parametrize(
    "shape", [pytest.param(shape, marks=() if shape in SAMPLED else pytest.mark.slow) for shape in SHAPES]
)
def test_value(app, shape):
    import canvas

    signature, expected = getattr(Shapes(canvas, app), shape)()
    assert signature.apply_async().get(timeout=60) == expected


def test_a_chain_through_queues_of_several_partitions(app):
    step = task(app, "add")
    flow = step.s(1, 1)
    for queue in QUEUES * 3:
        flow = flow | step.s(1).set(queue=queue)
    assert flow.apply_async().get(timeout=60) == 2 + len(QUEUES) * 3


def test_a_message_for_later_in_another_partition(app):
    step = task(app, "add")
    flow = step.s(1, 1) | step.s(1).set(queue="q1", countdown=0.3) | step.s(1).set(queue="q2", countdown=0.3)
    assert flow.apply_async().get(timeout=60) == 4


def test_a_workflow_of_several_queues(app):
    flow = Workflow("spread", app)
    parts = [
        flow.add(task(app, "add").s(number, number).set(queue=queue), name=queue) for number, queue in enumerate(QUEUES)
    ]
    flow.add(task(app, "tsum").s(parts), name="sum")
    run = flow.apply_async()
    assert run.get(timeout=60) == 2 * sum(range(len(QUEUES)))
    eventually(lambda: [one.id for one in app.runs(name="spread", state="SUCCESS")] == [run.id], 60)


def test_one_of_many_starts_a_run_of_a_key(app):
    def begin(_):
        flow = Workflow("keyed", app)
        flow.add(task(app, "add").s(1, 0), name="only")
        return flow.apply_async(run_key="monday").id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(begin, range(8)))) == 1
    assert app.runs.count(name="keyed") == 1


def test_a_concurrency_limit_across_partitions(app, bench):
    key, alone = bench.new_key(), task(app, "alone")
    results = [alone.apply_async((key,), queue=queue) for queue in QUEUES * 2]
    for result in results:
        result.get(timeout=60)
    notes = bench.ledger(key, 2 * len(results))
    assert notes == ["start", "end"] * len(results)


def test_a_unique_task_is_sent_once(app, bench):
    key = bench.new_key()
    unique = task(app, "unique")
    held = unique.apply_async((key, key), queue="q2", countdown=3)
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(lambda queue: unique.apply_async((key, key), queue=queue).id, QUEUES * 2))
    assert ids == {held.id}
    held.get(timeout=60)
    eventually(lambda: unique.apply_async((key, key)).id != held.id, 60)


def test_remote_control_and_events(app, bench):
    asked = app.control.inspect(destination=["one@here"], timeout=20)
    assert asked.ping() == {"one@here": {"ok": "pong"}}
    assert sorted(one["name"] for one in asked.active_queues()["one@here"]) == sorted(QUEUES)
    assert asked.stats()["one@here"]["broker"]["transport"] == "redis+cluster"
    with ThreadPoolExecutor(1) as threads:
        heard = threads.submit(
            lambda: next(one for one in app.events.capture(timeout=60) if one["type"] == "task-succeeded")
        )
        eventually(lambda: task(app, "add").delay(1, 1).get(timeout=60) == 2 and heard.done(), 60)
        assert heard.result()["type"] == "task-succeeded"


def test_a_revoked_task_does_not_run(app):
    result = task(app, "add").apply_async((1, 1), queue="q1", countdown=3)
    app.control.revoke(result.id)
    eventually(lambda: app.AsyncResult(result.id).state == "REVOKED", 60)


def test_nothing_is_left(app, bench):
    eventually(lambda: app.driver.admin.in_flight() == (0, 0, 0), 60)
    assert not [name for name in bench.lasting() if "crossings" in name or "chords:ready" in name]
