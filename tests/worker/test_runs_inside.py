"""Runs inside of a run: of items of maps, in loops, in nodes with a limit. They are cancelled with it."""

import pytest

from canvas import Workflow
from canvas.errors import NodeTimeout
from canvas.testing.contract import eventually
from canvas.workflows.run import Run
from tests.worker.commands import served_app, task

app = served_app("-P", "threads", "-c", "2", short_leases=1)


def items(app, flow):
    flow.map(task(app, "naps").s(), flow.add(task(app, "ident").s([1, 2])), name="node")
    return ["0", "1"]


def rounds(app, flow):
    flow.loop(task(app, "naps").s(), 1, at_most=3, name="node")
    return ["0"]


@pytest.mark.parametrize("compose", [items, rounds])
def test_those_of_items_are_cancelled_with_their_run(app, flow, compose):
    of_items = compose(app, flow)
    run = flow.apply_async()
    children = [f"{run['node'].id}.{item}.w" for item in of_items]
    eventually(lambda: all(app.AsyncResult(child).state == "STARTED" for child in children))
    run.cancel()
    run.result.get(timeout=20, propagate=False)
    assert run.status().state == "CANCELLED"
    assert [Run.find(app, child).status().state for child in children] == ["CANCELLED"] * len(children)


def test_that_of_a_node_with_a_limit_is_cancelled_by_it(app, flow):
    inner = Workflow("inner", app)
    inner.sleep(3600, name="nap")
    flow.timeout(flow.add(inner, name="node"), 0.5)
    run = flow.apply_async()
    with pytest.raises(NodeTimeout):
        run.get(timeout=20)
    eventually(lambda: run.child("node").status().state == "CANCELLED")
    assert next(iter(run.status().nodes)).child == run.child("node").id
