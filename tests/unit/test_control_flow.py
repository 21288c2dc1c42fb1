"""Waits, races, loops and nesting of workflows: what is refused, how it looks, and how it ends in this process."""

import pytest

from canvas import Workflow, chain, workflow
from canvas.errors import CompositionError
from tests.unit.flows import fixtures, flows_app, inner, sig

app, flow = fixtures(flows_app)


@pytest.mark.parametrize(
    ("compose", "text"),
    [
        (lambda flow, app: flow.sleep(), "sleep: expected either seconds or until"),
        (lambda flow, app: flow.sleep(1, until=2), "sleep: expected either seconds or until"),
        (lambda flow, app: flow.sleep(-1), "sleep: seconds: expected seconds above 0, or a timedelta; got -1"),
        (lambda flow, app: flow.sleep(True), "expected seconds above 0"),
        (lambda flow, app: flow.sleep(until="soon"), "sleep: expected a time to sleep until"),
        (lambda flow, app: flow.wait_for(""), "expected the name of a signal"),
        (lambda flow, app: flow.wait_for("a\0b"), "expected the name of a signal"),
        (lambda flow, app: flow.wait_for("a", default=1), "a: default: has an effect only with timeout"),
        (lambda flow, app: flow.wait_for("a", timeout=0), "a: timeout: expected seconds above 0"),
        (lambda flow, app: flow.first(flow.sleep(1)), "first: expected at least two nodes; got 1"),
        (lambda flow, app: flow.first([flow.sleep(1)]), "first: expected at least two nodes; got 1"),
        (lambda flow, app: flow.add(3), "node: expected a signature"),
        (
            lambda flow, app: chain(flow),
            "a workflow is not a signature",
        ),
        (lambda flow, app: flow.map(flow, over=[1]), "flow: cycle: workflow 'flow' would be a node of itself"),
        (lambda flow, app: flow.map(Workflow("w", app), over=[1]), "w: expected workflow 'w' to have one input"),
        (lambda flow, app: flow.map(inner(app), over=[1], batch=2), "inner: batch: expected the signature of one task"),
        (
            lambda flow, app: flow.map(sig(app, "ident"), [1], stop_after=2, on_failure="continue"),
            "ident: stop_after: a failed item has the default and does not count",
        ),
        (
            lambda flow, app: flow.map(sig(app, "ident"), [1]).map(
                sig(app, "ident"), stop_after=2, on_failure="continue"
            ),
            "ident-2: stop_after: a failed item has the default and does not count",
        ),
        (lambda flow, app: flow.loop(inner(app), 1, at_most=2, inputs={"z": 1}), "'inner' has no input 'z'; it has x"),
        (lambda flow, app: flow.timeout(flow.sleep(1), 1), "it is a node of kind sleep"),
        (lambda flow, app: flow.loop(sig(app, "ident"), 1, at_most=0), "ident: at_most: expected how often"),
        (lambda flow, app: flow.loop(sig(app, "ident"), 1, at_most=None), "ident: at_most: .* got None"),
        (lambda flow, app: flow.loop(sig(app, "ident"), 1, at_most=True), "ident: at_most: expected how often"),
        (lambda flow, app: flow.loop(sig(app, "ident"), object(), at_most=1), "ident: "),
        (lambda flow, app: flow.loop(sig(app, "ident"), 1, at_most=1, until=3), "until: expected a signature"),
        (lambda flow, app: flow.add(sig(app, "ident", 1), when="sometimes"), "when: expected one of all_success"),
        (lambda flow, app: flow.add(sig(app, "ident", 1), inputs={"a": 1}), "inputs: only a workflow has any"),
        (lambda flow, app: flow.finally_(sig(app, "ident", flow.sleep(1))), "cannot take the result of 'sleep'"),
        (lambda flow, app: flow.add(flow), "cycle: workflow 'flow' would be a node of itself"),
        (lambda flow, app: flow.add(Workflow("inner", app), inputs={"x": 1}), "'inner' has no input 'x'; it has none"),
    ],
)
def test_what_is_refused(app, flow, compose, text):
    with pytest.raises(CompositionError, match=text):
        compose(flow, app)


def test_a_loop_without_a_bound_is_refused(app, flow):
    with pytest.raises(TypeError, match="at_most"):
        flow.loop(sig(app, "ident"), 1)


def test_a_second_timeout_is_refused(app, flow):
    node = flow.timeout(flow.add(sig(app, "ident", 1)), 3)
    with pytest.raises(CompositionError, match="it has a timeout already"):
        flow.timeout(node, 3)


def test_a_cycle_through_several_workflows_is_refused(app, flow):
    middle = Workflow("middle", app)
    middle.add(flow)
    with pytest.raises(CompositionError, match="middle: cycle: workflow 'flow' would be a node of itself"):
        flow.add(middle)


def test_an_arm_that_starts_before_its_choice_is_refused(app, flow):
    on = flow.add(sig(app, "ident", 1))
    arm = flow.add(sig(app, "ident", 2), name="arm", when="any_done")
    with pytest.raises(CompositionError, match="arm: an arm of a branch cannot start before the choice is made"):
        flow.branch(on, {1: arm})


