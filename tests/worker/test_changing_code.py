"""Runs that live while the program of their workers changes: an old and a new release on one queue."""

from contextlib import contextmanager

import pytest

from canvas import Canvas, Workflow, chain
from canvas.errors import NotRegistered, TaskRevokedError
from canvas.testing.contract import eventually
from tests.worker.commands import invoked, start

APP = "tests.support.two_releases:app"


@pytest.fixture
def app(bench):
    broker, backend, _ = bench.urls()
    bench.server.client().flushall()
    with Canvas("releases", broker=broker, backend=backend, set_as_current=False) as app:
        yield app


@contextmanager
def release(bench, number, *arguments, pool="threads", **options):
    with start(bench, "-P", pool, "-c", "4", *arguments, app=APP, release=number, **options) as worker:
        yield worker.ready()


def nodes(run):
    return {node.name: (node.state, node.task) for node in run.status().nodes}


def test_a_node_waits_for_a_worker_that_has_its_task(bench, app):
    flow = Workflow("new", app)
    first = flow.add(app.signature("shared", (1,)), name="first")
    flow.add(app.signature("shared", (flow.add(app.signature("added", (first,)), name="added"),)), name="last")
    with release(bench, "1") as old:
        run = flow.apply_async()
        waiting = {"first": ("SUCCESS", None), "added": ("AWAITING_TASK", "added"), "last": ("WAITING", None)}
        eventually(lambda: nodes(run) == waiting)
        assert run.state == "STARTED"
        old.wait_for("a node of workflow run " + run.id)
        assert [line.split(": ")[1].split("/")[0] for line in old.log if "unregistered task" in line] == ["WARNING"]
        assert "no worker has added" in str(run.status())
        assert "no worker has added" in invoked(app, "workflow", "show", run.id).stdout
        assert run.status().as_dict()["nodes"][1]["task"] == "added"
        assert "?" in run.draw()
        assert app.driver.admin.dead_letters("celery") == []
        with release(bench, "2", "-n", "new@%h"):
            value = run.get(timeout=60)
    assert value[1] == ["added", ["1", 1]]
    assert nodes(run)["added"] == ("SUCCESS", None)


def test_a_node_of_an_old_run_waits_for_an_old_worker(bench, app):
    flow = Workflow("old", app)
    flow.add(app.signature("shared", (flow.add(app.signature("removed", (1,)), name="removed"),)), name="last")
    with release(bench, "2"):
        run = flow.apply_async()
        eventually(lambda: nodes(run)["removed"] == ("AWAITING_TASK", "removed"))
    with release(bench, "1"):
        assert run.get(timeout=60) == ["1", ["removed", 1]]


@pytest.mark.parametrize("pool", ["threads", "prefork", "asyncio"])
def test_a_node_that_has_been_found_is_shown_as_started(bench, app, pool):
    key = bench.new_key()
    flow = Workflow("found", app)
    flow.add(app.signature("held", ("alone", key)), name="alone")
    items = flow.add(app.signature("shared", (0,)), name="items")
    flow.map(app.signature("held", (key,)), over=items, name="mapped")
    with release(bench, "1", pool=pool):
        run = flow.apply_async()
        eventually(lambda: {nodes(run)[name] for name in ("alone", "mapped")} == {("AWAITING_TASK", "held")})
    with release(bench, "2", pool=pool):
        # The items are two: ["1", 0].
        bench.ledger(key, 3, timeout=60)
        eventually(lambda: {nodes(run)[name] for name in ("alone", "mapped")} == {("STARTED", None)})
        bench.open(key)
        assert run.get(timeout=60) == {"alone": "alone", "mapped": ["1", 0]}


def test_steps_of_a_chain_wait_too(bench, app):
    flow = Workflow("chain", app)
    flow.add(chain(app.signature("shared", (1,)), app.signature("added"), app.signature("shared")), name="chain")
    with release(bench, "1") as old:
        run = flow.apply_async()
        old.wait_for("a node of workflow run")
    with release(bench, "2"):
        assert run.get(timeout=60) == ["2", ["added", ["1", 1]]]


def test_a_run_that_waits_for_a_task_can_be_cancelled(bench, app):
    flow = Workflow("cancelled", app)
    flow.add(app.signature("nowhere"), name="nowhere")
    with release(bench, "1"):
        run = flow.apply_async()
        eventually(lambda: nodes(run)["nowhere"] == ("AWAITING_TASK", "nowhere"))
        run.cancel()
        with pytest.raises(TaskRevokedError):
            run.get(timeout=60)
    assert nodes(run)["nowhere"] == ("REVOKED", None)


@pytest.mark.parametrize("unknown", ["dead_letter", "requeue"])
def test_a_node_fails_where_the_setting_says_so(bench, app, unknown):
    env = {"CANVAS_WORKFLOW_UNKNOWN_TASK": "fail", "CANVAS_WORKER_UNKNOWN_TASK": unknown}
    flow = Workflow("fails", app)
    flow.add(app.signature("nowhere"), name="nowhere")
    with release(bench, "1", env=env):
        run = flow.apply_async()
        with pytest.raises(NotRegistered, match="nowhere"):
            run.get(timeout=30)
        assert len(app.driver.admin.dead_letters("celery")) == 1
        run.status()
    assert nodes(run)["nowhere"] == ("FAILURE", None)


def test_other_messages_follow_the_setting_of_workers(bench, app):
    with release(bench, "1"):
        with pytest.raises(NotRegistered):
            app.send_task("nowhere").get(timeout=30)
        assert len(app.driver.admin.dead_letters("celery")) == 1
