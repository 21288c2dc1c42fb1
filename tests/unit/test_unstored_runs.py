"""Runs that a process reads before the settlement that writes them is stored."""

import pytest

from canvas import Canvas
from canvas.errors import RunLost
from canvas.model.settlement import Settlement
from canvas.model.workflow_run import RunNode
from canvas.workflows.run_records import run_metadata


@pytest.fixture
def app():
    with Canvas("unstored", broker="memory://unstored", backend="memory://unstored", set_as_current=False) as app:
        yield app


def nodes(name):
    return [RunNode("start", "start"), RunNode(name, "task"), RunNode("end", "end")]


def about(app):
    return run_metadata("grown", nodes("x"), app.now())


def test_a_run_is_known_as_long_as_its_settlement_is_under_way(app):
    runs = app.run_store
    known = runs.know_unstored("run", 0, nodes("mine"), about(app), certain=False)
    assert (runs.metadata("run")[1], runs.node("run", 0, 1).name) == (0, "mine")
    assert [node.name for node in runs.nodes("run", 0, 3)] == ["start", "mine", "end"]
    del known
    with pytest.raises(RunLost):
        runs.metadata("run")
    with pytest.raises(RunLost):
        runs.node("run", 0, 1)


def test_the_nodes_of_the_worker_whose_settlement_is_stored_count(app):
    runs = app.run_store
    known = runs.know_unstored("run", 0, nodes("mine"), about(app), certain=False)
    write = runs.new_inside("run", about(app), nodes("theirs"))
    app.driver.settler.settle([Settlement(None, fence="none", runs=[write])])
    del known
    assert runs.node("run", 0, 1).name == "theirs"


def test_metadata_that_has_not_changed_is_decoded_once(app):
    store, run = app.run_store, "large"
    store.save(run, about(app), nodes("x"))
    first, _ = store.metadata(run)
    again, _ = store.metadata(run)
    assert again == first and again is not first
    assert again["attempts"] is first["attempts"], "it was decoded again"
    assert store.mark(run, 0, "cancelled")
    assert store.metadata(run)[0] == {**first, "cancelled": True}
    assert store.begin_attempt(run, 0, {**first, "attempts": [1]}, nodes("x"), None)
    assert store.metadata(run)[0]["attempts"] == [1]