def test_a_workflow_of_nothing_but_an_end_is_empty(app, flow):
    flow.finally_(sig(app, "ident", 1))
    with pytest.raises(CompositionError, match="an empty workflow"):
        flow.apply()


@pytest.mark.parametrize(
    ("compose", "text"),
    [
        (lambda flow, app: flow.sleep(1, name="x"), "x: stock Celery workers cannot sleep between tasks"),
        (lambda flow, app: flow.wait_for("x"), "x: stock Celery workers cannot wait for a signal"),
        (lambda flow, app: flow.loop(sig(app, "ident"), 1, at_most=2, name="x"), "x: .* cannot repeat a task"),
        (lambda flow, app: flow.first(*both(flow, app), name="x"), "x: .* cannot take the first of several results"),
        (lambda flow, app: flow.finally_(sig(app, "ident", 1), name="x"), "x: .* cannot run a node whatever"),
        (
            lambda flow, app: flow.timeout(flow.add(sig(app, "ident", 1), name="x"), 3),
            "x: .* cannot give a node a time",
        ),
        (lambda flow, app: flow.add(sig(app, "ident", 1), name="x", when="all_done"), "x: .* cannot start by all_done"),
        (lambda flow, app: flow.add(inner(app), name="x"), "x: .* cannot run a workflow in a node's place"),
    ],
)
def test_stock_workers_are_refused_by_name(app, flow, compose, text):
    flow.add(sig(app, "ident", 0), name="plain")
    compose(flow, app)
    with pytest.raises(CompositionError, match=text):
        flow.apply_async(target="celery")


def both(flow, app):
    return [flow.add(sig(app, "ident", number)) for number in (1, 2)]


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("x", r"no option 'x' for its runs: it is an input: write inputs=\{'x': …\}"),
        ("countdown", r"to start later, let the first nodes run after flow\.sleep"),
        ("queue", r"options of messages, such as queue, belong to the nodes' signatures"),
    ],
)
def test_an_unknown_option_of_a_run(app, flow, option, text):
    flow.add(sig(app, "ident", flow.input("x")))
    with pytest.raises(TypeError, match=text):
        flow.apply_async(**{option: 1})


@pytest.mark.parametrize("arrange", [lambda a, b: a >> b, lambda a, b: [a] >> b, lambda a, b: a | b])
def test_nodes_are_put_into_order_by_after(app, flow, arrange):
    with pytest.raises(TypeError, match=r"cannot be put into an order by an operator: .*after=handle"):
        arrange(flow.sleep(1), flow.sleep(1))


def test_inputs_of_a_start(app):
    flow = Workflow("with inputs", app)
    flow.add(sig(app, "add", flow.input("x"), flow.input("y", default=10)))
    assert flow.apply(inputs={"x": 1}).get() == 11
    with pytest.raises(CompositionError, match="x: this input of the workflow has no value"):
        flow.apply()
    with pytest.raises(CompositionError, match="'with inputs' has no input 'z'; it has x, y"):
        flow.apply(inputs={"x": 1, "z": 2})


def test_a_function_reaches_the_workflow_that_it_composes(app):
    @workflow(app=app)
    def composed():
        answer = Workflow.current().wait_for("answer")
        app.tasks["add"](answer, 1)

    assert composed().apply(signals={"answer": 4}).get() == 5
    with pytest.raises(CompositionError, match="no workflow is being composed here"):
        Workflow.current()


def test_a_plain_graph_has_no_form_for_them(app, flow):
    nap = flow.sleep(1, name="nap")
    with pytest.raises(CompositionError, match="nap: a sleep cannot be written as a plain graph"):
        flow.to_graph()
    other = Workflow("other", app)
    other.finally_(sig(app, "ident", 1), name="end")
    with pytest.raises(CompositionError, match="end: a node that always runs cannot be written"):
        other.to_graph()
    assert nap.name == "nap"


def test_a_picture_shows_each_kind(app, flow):
    nap = flow.sleep(1, name="nap")
    loop = flow.loop(sig(app, "ident"), flow.wait_for("answer"), at_most=2, name="loop")
    flow.add(inner(app), after=[nap, loop])
    text = flow.draw()
    for shown in ("nap ◷", "answer ✉", "loop ↻", "inner ▸"):
        assert shown in text
    for form in ("mermaid", "dot", "svg"):
        assert "nap" in flow.draw(form)


def test_the_critical_path_leads_over_what_was_waited_for_last(app, flow):
    nap = flow.sleep(100, name="nap")
    early = flow.add(sig(app, "ident", 1), name="early")
    long = flow.sleep(50, after=early, name="long")
    joined = flow.add(sig(app, "ident", 2), after=[nap, long], name="joined")
    race = flow.first(joined, flow.add(sig(app, "ident", 3), name="winner"), cancel_rest=False, name="race")
    flow.add(sig(app, "ident", race), after=joined, name="end")
    assert flow.apply().status().critical_path == ["nap", "joined", "end"]
    other = Workflow("other", app)
    race = other.first(other.sleep(9, name="slow"), other.add(sig(app, "ident", 3), name="quick"), cancel_rest=False)
    other.add(sig(app, "ident", race), name="end")
    assert other.apply().status().critical_path == ["quick", "first", "end"]
