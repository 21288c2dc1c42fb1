"""Waits, races, loops and nesting of workflows in the process that starts them."""

from datetime import timedelta

import pytest

from canvas import Workflow
from canvas.errors import Ignore, LoopExhausted, NodeTimeout, WorkflowFailed
from canvas.workflows.progress.causes import causes
from tests.unit.flows import fixtures, flows_app, inner, sig

app, flow = fixtures(flows_app)


def test_times_pass_at_once(app, flow):
    flow.add(sig(app, "ident", 1), after=flow.sleep(timedelta(days=400), after=flow.sleep(30)))
    assert flow.apply().get() == 1


def test_signals_are_given_to_a_run_in_this_process(app, flow):
    one = flow.wait_for("a")
    flow.add(sig(app, "add", one, flow.wait_for("a", after=one, name="second")))
    assert flow.apply(signals=[("a", 1), ("a", 2)]).get() == 3
    with pytest.raises(WorkflowFailed, match="second: no signal came"):
        flow.apply(signals={"a": 1})


def test_waits_run_out_in_this_process(app, flow):
    flow.add(sig(app, "ident", flow.wait_for("a", timeout=60, default="nothing")))
    assert flow.apply().get() == "nothing"
    hard = Workflow("hard", app)
    hard.wait_for("a", timeout=60)
    with pytest.raises(NodeTimeout, match="signal 'a' had not come after 60 s"):
        hard.apply().get()


def test_loops_in_this_process(app, flow):
    flow.loop(sig(app, "add", 3), 1, until=sig(app, "above", 10), at_most=10)
    assert flow.apply().get() == 13
    short = Workflow("short", app)
    short.loop(sig(app, "add", 3), 1, until=sig(app, "above", 10), at_most=2, name="short")
    with pytest.raises(LoopExhausted, match="short: its condition was not met in 2 rounds"):
        short.apply().get()


def test_a_task_that_fails_ends_its_loop(app, flow):
    flow.loop(sig(app, "fail"), 1, at_most=2, on_failure="continue", default="default", name="loop")
    assert flow.apply().get() == "default"
    condition = Workflow("condition", app)
    condition.loop(sig(app, "ident"), 1, until=sig(app, "fail"), at_most=2, name="loop")
    with pytest.raises(ValueError, match="boom"):
        condition.apply().get()


def test_workflows_inside_in_this_process(app, flow):
    number = flow.add(sig(app, "ident", {"at": 4}))
    flow.add(sig(app, "add", flow.add(inner(app), inputs={"x": number["at"]}), flow.add(inner(app))))
    assert flow.apply().get() == 7
    assert flow.add(sig(app, "grow", 3), name="grown").name == "grown"


def test_tasks_grow_in_this_process(app, flow):
    flow.call(sig(app, "grow", 4))
    assert flow.apply().get() == 4
    assert app.tasks["grow"].apply((3,)).get() == 3


def test_a_map_over_a_list_that_is_known(app, flow):
    rows = flow.map(sig(app, "add", 1), over=range(3), name="more", concurrency=2)
    flow.add(sig(app, "ident", rows.map(sig(app, "add", 10), name="ten more")))
    assert flow.apply().get() == [11, 12, 13]
    assert flow.apply(inputs={"more items": [5]}).get() == [16]


def test_a_workflow_for_each_item_and_in_each_round(app, flow):
    item = Workflow("item", app)
    item.add(sig(app, "add", item.add(sig(app, "ident", item.input("x"))), item.input("more", default=1)))
    mapped = flow.map(item, over=[1, 2, 3], inputs={"more": flow.add(sig(app, "ident", 10))}, concurrency=2)
    line = mapped.map(item)
    flow.loop(item, line[0], until=sig(app, "above", 20), at_most=30, name="round")
    run = flow.apply()
    assert (run["item"].get(), run["item-2"].get(), run.get()) == ([11, 12, 13], [12, 13, 14], 21)
    assert run.child("item", 2).get() == 13


def test_a_race_of_a_list_of_nodes(app, flow):
    flow.first([flow.sleep(30), flow.add(sig(app, "ident", 1))])
    assert flow.apply().get() == 1


def test_errors_as_values(app, flow):
    flow.add(sig(app, "fail"))
    run = flow.apply()
    assert isinstance(run.get(propagate=False), ValueError)
    assert (run.successful(), run.failed()) == (False, True)


def test_a_node_whose_task_raises_ignore_is_named(app, flow):
    @app.task(name="ignored", shared=False)
    def ignored():
        raise Ignore

    flow.add(sig(app, "ident", flow.add(ignored.s())))
    with pytest.raises(WorkflowFailed, match="ignored: the task raised Ignore, so that the node has no result"):
        flow.apply().get()


def test_the_error_of_a_run_is_that_of_the_node_that_has_failed_it(app, flow):
    kept = flow.add(sig(app, "late"), on_failure="continue", default=1, name="kept")
    limited = flow.timeout(flow.add(sig(app, "late"), name="limited"), 60, otherwise=2)
    done = flow.add(sig(app, "ident", 1), after=limited, when="all_done", name="done")
    flow.add(sig(app, "fail", kept, done), name="last")
    run = flow.apply()
    with pytest.raises(ValueError, match="boom"):
        run.get()
    assert "node last" in run.get(propagate=False).__cause__.__notes__


def test_a_node_named_as_the_cause_is_not_one_whose_failure_was_taken_for_its_default(app, flow):
    kept = flow.add(sig(app, "late"), on_failure="continue", default=1, name="kept")
    flow.add(sig(app, "add", kept, flow.add(sig(app, "fail"), name="failed")), name="last")
    run = flow.apply()
    assert causes(run.nodes, {node.name: node.state for node in run.status().nodes}) == {"last": "failed"}


@pytest.mark.parametrize("instead", ["a value", "a signature"])
def test_a_limit_inside_of_a_node_is_not_its_own(app, flow, instead):
    inner = Workflow("inner", app)
    inner.wait_for("never", timeout=5, name="waits")
    otherwise = 1 if instead == "a value" else sig(app, "ident", 1)
    flow.timeout(flow.add(inner), 3_600, otherwise=otherwise)
    with pytest.raises(NodeTimeout, match="waits: signal 'never' had not come"):
        flow.apply().get()
    slow = Workflow("slow", app)
    slow.timeout(slow.add(sleeper(app)), 5)
    outer = Workflow("outer", app)
    outer.timeout(outer.add(slow), 3_600, otherwise=otherwise)
    with pytest.raises(NodeTimeout, match="sleeper had not ended 5 s after its start"):
        outer.apply().get()
    outer.timeout(outer.add(sleeper(app), name="own"), 5, otherwise=otherwise, name="own in time")
    assert outer.apply()["own in time"].get() == 1


def sleeper(app):
    """A workflow that lasts a minute."""
    flow = Workflow("sleeper", app)
    flow.sleep(60)
    return flow


def test_a_round_whose_condition_failed_asks_it_again(app, flow):
    app.conf.task_always_eager = app.conf.task_store_eager_result = True
    steps, asked = [], []

    @app.task(name="step", shared=False)
    def step(x):
        steps.append(x)
        return x + 1

    @app.task(name="until", shared=False)
    def until(x):
        asked.append(x)
        if asked == [1, 2]:
            raise ValueError("boom")
        return x > 2

    flow.loop(step.s(), 0, until=until.s(), at_most=9, name="loop")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="boom"):
        run.get()
    assert run.resume()
    assert (run.get(), steps, asked) == (3, [0, 1, 2], [1, 2, 2, 3])
