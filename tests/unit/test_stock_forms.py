"""Workflows in the form that Celery's own workers run: what they can carry out, and what is refused."""

import pytest

from canvas import group
from canvas.errors import CompositionError
from canvas.graph.wire_signature import estimated_bytes
from canvas.workflows.compose.preview import preview
from tests.unit.flows import embedded, etl_app, fixtures, sig

app, flow = fixtures(etl_app, "etl")


@pytest.mark.parametrize(
    ("compose", "why"),
    [
        (lambda app, flow, a, b: flow.map(sig(app, "ident"), over=a, name="x"), "map over a result"),
        (lambda app, flow, a, b: flow.branch(a, {1: sig(app, "ident", 1)}, name="x"), "choose by a result"),
        (lambda app, flow, a, b: flow.add(sig(app, "ident", a["k"]), name="x"), "add a task that picks it"),
        (lambda app, flow, a, b: flow.add(sig(app, "add", a, b), name="x"), "take them as one list"),
        (lambda app, flow, a, b: flow.add(sig(app, "add", 1, a), name="x"), "take it as first argument, once"),
        (lambda app, flow, a, b: flow.add(sig(app, "add", a, a), name="x"), "take it as first argument, once"),
        (lambda app, flow, a, b: flow.add(sig(app, "total", [a, 1, b]), name="x"), "one list"),
        (lambda app, flow, a, b: flow.add(sig(app, "ident", a), after=b, name="x"), "take both results in one list"),
        (lambda app, flow, a, b: flow.add(sig(app, "ident", a), on_failure="continue", name="x"), "go on after"),
        (
            lambda app, flow, a, b: flow.add(group(sig(app, "ident", a), sig(app, "ident", a)), name="x"),
            "start several",
        ),
    ],
)
def test_what_stock_workers_cannot_do_is_refused_with_a_cure(app, flow, compose, why):
    a, b = flow.add(sig(app, "ident", 1), name="a"), flow.add(sig(app, "ident", 2), name="b")
    compose(app, flow, a, b)
    with pytest.raises(CompositionError, match=r"^x\??: stock Celery workers cannot .*target='canvas'") as raised:
        flow.apply_async(target="celery")
    assert why in str(raised.value)
    with pytest.raises(CompositionError, match="target: expected one of canvas, celery"):
        flow.apply_async(target="both")


def test_an_order_that_data_implies_costs_nothing(app, flow):
    a = flow.add(sig(app, "ident", 1), name="a")
    b = flow.add(sig(app, "ident", a), name="b")
    flow.add(sig(app, "ident", b), name="c", after=a)
    (root,) = embedded(flow).roots()
    assert root["subtask_type"] == "chain"
    assert [step["task"] for step in root["kwargs"]["tasks"]] == ["ident"] * 3


def test_stacked_diamonds_are_written_once_each(app, flow):
    at = flow.add(sig(app, "ident", 1))
    for _ in range(8):
        at = flow.add(sig(app, "total", [flow.add(sig(app, "ident", at)), flow.add(sig(app, "ident", at))]))
    embedding = embedded(flow)
    (root,) = embedding.roots()
    assert embedding.chords == []
    assert [step["task"] for step in root["kwargs"]["tasks"]] == ["ident", *["celery.chord"] * 8]
    assert estimated_bytes([root])[0] < 25 * 600


def test_cross_edges_that_cost_too_much_are_refused_by_name(app, flow):
    layer = [flow.add(sig(app, "ident", n), name=f"0.{n}") for n in range(3)]
    for level in range(1, 13):
        layer = [flow.add(sig(app, "total", list(layer)), name=f"{level}.{n}") for n in range(3)]
    with pytest.raises(CompositionError, match=r"more than task_message_max_bytes .* the nodes after '\d+\.\d'"):
        flow.apply_async(target="celery")
    assert preview(flow).plan_bytes < 20_000
