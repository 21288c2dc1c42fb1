"""A run in a terminal: what runs stays visible, and a failure is explained once."""

import time
from datetime import UTC, datetime

import pytest
from rich.console import Console

from canvas import Canvas, Workflow
from canvas.cli.monitoring.run_tree import run_tree
from canvas.model.workflow_run import OutgoingEdge, RunNode
from canvas.testing.worker import start_worker
from canvas.workflows.progress import watch
from canvas.workflows.progress.causes import causes
from canvas.workflows.progress.watch import MapCounts, ProgressWatch, RunProgress
from canvas.workflows.status import NodeStatus, RunStatus


def drawn(nodes, found, maps=None, state="STARTED", height=None, width=110):
    status = RunStatus("id", "night", state, datetime.now(UTC), None, found)
    states = {node.name: node.state for node in found}
    console = Console(width=width, height=height or 200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(run_tree(nodes, RunProgress(status, maps or {}, causes(nodes, states)), height and (width, height)))
    return console.export_text()


def chain(*names, **kinds):
    nodes = [RunNode(name, kinds.get(name, "task")) for name in names]
    for number, node in enumerate(nodes[:-1]):
        node.outs.append(OutgoingEdge(number + 1, 0))
    return nodes


def test_what_runs_and_the_counts_of_maps_are_shown():
    since = datetime.fromtimestamp(time.time() - 5, UTC)
    nodes = chain("load", "each", "total", each="map")
    found = [
        NodeStatus("load", "SUCCESS", "a"),
        NodeStatus("each", "STARTED", "b", since),
        NodeStatus("total", "WAITING", "c"),
    ]
    text = drawn(nodes, found, {"each": MapCounts(500, 480, 3, 17)})
    assert "each STARTED 480/500, 3 failed 5 s" in text
    assert "1 STARTED" in text


def test_a_failure_is_explained_once(monkeypatch):
    monkeypatch.setattr("canvas.context._argument", ["shop.app:app"])
    nodes = chain("load", "gate", "book", "mail")
    error = "warehouse refused 15"
    found = [
        NodeStatus("load", "SUCCESS", "a"), NodeStatus("gate", "FAILURE", "b", error=error),
        NodeStatus("book", "UPSTREAM_FAILED", "c", error=f"book did not run: {error}"),
        NodeStatus("mail", "UPSTREAM_FAILED", "d", error=f"mail did not run: {error}"),
    ]  # fmt: skip
    text = drawn(nodes, found, state="FAILURE")
    assert text.count(error) == 1
    assert text.count("(gate failed)") == 2
    assert "night id FAILURE 2/4" in text
    assert "resume it: canvas -A shop.app:app workflow resume id" in text


def test_a_cancelled_run_has_no_failures():
    nodes = chain("load", "gate", "book")
    found = [
        NodeStatus("load", "SUCCESS", "a"),
        NodeStatus("gate", "REVOKED", "b", error="revoked"),
        NodeStatus("book", "UPSTREAM_FAILED", "c", error="x"),
    ]
    text = drawn(nodes, found, state="CANCELLED")
    assert text.count(" cancelled") == 2
    assert "resume" not in text


@pytest.mark.parametrize("width", [110, 24])
def test_what_runs_is_visible_on_a_small_screen(width):
    """Head, nodes and totals take no more lines than there are, also where the head is longer than one."""
    nodes = [RunNode(f"fetch-{number}", "task") for number in range(40)]
    found = [
        NodeStatus(f"fetch-{n}", "STARTED" if n in (30, 39) else "FAILURE" if n == 35 else "SUCCESS", f"{n}")
        for n in range(40)
    ]
    text = drawn(nodes, found, height=24, width=width)
    assert len(text.splitlines()) <= 24 - 1
    for name in ("fetch-30 STARTED", "fetch-39 STARTED", "fetch-35 FAILURE"):
        assert name in text
    assert "SUCCESS" in text.splitlines()[-1]


def test_a_name_that_is_longer_than_a_small_screen_takes_one_line():
    nodes = [RunNode(f"fetch-{'x' * 30}-{number}", "task") for number in range(40)]
    text = drawn(nodes, [NodeStatus(node.name, "STARTED", node.name) for node in nodes], height=24, width=30)
    assert len(text.splitlines()) <= 24 - 1
    assert "40 STARTED" in text.splitlines()[-1]


def test_the_items_of_a_resumed_map_are_those_of_all_attempts(monkeypatch):
    app = Canvas("tree", broker="memory://run-tree", backend="memory://run-tree", set_as_current=False)
    prices = {"tea": 4}
    price = app.task(name="tree.price")(lambda item: prices[item])
    flow = Workflow("day", app)
    flow.map(price.s(), over=["tea", "cake"], name="prices")
    with start_worker(app, pool="solo", perform_ping_check=False):
        run = flow.apply_async()
        with pytest.raises(KeyError):
            run.get(timeout=20)
        assert ProgressWatch(app.workflow(run.id)).look({}).maps["prices"] == MapCounts(2, 2, 1, 0)
        prices["cake"] = 7
        run.resume()
        assert run.get(timeout=20) == [4, 7]
    assert ProgressWatch(app.workflow(run.id)).look({}).maps["prices"] == MapCounts(2, 2, 0, 0)
    monkeypatch.setattr(watch, "_ITEMS", 1)
    assert ProgressWatch(app.workflow(run.id)).look({}).maps["prices"] == MapCounts(2, 2, 0, 0)
