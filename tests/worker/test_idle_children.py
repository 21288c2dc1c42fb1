"""A prefork child without tasks looks once a heartbeat after the runs that have ended in it."""

import itertools
import time

import pytest

import canvas.workflows.store
from canvas import Workflow
from canvas.model.record import Record
from canvas.testing.contract import eventually
from canvas.worker.consumer.lifetimes import Lifetimes
from canvas.worker.consumer.maintenance import ChildMaintenance, MaintenanceThread
from tests.support.apps import make
from tests.worker.commands import task

KEPT = 300
BEAT = 0.4


@pytest.fixture
def app(bench, monkeypatch):
    monkeypatch.setattr(canvas.workflows.store, "_SETTLED_AFTER", 0.0)
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger, result_expires=KEPT, workflow_run_expires=KEPT)
    yield app
    app.close()
    bench.empty()


@pytest.fixture
def looks(app):
    """The times at which the child has looked."""
    found = []
    lifetimes = Lifetimes(app, app.run_store, lambda: [], BEAT, renews=False)

    def look():
        found.append(time.monotonic())
        return lifetimes.tick()

    thread = MaintenanceThread(ChildMaintenance(app.driver.broker, look))
    thread.start()
    yield found
    thread.stop(within=5)


def test_a_run_that_ended_before_the_child_was_idle_expires(bench, app, looks):
    flow = Workflow("flow", app)
    flow.add(task(app, "ident").s(1), name="only")
    run = flow.apply_async()
    assert eventually(lambda: looks)
    app.run_store.ended(run.id, 0)
    record = Record(run.id, "SUCCESS", None, None, [])
    record.extra = {"attempt": 0}
    assert bench.results.ttl(f"canvas:run:{run.id}") > KEPT
    app.driver.results.store([app.backend.store_of(record, in_run=True)])
    assert eventually(lambda: 0 < bench.results.ttl(f"canvas:run:{run.id}") <= KEPT)
    many = len(looks)
    assert eventually(lambda: len(looks) >= many + 3)
    assert all(later - earlier >= BEAT * 0.9 for earlier, later in itertools.pairwise(looks))
