"""Nodes that run in rounds, with a worker: ``flow.pages``, whose source is read page by page, and ``flow.loop``."""

import pytest

from canvas import Workflow, chain
from canvas.errors import LoopExhausted
from canvas.testing.contract import eventually
from tests.worker.commands import named, served_app, states, task

app = served_app("-P", "threads", "-c", "4", short_leases=1)


def test_results_come_by_page(bench, app, flow):
    asked, items = bench.new_key(), bench.new_key()
    size = flow.add(task(app, "ident").s(4), name="size")
    paged = flow.pages(task(app, "page_of").s(10, size, asked), task(app, "noted").s(items), name="paged", batch=2)
    flow.add(task(app, "rec").s("end", paged), name="end")
    run = flow.apply_async(labels={"kind": "paged"})
    assert run.get(timeout=20) == ["end", [10], {}]
    assert list(run.pages("paged")) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert bench.notes(asked) == ["0", "4", "8"]
    assert sorted(map(int, bench.notes(items))) == list(range(10))
    assert next(node for node in run.status().nodes if node.name == "paged").rounds == 3


@pytest.mark.parametrize("source", ["yields", "yields_async"])
def test_a_generator_is_a_source(bench, app, flow, source):
    before = set(bench.results.keys())
    size = flow.add(task(app, "ident").s(3), name="size")
    paged = flow.pages(task(app, source).s(10, size), task(app, "ident").s(), name="paged")
    flow.add(task(app, "rec").s("end", paged), name="end")
    run = flow.apply_async()
    assert run.get(timeout=20) == ["end", [10], {}]
    assert list(run.pages("paged")) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    meta = b"celery-task-meta-"
    left = [key for key in set(bench.results.keys()) - before if key.startswith(meta) and run.id.encode() not in key]
    assert len(left) == 1, left  # the last page: the others are in the results of their node


def held_at_its_first_page(bench, app, flow):
    """A run of pages whose items wait, the keys of its source and of its items, and the id of its first page's run."""
    asked, held = bench.new_key(), bench.new_key()
    flow.pages(task(app, "page_of").s(8, 2, asked), task(app, "held_item").s(held, 0), name="paged")
    run = flow.apply_async()
    bench.ledger(asked, 2)
    bench.ledger(held, 2)
    return run, asked, held, eventually(lambda: next(iter(run.status().nodes)).child)


def test_one_page_is_read_ahead_and_no_more(bench, app, flow):
    run, asked, held, first = held_at_its_first_page(bench, app, flow)
    child = app.workflow(first)
    assert child.status().name == "paged 1"
    assert bench.notes(asked) == ["0", "2"]
    assert sorted(bench.notes(held)) == ["0", "1"]
    bench.open(held)
    assert run.get(timeout=20) == 8
    assert bench.notes(asked) == ["0", "2", "4", "6"]


def test_resume_goes_on_with_the_page_that_failed(bench, app, flow):
    asked, counts, gate = bench.new_key(), bench.new_key(), bench.new_key()
    paged = flow.pages(task(app, "page_of").s(6, 2, asked), task(app, "needs_gate").s(counts, gate), name="paged")
    flow.add(task(app, "rec").s("end", paged), name="end")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    assert states(run) == {"paged": "FAILURE", "end": "UPSTREAM_FAILED"}
    assert list(run.pages("paged")) == [[0, 1]]
    bench.open(gate)
    assert run.resume()
    assert run.get(timeout=20) == ["end", [6], {}]
    assert bench.notes(asked) == ["0", "2", "4"]
    assert sorted(bench.notes(counts)) == ["0", "1", "2", "2", "3", "4", "5"]
    assert list(run.pages("paged")) == [[0, 1], [2, 3], [4, 5]]
    assert run.again("paged")
    assert run.get(timeout=20) == ["end", [6], {}]
    assert bench.notes(asked) == ["0", "2", "4"] * 2


def test_cancelled_with_the_run_of_its_page(bench, app, flow):
    run, asked, held, _ = held_at_its_first_page(bench, app, flow)
    run.cancel()
    bench.open(held)
    run.result.get(timeout=20, propagate=False)
    assert run.status().state == "CANCELLED"
    assert bench.notes(asked) == ["0", "2"]
    assert run.resume()
    assert run.get(timeout=20) == 8


def test_a_workflow_for_each_page(bench, app, flow):
    inner = Workflow("inner", app)
    added = inner.input("items").map(task(app, "add").s(1), name="added").map(task(app, "add").s(1), name="twice")
    inner.add(task(app, "tsum").s(added))
    flow.pages(task(app, "page_of").s(5, 2, bench.new_key()), inner, name="paged")
    run = flow.apply_async()
    assert run.get(timeout=20) == 5
    assert list(run.pages("paged")) == [5, 9, 6]


def test_a_loop_ends_when_its_condition_is_met(app, flow):
    start_value = flow.add(task(app, "ident").s({"at": 1}), name="start")
    found = flow.loop(task(app, "add").s(2), start_value["at"], until=task(app, "above").s(6), at_most=10, name="loop")
    named(app, flow, "end", found)
    run = flow.apply_async()
    assert run.get(timeout=20) == ["end", [7], {}]
    (loop,) = [node for node in run.status().nodes if node.name == "loop"]
    assert loop.rounds == 3
    first_round = app.AsyncResult(f"{loop.task_id}.0")
    assert (first_round.get(timeout=20), app.AsyncResult(f"{loop.task_id}.1").get(timeout=20)) == (3, False)


def test_a_loop_takes_results_besides_and_may_just_count(app, flow):
    step = flow.add(task(app, "ident").s(5), name="step")
    assert flow.loop(task(app, "add").s(step), 0, at_most=4).name == "add"
    assert flow.apply_async().get(timeout=20) == 20


def test_a_loop_that_is_exhausted_fails(app, flow):
    flow.loop(task(app, "add").s(1), 0, until=task(app, "above").s(100), at_most=3, name="loop")
    with pytest.raises(LoopExhausted, match="loop: its condition was not met in 3 rounds"):
        flow.apply_async().get(timeout=20)


def test_a_loop_is_resumed_where_it_failed(bench, app, flow):
    key, gate = bench.new_key(), bench.new_key()
    flow.loop(
        chain(task(app, "noted").s(key), task(app, "gated").s(key=gate), task(app, "tsum").s()),
        7, until=task(app, "above").s(100), at_most=2, name="loop", on_failure="continue", default=None,
    )  # fmt: skip
    assert flow.apply_async().get(timeout=20) is None
    again = Workflow("again", app)
    rounds = again.loop(task(app, "noted").s(key), 1, until=task(app, "gated_above").s(gate), at_most=9, name="loop")
    named(app, again, "end", rounds)
    run = again.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    ran = len(bench.ledger(key, 1))
    bench.open(gate)
    assert run.resume() is True
    assert run.get(timeout=20) == ["end", [1], {}]
    assert len(bench.ledger(key, 1)) == ran, "a step that has succeeded ran again"
