"""Waits, races, loops and nesting of workflows in the process that starts them."""

from datetime import timedelta

import pytest

from canvas import Workflow
from canvas.errors import Ignore, LoopExhausted, NodeTimeout, WorkflowFailed
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
