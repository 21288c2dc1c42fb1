"""When a run fails, its nodes are undone, and those of workflows inside of it: each once, the last to end first."""

import pytest

from canvas import Workflow
from canvas.errors import RunLost
from canvas.testing.contract import eventually
from tests.worker.commands import served_app, states, task

app = served_app("-P", "threads", "-c", "4", short_leases=1)


def step(app, flow, name, key, after=()):
    """A node that notes its name when it runs, and its name in capitals when it is undone."""
    noted = task(app, "noted")
    return flow.add(noted.si(name, key), name=name, after=after, compensate=noted.si(name.upper(), key))


def shop(app, flow, key, gate):
    """A node, a workflow with two nodes and a workflow of its own, a node, and one that needs the gate."""
    deepest = Workflow("deepest", app)
    step(app, deepest, "d", key)
    inner = Workflow("inner", app)
    b = step(app, inner, "b", key)
    step(app, inner, "c", key, after=inner.add(deepest, name="deep", after=b))
    a = step(app, flow, "a", key)
    inside = flow.add(inner, name="inside", after=a, compensate=task(app, "noted").si("INSIDE", key))
    last = step(app, flow, "e", key, after=inside)
    flow.add(task(app, "gated").si(key=gate), name="gated", after=last)


FORTH = ["a", "b", "d", "c", "e"]
BACK = ["E", "INSIDE", "C", "D", "B", "A"]


def quoted(names):
    return [repr(name) for name in names]


def test_in_reverse_and_again_after_a_resume(bench, app, flow):
    key, gate = bench.new_key(), bench.new_key()
    shop(app, flow, key, gate)
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    eventually(lambda: len(bench.notes(key)) >= 11)
    undo = app.workflow(f"{run.id}.0.undo")
    undo.get(timeout=20)
    names = [node.name for node in undo.status().nodes]
    assert names == [
        "undo e", "undo inside", "undo inside/c", "undo inside/deep/d", "undo inside/b", "undo a",
    ]  # fmt: skip
    assert bench.notes(key) == quoted([*FORTH, *BACK])
    bench.open(gate)
    assert run.resume()
    run.get(timeout=20)
    assert bench.notes(key) == quoted([*FORTH, *BACK, *FORTH])


def test_a_run_inside_that_fails_undoes_its_nodes_itself(bench, app, flow):
    key, gate = bench.new_key(), bench.new_key()
    inner = Workflow("inner", app)
    inner.add(task(app, "gated").si(key=gate), name="gated", after=step(app, inner, "b", key))
    flow.add(inner, name="inside", after=step(app, flow, "a", key))
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    eventually(lambda: len(bench.notes(key)) >= 4)
    app.workflow(f"{run.id}.0.undo").get(timeout=20)
    assert sorted(bench.notes(key)) == quoted(["A", "B", "a", "b"])
    bench.open(gate)
    assert run.resume()
    run.get(timeout=20)
    assert sorted(bench.notes(key)[4:]) == quoted(["a", "b"])


def test_the_runs_of_pages_are_undone(bench, app, flow):
    key, gate = bench.new_key(), bench.new_key()
    inner = Workflow("inner", app)
    noted = task(app, "noted")
    inner.add(noted.s(inner.input("items"), key), compensate=noted.s(key))
    paged = flow.pages(task(app, "page_of").s(4, 2, bench.new_key()), inner, name="paged")
    flow.add(task(app, "gated").s(paged, key=gate), name="gated")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    eventually(lambda: len(bench.notes(key)) >= 4)
    assert bench.notes(key) == ["[0, 1]", "[2, 3]", "[2, 3]", "[0, 1]"]


@pytest.mark.parametrize("options", [{}, {"batch": 2}, {"concurrency": 2}], ids=str)
def test_the_items_of_a_map_that_fails_are_undone_and_run_again(bench, app, flow, options):
    key, gate, noted = bench.new_key(), bench.new_key(), task(app, "noted")
    items = flow.add(task(app, "upto").s(4), name="items")
    done = flow.map(noted.s(key), items, name="done", compensate=noted.s(key), **options)
    flow.map(task(app, "gated").s(key=gate), done, name="gated", compensate=noted.s(key))
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    undo = eventually(lambda: kept(app, f"{run.id}.0.undo"))
    undo.get(timeout=20)
    names = sorted(node.name for node in undo.status().nodes)
    assert names == [f"undo done[{item}]" for item in range(4)]
    assert sorted(bench.notes(key)) == [str(item) for item in range(4) for _ in range(2)]
    bench.open(gate)
    assert run.resume()
    assert run.get(timeout=20) is not None
    assert sorted(bench.notes(key)) == [str(item) for item in range(4) for _ in range(3)]


def kept(app, run):
    """The run of this id, or ``None`` where there is none yet."""
    try:
        return app.workflow(run)
    except RunLost:
        return None


def test_compensations_run_backwards_whatever_becomes_of_them(bench, app, flow):
    key = bench.new_key()
    noted, add = task(app, "noted"), task(app, "add")
    a = flow.add(add.s(1, 1), name="a", compensate=noted.s(key))
    b = flow.add(add.s(a, 1), name="b", compensate=task(app, "fail").s())
    c = flow.add(add.s(b, 1), name="c", compensate=noted.si("all", key))
    flow.add(task(app, "fail").s(c), compensate=noted.s(key))
    run = flow.apply_async()
    with pytest.raises(ValueError, match="boom"):
        run.get(timeout=20)
    assert bench.ledger(key, 2) == ["'all'", "2"]
    undo = app.workflow(f"{run.id}.0.undo")
    undo.get(timeout=20)
    assert states(undo) == {"undo a": "SUCCESS", "undo b": "FAILURE", "undo c": "SUCCESS"}


def test_what_succeeds_as_the_run_fails_is_compensated(bench, app, flow):
    """Its own settlement may be the one that ends the run."""
    key = bench.new_key()
    noted = task(app, "noted")
    beside = flow.add(noted.s("beside", bench.new_key()), name="beside", compensate=noted.s(key))
    before = flow.add(task(app, "ident").s({"x": "before"}), name="before", compensate=noted.si("before", key))
    flow.add(task(app, "ident").s(before["nothing"]), name="wanting", after=[beside])
    run = flow.apply_async()
    with pytest.raises(KeyError):
        run.get(timeout=20)
    assert sorted(bench.ledger(key, 2)) == ["'before'", "'beside'"]


def test_what_was_compensated_runs_again_with_what_stands_on_it(bench, app, flow):
    ran, undone, gate, other = (bench.new_key() for _ in range(4))
    noted = task(app, "noted")
    paid = flow.add(noted.s(1, ran), name="paid", compensate=noted.s(undone))
    below = flow.add(noted.s(paid, ran), name="below")
    flow.add(noted.s(1, other), name="beside")
    flow.add(task(app, "gated").s(below, key=gate), name="gated")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    bench.ledger(undone, 1)
    bench.open(gate)
    assert run.resume() is True
    assert run.get(timeout=20) == {"beside": 1, "gated": [1]}
    assert [len(bench.ledger(key, 1)) for key in (ran, undone, other)] == [4, 1, 1]


def test_nothing_is_compensated_when_all_is_well(bench, app, flow):
    flow.add(task(app, "ident").s(1), compensate=task(app, "noted").s(bench.new_key()))
    run = flow.apply_async()
    assert run.get(timeout=20) == 1
    with pytest.raises(RunLost):
        app.workflow(f"{run.id}.0.undo")
