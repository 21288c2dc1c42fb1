"""Runs inside of a run: workflows as nodes, as items of maps, in loops, and those that tasks return."""

import pytest

from canvas import Workflow, chain, chord, group
from canvas.errors import CompositionError, NodeTimeout, TaskRevokedError
from canvas.testing.contract import eventually
from canvas.workflows.run import Run
from tests.worker.commands import named, reached, served_app, states, task

app = served_app("-P", "threads", "-c", "4", short_leases=1)


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


def test_those_of_items_and_rounds_are_found_by_their_number(app, flow):
    inner = Workflow("inner", app)
    inner.add(task(app, "add").s(inner.input("x"), 1), name="more")
    rounds = flow.loop(inner, 10, at_most=3, name="rounds")
    flow.map(inner, flow.add(task(app, "ident").s([5, 6]), after=rounds), name="items")
    run = flow.apply_async()
    assert run.get(timeout=20) == [6, 7]
    assert [run.child("rounds", number).get(timeout=5) for number in range(3)] == [11, 12, 13]
    assert [run.child("items", number).get(timeout=5) for number in range(2)] == [6, 7]
    assert run.child("rounds", 3) is run.child("items", 2) is None


def test_that_of_a_node_with_a_limit_is_cancelled_by_it(app, flow):
    inner = Workflow("inner", app)
    inner.sleep(3600, name="nap")
    flow.timeout(flow.add(inner, name="node"), 0.5)
    run = flow.apply_async()
    with pytest.raises(NodeTimeout):
        run.get(timeout=20)
    eventually(lambda: run.child("node").status().state == "CANCELLED")
    assert next(iter(run.status().nodes)).child == run.child("node").id


def inner_flow(app, key):
    inner = Workflow("inner", app)
    given = inner.input("given")
    first = inner.add(task(app, "noted").s(given, key), name="first")
    inner.add(task(app, "add").s(first, 1), name="second")
    return inner


def test_a_workflow_is_a_node(bench, app, flow):
    key = bench.new_key()
    number = flow.add(task(app, "ident").s([4]), name="number")
    inside = flow.add(inner_flow(app, key), inputs={"given": number[0]})
    named(app, flow, "end", inside)
    run = flow.apply_async()
    assert run.get(timeout=20) == ["end", [5], {}]
    assert states(run) == {"number": "SUCCESS", "inner": "SUCCESS", "end": "SUCCESS"}
    child = run.child("inner")
    assert states(child) == {"given": "SUCCESS", "first": "SUCCESS", "second": "SUCCESS"}
    assert child.get(timeout=20) == 5
    found = [one.id for one in app.runs(limit=10)]
    assert run.id in found
    assert child.id not in found


def test_a_run_starts_with_many_workflows_inside(app, flow):
    """Each of them looks at the run around it, which is not stored yet."""
    inner = Workflow("inner", app)
    inner.add(task(app, "ident").s(1), name="only")
    for number in range(70):
        flow.add(inner, name=str(number))
    run = flow.apply_async()
    assert run.get(timeout=30) is not None
    assert run.state == "SUCCESS"


def test_the_failure_of_a_workflow_inside_fails_its_node_and_resume_goes_on_inside(bench, app, flow):
    key, gate = bench.new_key(), bench.new_key()
    inner = Workflow("inner", app)
    first = inner.add(task(app, "noted").s(1, key), name="first")
    inner.add(task(app, "gated").s(first, key=gate), name="gated")
    named(app, flow, "end", flow.add(inner))
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    assert states(run) == {"inner": "FAILURE", "end": "UPSTREAM_FAILED"}
    bench.open(gate)
    for force in (False, True):
        with pytest.raises(CompositionError, match=f"in the place of a node of run {run.id}: resume that run"):
            run.child("inner").resume(force)
    assert run.resume() is True
    assert run.get(timeout=20) == ["end", [[1]], {}]
    assert len(bench.ledger(key, 1)) == 1


def test_cancelling_reaches_workflows_inside(app, flow):
    inner = Workflow("inner", app)
    inner.add(task(app, "ident").s(inner.wait_for("never")), name="below")
    named(app, flow, "end", flow.add(inner))
    run = flow.apply_async()
    child = eventually(lambda: run.child("inner"))
    reached(child, "never", "AWAITING_SIGNAL")
    run.cancel()
    with pytest.raises(TaskRevokedError):
        run.get(timeout=20)
    eventually(lambda: child.status().state == "CANCELLED")
    assert states(run)["inner"] == "REVOKED"


@pytest.mark.parametrize("how", ["return", "replace"])
def test_a_task_grows_into_a_workflow(bench, app, flow, how):
    key = bench.new_key()
    grown = flow.call(task(app, "builds").s(3, key, how), name="grown")
    named(app, flow, "end", grown)
    run = flow.apply_async()
    assert run.get(timeout=20) == ["end", [3], {}]
    assert bench.ledger(key, 4) == ["3", "2", "1", "0"]
    child = run.child("grown")
    assert child.name == "level 3"
    assert child.child("inner").name == "level 2"


