"""Runs that have ended expire with their records, once their end is stored and unless they are resumed."""

import pytest

import canvas.workflows.store
from canvas import Workflow
from canvas.model.record import Record
from canvas.model.settlement import ABANDONED_AFTER
from canvas.workflows.lifetimes import retire
from tests.support.apps import make
from tests.support.proxy import Proxy
from tests.worker.commands import task

KEPT = 300
"""Seconds for which runs and results are kept after their end."""


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(canvas.workflows.store, "_SETTLED_AFTER", 0.0)


@pytest.fixture
def client(bench, at_once):
    def connect(backend=None):
        broker, own, ledger = bench.urls()
        app = make(
            "canvas", broker, backend or own, ledger=ledger, result_expires=KEPT, workflow_run_expires=KEPT
        )  # fmt: skip
        apps.append(app)
        return app

    apps = []
    yield connect
    for app in apps:
        app.close()
    bench.empty()


def begun(app):
    flow = Workflow("flow", app)
    flow.add(task(app, "ident").s(1), name="only")
    return flow.apply_async()


def end(app, run, attempt=0):
    record = Record(run.id, "SUCCESS", None, None, [])
    record.extra = {"attempt": attempt}
    app.driver.results.store([app.backend.store_of(record, in_run=True)])


def left(bench, run):
    return bench.results.ttl(f"canvas:run:{run.id}")


def test_a_run_whose_end_is_not_stored_yet_is_kept(bench, client):
    app = client()
    run = begun(app)
    app.run_store.ended(run.id, 0)
    assert retire(app, app.run_store) == 0
    assert left(bench, run) > ABANDONED_AFTER - 60
    end(app, run)
    assert retire(app, app.run_store) == 1
    assert KEPT - 60 < left(bench, run) <= KEPT
    assert bench.results.ttl(f"celery-task-meta-{run.id}") <= KEPT
    assert retire(app, app.run_store) == 0


def test_a_run_whose_end_is_never_stored_is_looked_at_so_often(bench, client):
    app = client()
    run = begun(app)
    app.run_store.ended(run.id, 0, looks=2)
    assert [retire(app, app.run_store) for _ in range(3)] == [0, 0, 0]
    end(app, run)
    assert retire(app, app.run_store) == 0
    assert left(bench, run) > ABANDONED_AFTER - 60


def test_a_later_attempt_is_kept(bench, client):
    app = client()
    run = begun(app)
    end(app, run)
    bench.results.hset(f"canvas:run:{run.id}", "attempt", 1)
    app.run_store.ended(run.id, 0)
    assert retire(app, app.run_store) == 0
    assert left(bench, run) > ABANDONED_AFTER - 60


def test_a_run_that_is_resumed_as_it_expires_is_kept(bench, client):
    seen = []

    def resume(request):
        if request.name == "EXPIRE" and not seen:
            seen.append(request)
            bench.results.hset(f"canvas:run:{run.id}", "attempt", 1)

    with Proxy(bench.server.port, resume) as proxy:
        app = client(proxy.url(1))
        run = begun(client())
        end(app, run)
        app.run_store.ended(run.id, 0)
        assert retire(app, app.run_store) == 0
    assert seen
    assert left(bench, run) > ABANDONED_AFTER - 60
    assert bench.results.ttl(f"celery-task-meta-{run.id}") > ABANDONED_AFTER - 60


def test_a_client_remembers_so_many_ended_runs(client):
    app = client()
    for number in range(20_000):
        app.run_store.ended(str(number), 0)
    assert len(list(app.run_store.over())) == 10_000
