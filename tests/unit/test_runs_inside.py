"""A run inside of another one that ends with success ends its node in the same step; its other ends are messages."""

import pytest

from canvas import Canvas, Workflow, signals
from canvas.model.workflow_run import RUN_OUTCOME


@pytest.fixture(scope="module")
def app():
    app = Canvas("inside", broker="memory://", backend="memory://")

    @app.task(name="add", shared=False)
    def add(x, y=1):
        return x + y

    @app.task(name="ident", shared=False)
    def ident(x):
        return x

    @app.task(name="fail", shared=False)
    def fail(*args):
        raise ValueError("boom")

    @app.task(name="grow", shared=False)
    def grow(x):
        flow = Workflow("grown", app)
        flow.add(add.s(x))
        return flow

    return app


@pytest.fixture
def outcomes():
    """The ids of the tasks that have ended as a run inside."""
    ran = []

    def note(sender=None, task_id=None, **_):
        if sender.name == RUN_OUTCOME:
            ran.append(task_id)

    signals.task_prerun.connect(note, weak=False)
    yield ran
    signals.task_prerun.disconnect(note)


def inner_of(app, compose):
    inner = Workflow("inner", app)
    compose(inner, {name: app.tasks[name].s for name in ("add", "ident", "fail", "grow")})
    return inner


def two_ends(inner, task):
    inner.add(task["add"](1), name="one")
    inner.add(task["add"](2), name="two")


def an_end_with_a_default(inner, task):
    inner.add(task["add"](1), name="good")
    inner.add(task["fail"](), name="bad", on_failure="continue", default=7)


def one_end_with_a_default(inner, task):
    inner.add(task["fail"](), on_failure="continue", default=[7])


def a_skipped_end(inner, task):
    first = inner.add(task["add"](1), name="first")
    inner.branch(inner.add(task["ident"]("no"), after=first), {"yes": task["add"](first)}, name="left")


def cleaned_up(inner, task):
    inner.add(task["add"](1), name="work")
    inner.finally_(task["ident"]("clean"))


def a_run_inside_that_one(inner, task):
    deeper = Workflow("deeper", inner.app)
    deeper.add(task["add"](4))
    inner.add(deeper)


def a_task_that_returns_one(inner, task):
    inner.add(task["grow"](5))


def rounds(inner, task):
    inner.loop(task["grow"](), 0, at_most=3)


def items(inner, task):
    inner.map(task["grow"](), over=inner.add(task["ident"]([1, 2])), concurrency=1)


CASES = [
    (two_ends, {"one": 2, "two": 3}),
    (an_end_with_a_default, {"good": 2, "bad": 7}),
    (one_end_with_a_default, [7]),
    (a_skipped_end, None),
    (cleaned_up, 2),
    (a_run_inside_that_one, 5),
    (a_task_that_returns_one, 6),
    (rounds, 3),
    (items, [2, 3]),
]


@pytest.mark.parametrize(("compose", "value"), CASES, ids=lambda one: getattr(one, "__name__", ""))
def test_a_success_goes_on_around_without_a_message(app, outcomes, compose, value):
    flow = Workflow("flow", app)
    node = flow.add(inner_of(app, compose), name="inside")
    flow.add(app.tasks["ident"].s(node), name="after")
    run = flow.apply()
    assert run.get() == value == run["inside"].get()
    assert outcomes == []
    inside, after = run.status().nodes
    assert inside.child == run.child("inside").id
    assert inside.started <= inside.ended <= after.started
    (record,) = run.app.backend.get_records([run["after"].id])
    assert record.parent_id == run["inside"].id


def test_a_failure_is_the_end_of_a_task(app, outcomes):
    flow = Workflow("flow", app)
    flow.add(inner_of(app, lambda inner, task: inner.add(task["fail"]())), name="inside")
    run = flow.apply()
    with pytest.raises(ValueError, match="boom"):
        run.get()
    assert outcomes == [run["inside"].id]


def test_a_task_with_callbacks_in_the_place_ends_by_a_message(app, outcomes):
    flow = Workflow("flow", app)
    node = flow.add(app.tasks["grow"].s(1).set(link=[app.tasks["ident"].si("called")]), name="inside")
    flow.add(app.tasks["add"].s(node))
    run = flow.apply()
    assert run.get() == 3
    assert outcomes == [run["inside"].id]


def test_runs_that_end_as_they_begin_are_ended_by_messages(app, outcomes):
    """One settlement does not take the steps of any number of runs."""
    inner = Workflow("inner", app)
    inner.input("x", default=2)
    flow = Workflow("flow", app)
    last = flow.add(inner, name="first")
    flow.add(app.tasks["add"].s(flow.add(inner, name="second", after=last)))
    run = flow.apply()
    assert run.get() == 3
    assert outcomes == [run["first"].id, run["second"].id]


def test_a_node_with_a_limit_ends_by_a_message(app, outcomes):
    """The end of the run inside may be late: only the step that finds it in time records the success of the node."""
    flow = Workflow("flow", app)
    flow.timeout(flow.add(inner_of(app, two_ends), name="inside"), 60)
    run = flow.apply()
    assert run.get() == {"one": 2, "two": 3}
    assert outcomes == [run["inside"].id]
