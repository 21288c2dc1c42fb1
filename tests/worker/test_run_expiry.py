"""Runs that have ended expire with their records, once their end is stored and unless they are resumed."""

from contextlib import ExitStack

import pytest

import canvas.workflows.store
from canvas import Workflow
from canvas.config.lifetimes import ABANDONED_AFTER
from canvas.errors import BrokerError
from canvas.model.record import Record
from canvas.telemetry import attach
from canvas.workflows.progress.run_expiry import retire
from tests.support.apps import make
from tests.support.proxy import Proxy
from tests.worker.commands import start, task

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
        if request.name == "expire_run" and not seen:
            seen.append(request)
            return lambda answer: bench.results.hset(f"canvas:run:{run.id}", "attempt", 1)
        return None

    with Proxy(bench.server.port, resume) as proxy:
        app = client(proxy.url(1))
        run = begun(client())
        end(app, run)
        app.run_store.ended(run.id, 0)
        assert retire(app, app.run_store) == 0
    assert seen
    assert left(bench, run) > ABANDONED_AFTER - 60
    assert bench.results.ttl(f"celery-task-meta-{run.id}") > ABANDONED_AFTER - 60


def test_a_run_that_is_resumed_before_a_worker_stands_still_and_dies_is_kept(bench, client):
    """It dies between the command with which the run expires and its look whether the run was resumed."""
    seen = []

    def resume(request):
        if seen:
            raise ConnectionAbortedError
        if request.name == "expire_run":
            bench.results.hset(f"canvas:run:{run.id}", "attempt", 1)
            seen.append(request)

    with Proxy(bench.server.port, resume) as proxy:
        app = client(proxy.url(1))
        run = begun(client())
        end(app, run)
        app.run_store.ended(run.id, 0)
        with pytest.raises(BrokerError):
            retire(app, app.run_store)
    assert seen
    assert left(bench, run) > ABANDONED_AFTER - 60
    assert bench.results.ttl(f"celery-task-meta-{run.id}") > KEPT


def test_a_run_whose_client_dies_as_it_resumes_it_is_kept(bench, client, monkeypatch):
    """A worker takes the first step of the attempt, and has all records of the run last."""
    app = client()
    flow = Workflow("flow", app)
    first = flow.add(task(app, "ident").s(2), name="first")
    flow.add(task(app, "needs_gate").s(first, bench.new_key(), gate := bench.new_key()), name="second")
    with start(bench, "-P", "solo", short_leases=1):
        run = flow.apply_async()
        with pytest.raises(ValueError, match="closed"):
            run.get(timeout=20)
        record = f"celery-task-meta-{run['first'].id}"
        bench.results.expire(record, KEPT)
        bench.open(gate)
        with monkeypatch.context() as killed:
            killed.setattr("canvas.workflows.resume.outlive", lambda *words: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                run.resume()
        assert run.get(timeout=20) == 2
        assert bench.results.ttl(record) > KEPT


def test_runs_that_have_ended_are_read_together(bench, client):
    """A call for all of them reads records, definitions, runs inside and attempts; a call for each lets it expire."""
    app, count = client(), 30
    runs = [begun(app) for _ in range(count)]
    for run in runs:
        end(app, run)
        app.run_store.ended(run.id, 0)
    bench.broker.config_resetstat()
    before = bench.broker.info("stats")["total_reads_processed"]
    assert retire(app, app.run_store) == count
    assert bench.broker.info("stats")["total_reads_processed"] - before <= count + 8
    assert bench.broker.info("commandstats")["cmdstat_mget"]["calls"] == 2
    assert all(KEPT - 60 < left(bench, run) <= KEPT for run in runs)


@pytest.mark.slow
def test_runs_that_did_not_expire_because_of_an_outage_do_so_afterwards(bench, client):
    """Each is reported once."""
    expired, away, reported = [], [], []

    def lose(request):
        if request.name == "EXPIRE" and request.arguments[0].startswith(b"canvas:run:"):
            expired.append(request)
        if away and away[0] and len(expired) > 1:
            raise ConnectionError

    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(bench.server.port, lose))
        stack.callback(attach(lambda **said: reported.append(said["run"]), "run.ended"))
        app = client(proxy.url(1))
        runs = [begun(client()) for _ in range(3)]
        for run in runs:
            end(app, run)
            app.run_store.ended(run.id, 0)
        away.append(True)
        with pytest.raises(BrokerError):
            retire(app, app.run_store)
        assert [left(bench, run) <= KEPT for run in runs] == [True, False, False]
        away.clear()
        assert retire(app, app.run_store) == 2
    assert [left(bench, run) <= KEPT for run in runs] == [True] * 3
    assert sorted(reported) == sorted(run.id for run in runs)


def test_a_client_remembers_so_many_ended_runs(client):
    app = client()
    for number in range(20_000):
        app.run_store.ended(str(number), 0)
    assert len(list(app.run_store.over())) == 10_000
