"""The ids of the records of a run, which expire with it: of a run that has only tasks, without reading its nodes."""

import pytest

import canvas.workflows.store
from canvas import Workflow
from canvas.model.record import Record
from canvas.workflows.progress.run_expiry import retire
from canvas.workflows.run_records import kept_ids, record_ids
from tests.support.counting import counted


@pytest.fixture
def task(app):
    return app.task(name="t.node")(lambda *values: values)


def of_tasks(app, task):
    flow = Workflow("tasks", app)
    first = flow.add(task.s(1), name="first")
    flow.add(task.s(first), name="second", when="any_done")
    return flow


def of_a_map(app, task):
    flow = Workflow("map", app)
    flow.map(task.s(), flow.add(task.s(1), name="items"), name="each")
    return flow


def of_a_limit(app, task):
    flow = Workflow("limit", app)
    flow.timeout(flow.add(task.s(1), name="slow"), 5, otherwise=task.s(2), name="instead")
    return flow


@pytest.mark.parametrize(("made", "only"), [(of_tasks, True), (of_a_map, False), (of_a_limit, False)])
@pytest.mark.parametrize("attempt", [0, 2])
def test_the_ids_by_the_metadata_are_those_by_the_nodes(app, task, made, only, attempt):
    run, runs = made(app, task).apply_async(), app.run_store
    about = runs.metadata(run.id)[0]
    assert about["tasks_only"] is only
    assert {run[name].id for name in run} <= set(record_ids(app, runs, run.id, attempt, run.nodes))
    for known in (about, {**about, "tasks_only": False}):
        assert kept_ids(app, runs, run.id, attempt, known) == record_ids(app, runs, run.id, attempt, run.nodes)


def test_function_calls_for_a_node_of_a_run_that_expires(app, task, monkeypatch):
    monkeypatch.setattr(canvas.workflows.store, "_SETTLED_AFTER", 0.0)
    calls = []
    for count in (100, 1_100):
        flow = Workflow("many", app)
        for number in range(count):
            flow.add(task.si(number))
        run = flow.apply_async()
        record = Record(run.id, "SUCCESS", None, None, [])
        record.extra = {"attempt": 0}
        app.driver.results.store([app.backend.store_of(record, in_run=True)])
        app.run_store.ended(run.id, 0)
        done = []
        calls.append(counted(lambda: done.append(retire(app, app.run_store))))  # noqa: B023 - called at once
        assert done == [1]
    each = (calls[1] - calls[0]) / 1_000
    assert each <= 7, f"{each} function calls for a node of a run that expires"
