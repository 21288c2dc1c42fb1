"""Names that other workflow engines have: each is an error that names what canvas has, and that exists."""

import copy
import inspect
import pickle
import re

import pytest

from canvas import Canvas, Workflow
from canvas.primitives.signature import Signature
from canvas.task.task import Task
from canvas.workflows.compose.other_names import ROWS
from canvas.workflows.compose.references import Node
from canvas.workflows.finding import Runs
from canvas.workflows.run import Run
from canvas.workflows.start import StartOptions

CLASSES = {"Workflow": Workflow, "Run": Run, "Task": Task, "Signature": Signature}
CALLS = {
    "runs": Runs.__call__, "start": StartOptions,
    **{name: getattr(Run, name) for name in ("resume", "signal")},
    **{name: getattr(Workflow, name) for name in ("add", "map", "loop", "branch", "first", "timeout")},
}  # fmt: skip


@pytest.fixture
def app():
    app = Canvas("others", broker="memory://others", backend="memory://others", set_as_current=False)
    app.task(name="ident")(lambda x: x)
    return app


@pytest.fixture
def run(app):
    flow = app.Workflow()
    flow.add(app.tasks["ident"].s(1), name="a")
    return flow.apply()


def call_with(app, run, row):
    """Use the name as a user of another engine would."""
    flow = app.Workflow()
    sig = app.tasks["ident"].s()
    given = {row.name: 1}
    match row.place:
        case "Workflow":
            getattr(flow, row.name)
        case "Run":
            getattr(run, row.name)
        case "runs":
            app.runs(**given)
        case "start":
            flow.apply_async(**given)
        case "resume" | "signal":
            getattr(run, row.place)(**given)
        case "timeout" | "first" | "branch":
            getattr(flow, row.place)(flow.add(app.tasks["ident"].s(1)), **given)
        case _:
            getattr(flow, row.place)(sig, **given)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.place}.{row.name}")
def test_the_error_names_what_canvas_has(app, run, row):
    expected = AttributeError if row.place in CLASSES else TypeError
    with pytest.raises(expected, match=re.escape(f"canvas has {row.instead}: {row.example}")) as raised:
        call_with(app, run, row)
    assert repr(row.name) in str(raised.value)
    place, _, name = row.instead.rpartition(".")
    if row.place in CLASSES or place:
        assert hasattr(CLASSES[place or row.place], name)
    else:
        assert name in inspect.signature(CALLS[row.place]).parameters
        assert row.name not in inspect.signature(CALLS[row.place]).parameters


def test_other_methods_take_arguments_of_add_and_maps(app):
    flow = app.Workflow()
    sig = app.tasks["ident"].s()
    mapped = flow.map(sig, over=[1])
    for use in (
        lambda: flow.map(sig, [1], undo=sig), lambda: mapped.map(sig, max_active=2), lambda: flow.call(sig, undo=sig),
        lambda: flow.loop(sig, 1, retries=2, at_most=2), lambda: app.runs.count(tags={}),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="canvas has"):
            use()


def test_a_missing_name_stays_missing(app, run):
    flow = app.Workflow()
    assert not hasattr(flow, "expand")
    assert not hasattr(run, "wait")
    with pytest.raises(AttributeError, match=r"'Workflow' object has no attribute 'nothing_like_it'$"):
        flow.nothing_like_it
    run.about = None
    with pytest.raises(AttributeError, match=r"'NoneType' object has no attribute 'get'$"):
        run.key
    assert isinstance(copy.copy(flow).add(app.tasks["ident"].s(1)), Node)
    assert copy.copy(run).id == run.id
    assert pickle.loads(pickle.dumps(Workflow("plain"))).name == "plain"
