"""Runs of a process that calls its tasks itself: nothing is stored or sent unless settings ask for it."""

import pytest

from canvas import Workflow
from canvas.errors import RunLost
from tests.unit.eager_app import always_eager, fail, ident
from tests.unit.flows import sig


def states(run):
    return {node.name: node.state for node in run.status().nodes}


@pytest.fixture
def storing():
    app = always_eager("storing", "memory://eager-workflows", "memory://eager-workflows")
    assert app.driver.scheme == "memory"  # the store lives as long as a driver of it
    return app


def test_nothing_is_stored_or_sent(storing):
    flow = Workflow("flow", storing)
    flow.add(sig(storing, "ident", 1), name="one")
    run = flow.apply_async()
    assert storing.driver.admin.queue_length("celery") == 0
    assert storing.AsyncResult(run["one"].id).state == "PENDING"
    assert storing.runs() == []
    with pytest.raises(RunLost) as raised:
        storing.workflow(run.id)
    assert any("task_store_eager_result" in note for note in raised.value.__notes__)


def test_a_run_is_stored_where_results_are_to_be(storing):
    storing.conf.task_store_eager_result = True
    broken = [True]
    storing.task(name="gated", shared=False)(lambda x: fail() if broken else x)
    flow = Workflow("flow", storing)
    one = flow.add(sig(storing, "ident", 1), name="one")
    flow.add(sig(storing, "gated", one), name="two")
    run = flow.apply_async()
    stored = storing.workflow(run.id)
    assert states(stored) == {"one": "SUCCESS", "two": "FAILURE"}
    assert stored["one"].get(timeout=5) == 1
    with pytest.raises(ValueError, match="boom"):
        stored.get(timeout=5)
    broken.clear()
    assert stored.resume()
    assert storing.workflow(run.id).get(timeout=5) == 1
    assert storing.driver.admin.queue_length("celery") == 0


def test_a_task_may_have_its_result_stored_alone(storing):
    storing.task(name="kept", shared=False, store_eager_result=True)(ident)
    flow = Workflow("flow", storing)
    flow.add(sig(storing, "ident", 1), name="one")
    flow.add(sig(storing, "kept", 2), name="two")
    run = flow.apply_async()
    assert storing.AsyncResult(run["two"].id).get(timeout=5) == 2
    assert storing.AsyncResult(run["one"].id).state == "PENDING"