def test_a_plain_task_grows_into_a_workflow_wherever_it_stands(bench, app):
    key = bench.new_key()
    builds, add = task(app, "builds"), task(app, "add")
    assert builds.delay(2, key).get(timeout=20) == 2
    assert chain(builds.s(1, key), add.s(10)).delay().get(timeout=20) == 11
    assert chord([builds.s(1, key), add.s(1, 1)], task(app, "tsum").s()).delay().get(timeout=20) == 3
    assert group(builds.s(1, key), builds.s(2, key)).delay().get(timeout=20) == [1, 2]


def test_a_grown_workflow_that_fails_fails_its_task_and_calls_errbacks(bench, app):
    key, gate = bench.new_key(), bench.new_key()
    failing = task(app, "builds_gated").s(key, gate).on_error(task(app, "errback_by_id").s())
    result = failing.delay()
    with pytest.raises(ValueError, match="closed"):
        result.get(timeout=20)
    assert result.state == "FAILURE"


def test_a_grown_workflow_that_failed_is_resumed_and_its_task_does_not_run_again(bench, app, flow):
    key, gate = bench.new_key(), bench.new_key()
    grown = flow.call(task(app, "builds_gated").s(key, gate), name="grown")
    named(app, flow, "end", grown)
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    child = run.child("grown").id
    bench.open(gate)
    assert run.resume()
    assert run.get(timeout=20) == ["end", [[1]], {}]
    assert bench.notes(key) == ["1"]
    assert run.child("grown").id == child
    assert run.again(from_node="grown")
    assert run.get(timeout=20) == ["end", [[1]], {}]
    assert bench.notes(key) == ["1", "1"]
    assert run.child("grown").id != child


def test_a_workflow_runs_for_each_item_of_a_map(bench, app, flow):
    key, gate = bench.new_key(), bench.new_key()
    inner = Workflow("tenant", app)
    first = inner.add(task(app, "noted").s(inner.input("x"), key), name="first")
    inner.add(task(app, "gated").s(first, key=gate), name="gated")
    named(app, flow, "end", flow.map(inner, over=[1, 2, 3], name="tenants"))
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    assert run.child("tenants", 2).status().counts == {"SUCCESS": 2, "FAILURE": 1}
    bench.open(gate)
    assert run.resume()
    assert run.get(timeout=20) == ["end", [[[1], [2], [3]]], {}]


def test_cancelling_reaches_the_workflows_of_items(app, flow):
    inner = Workflow("tenant", app)
    inner.wait_for("never", after=inner.input("x"))
    flow.map(inner, over=[1, 2])
    run = flow.apply_async()
    children = [eventually(lambda item=item: run.child("tenant", item)) for item in range(2)]
    reached(children[1], "never", "AWAITING_SIGNAL")
    run.cancel()
    with pytest.raises(TaskRevokedError):
        run.get(timeout=20)
    eventually(lambda: all(child.status().state == "CANCELLED" for child in children))


def test_a_worker_completes_a_cancellation(app, flow):
    """The process that cancels is killed after it has marked the run; or runs inside start at that moment."""
    inner, innermost = Workflow("inner", app), Workflow("innermost", app)
    innermost.wait_for("never", name="wait")
    inner.add(innermost, name="innermost")
    flow.add(inner, name="inner")
    flow.wait_for("never", name="wait")
    run = flow.apply_async()
    child = eventually(lambda: run.child("inner"))
    grandchild = eventually(lambda: child.child("innermost"))
    eventually(lambda: grandchild.query("wait") == run.query("wait") == "AWAITING_SIGNAL")
    app.run_store.mark(run.id, 0, "cancelled")
    eventually(lambda: run.query() == "CANCELLED")
    assert [one.query() for one in (child, grandchild)] == ["CANCELLED"] * 2


def test_nesting_without_end_is_refused(app, flow, bench):
    flow.add(task(app, "builds").s(30, bench.new_key()), name="deep")
    with pytest.raises(CompositionError, match="nested 21 deep, more than workflow_max_depth"):
        flow.apply_async().get(timeout=40)


def test_a_race_with_a_workflow_inside_cancels_it(app, flow):
    inner = Workflow("inner", app)
    inner.wait_for("never")
    slow = flow.add(inner)
    quick = flow.add(task(app, "ident").s("quick"), name="quick", after=flow.sleep(0.3))
    flow.first(slow, quick)
    run = flow.apply_async()
    child = eventually(lambda: run.child("inner"))
    assert run.get(timeout=20) == "quick"
    eventually(lambda: child.status().state == "CANCELLED")
