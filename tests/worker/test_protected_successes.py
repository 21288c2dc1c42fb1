"""A success that Celery has stored in a form that the server cannot read stays, whatever a later run comes to."""

import importlib

import pytest

from canvas.testing.contract import eventually
from tests.support.apps import HIDDEN, make
from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module", params=sorted(HIDDEN))
def hidden(request):
    """A server, and a worker that stores results in such a form."""
    with RedisServer() as server:
        bench = Bench(server)
        broker, backend, ledger = bench.urls()
        options = {"ledger": ledger, "hidden": request.param}
        with WorkerProcess("canvas", broker, backend, "-P", "threads", "-c", "2", **options) as worker:
            bench.worker, bench.settings = worker, HIDDEN[request.param]
            yield bench


def client(bench, library):
    broker, backend, ledger = bench.urls()
    return make(library, broker, backend, ledger=ledger, **bench.settings)


def kept(bench, app, task_id, name, *args):
    """What is stored of a task that Celery had stored a success of, after it has run again."""
    celery = client(bench, "celery")
    celery.backend.store_result(task_id, ["value"], "SUCCESS")
    before = bench.results.get(f"celery-task-meta-{task_id}")
    assert not before.startswith(b"{")
    assert importlib.import_module("celery").result.AsyncResult(task_id, app=celery).get(timeout=5) == ["value"]
    app.tasks[name].apply_async(args, task_id=task_id)
    eventually(lambda: [line for line in bench.worker.log if task_id in line and "received" not in line])
    eventually(lambda: not bench.broker.exists("unacked") and not bench.broker.llen("celery"))
    return before, bench.results.get(f"celery-task-meta-{task_id}")


def test_a_later_failure_does_not_replace_it(hidden):
    app = client(hidden, "canvas")
    before, after = kept(hidden, app, hidden.new_key(), "t.fail")
    assert after == before
    app.close()


def test_a_state_that_a_task_stores_itself_does_not_either(hidden):
    app, task_id = client(hidden, "canvas"), hidden.new_key()
    client(hidden, "celery").backend.store_result(task_id, ["value"], "SUCCESS")
    app.backend.store_result(task_id, {"done": 1}, "PROGRESS")
    assert app.AsyncResult(task_id).get(timeout=5) == ["value"]
    app.close()


def test_a_later_success_may(hidden):
    app, task_id = client(hidden, "canvas"), hidden.new_key()
    kept(hidden, app, task_id, "t.ident", 5)
    eventually(lambda: app.AsyncResult(task_id).get(timeout=5) in (5, ["value"]))
    app.close()
