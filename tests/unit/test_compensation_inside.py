"""Compensations of workflows inside of others, in this process, for random nestings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas import Canvas, Workflow
from canvas.model import states
from canvas.model.record import Record
from canvas.model.workflow_run import NodeRef
from canvas.producer.outbox import Outbox
from canvas.workflows.run_records import grown_id, run_metadata
from canvas.workflows.steps.compensation import has_grown, mark_grown


@pytest.fixture(scope="module")
def app():
    app = Canvas("undone", broker="memory://", backend="memory://")
    app.seen = []

    @app.task(name="note", shared=False)
    def note(name):
        app.seen.append(name)
        return name

    @app.task(name="fail", shared=False)
    def fail():
        raise ValueError("boom")

    @app.task(name="gate", shared=False)
    def gate():
        if not app.open:
            raise ValueError("closed")
        app.seen.append("gate")

    @app.task(name="grow", shared=False)
    def grow(name, depth=0):
        flow = Workflow("grown", app)
        last = flow.add(note.s(name), compensate=undo.s())
        if depth:
            flow.add(grow.s(f"{name}+", depth - 1), after=last)
        return flow

    @app.task(name="undo", shared=False)
    def undo(name):
        app.seen.append(f"undo {name}")

    @app.task(name="page", shared=False)
    def page(cursor):
        if cursor and not app.open:
            raise ValueError("closed")
        return {"items": ["b" if cursor else "a"], "next": None if cursor else 1}

    return app


def names_of(tree, at=""):
    """The steps of a tree in the order in which they run: a number has a step of its own, a list is a workflow."""
    return [
        name
        for place, part in enumerate(tree)
        for name in (names_of(part, f"{at}{place}.") if isinstance(part, list) else [f"{at}{place}"])
    ]


def compose(app, tree, at=""):
    flow, before, note = Workflow(f"flow {at}", app), [], app.tasks["note"]
    for place, part in enumerate(tree):
        name = f"{at}{place}"
        if isinstance(part, list):
            node = flow.add(compose(app, part, f"{name}."), name=name, after=before)
        else:
            node = flow.add(note.si(name), name=name, after=before, compensate=note.si(f"undo {name}"))
        before = [node]
    return flow


trees = st.recursive(st.integers(0, 0), lambda part: st.lists(part, min_size=1, max_size=3), max_leaves=6)


@settings(max_examples=30)
@given(st.lists(trees, min_size=1, max_size=3))
def test_all_steps_are_undone_in_reverse(app, tree):
    app.seen.clear()
    flow = compose(app, tree)
    flow.add(app.tasks["fail"].si(), after=flow[str(len(tree) - 1)])
    flow.apply()
    forth = names_of(tree)
    assert app.seen == [*forth, *(f"undo {name}" for name in reversed(forth))]


def around(app, *nodes):
    """A workflow around others, or around signatures."""
    flow, last = Workflow("around", app), ()
    for node in nodes:
        last = flow.add(node, after=last)
    return flow


def for_each(app):
    """A workflow with a step, for the items of a map and the rounds of a loop."""
    flow = Workflow("step", app)
    flow.add(app.tasks["note"].s(flow.input("name")), compensate=app.tasks["undo"].s())
    return flow


def grow(app, *args):
    return app.tasks["grow"].s(*args)


INSIDE = {
    "returned by a task": (lambda flow, app: flow.add(grow(app, "a")), ["a"]),
    "returned inside of one that was returned": (lambda flow, app: flow.add(grow(app, "a", 2)), ["a", "a+", "a++"]),
    "returned inside of a workflow": (lambda flow, app: flow.add(around(app, grow(app, "a"))), ["a"]),
    "returned by the items of a map": (lambda flow, app: flow.map(grow(app), over=["a", "b"]), ["a", "b"]),
    "for each item": (lambda flow, app: flow.map(for_each(app), over=["a", "b"]), ["a", "b"]),
    "in each round": (lambda flow, app: flow.loop(for_each(app), "a", at_most=2), ["a", "a"]),
}


@pytest.mark.parametrize("inside", INSIDE)
def test_runs_inside_are_undone_and_run_again_after_a_resume(app, inside):
    app.seen.clear()
    app.open = False
    flow, (compose, names) = Workflow("flow", app), INSIDE[inside]
    flow.add(app.tasks["gate"].si(), after=compose(flow, app))
    run = flow.apply()
    assert app.seen == [*names, *(f"undo {name}" for name in reversed(names))]
    app.seen.clear()
    app.open = True
    assert run.resume()
    assert app.seen == [*names, "gate"]


def test_pages_before_the_one_that_failed_are_undone_and_run_again(app):
    app.seen.clear()
    app.open = False
    flow = Workflow("flow", app)
    flow.pages(app.tasks["page"].s(), app.tasks["note"].s(), compensate=app.tasks["undo"].s())
    run = flow.apply()
    app.open = True
    assert run.resume()
    assert app.seen == ["a", "undo a", "a", "b"]
    assert run.get() == 2


def test_a_mark_that_was_stored_in_part_is_completed(app):
    """Results on several servers are not written in one step: a worker may die between two of them."""
    runs, outer = app.run_store, NodeRef("outer", 0, 0)
    runs.save("outer", run_metadata("outer", [], app.now()), [])
    runs.save("inner", {**run_metadata("inner", [], app.now()), "place": outer.as_list()}, [])
    app.backend.keep(Record(grown_id("inner"), states.STARTED, None, None, []))
    outbox = Outbox(app)
    mark_grown(app, runs, outbox, NodeRef("inner", 0, 0))
    app.driver.settler.settle([outbox.settlement()])
    assert has_grown(app, runs, "outer")


def steps(app, *names, undone=True):
    """A workflow of steps one after the other; ``undone``: the first one has a compensation."""
    flow, note = Workflow("steps", app), app.tasks["note"]
    last = flow.add(note.si(names[0]), name=names[0], compensate=app.tasks["undo"].s() if undone else None)
    for name in names[1:]:
        last = flow.add(app.tasks["gate"].si() if name == "gate" else note.si(name), name=name, after=last)
    return flow


def test_a_step_inside_that_runs_again_is_resumed_where_it_failed(app):
    app.open = True
    flow = Workflow("flow", app)
    flow.add(steps(app, "a", "gate", undone=False), name="inside")
    run = flow.apply()
    app.seen.clear()
    app.open = False
    assert run.again("inside/a")
    assert app.seen == ["a"]
    app.open = True
    assert run.resume()
    assert app.seen == ["a", "gate"]


def test_steps_inside_that_were_undone_run_again_with_the_one_that_is_named(app):
    app.seen.clear()
    app.open = False
    flow = Workflow("flow", app)
    flow.add(app.tasks["gate"].si(), after=flow.add(steps(app, "a", "b"), name="inside"))
    run = flow.apply()
    app.open = True
    assert run.again("inside/b")
    assert app.seen == ["a", "b", "undo a", "a", "b", "gate"]


@pytest.mark.parametrize("inside", ["returned by the items of a map", "for each item", "in each round"])
def test_runs_of_items_are_undone_where_the_run_is_found_again(app, inside):
    app.open = True
    flow, (compose, names) = Workflow("flow", app), INSIDE[inside]
    flow.add(app.tasks["gate"].si(), after=compose(flow, app), name="gate")
    app.conf.update(task_always_eager=True, task_store_eager_result=True)
    try:
        run = flow.apply_async()
        app.seen.clear()
        app.open = False
        assert app.workflow(run.id).again("gate")
        assert not [found.id for found in app.runs() if found.id.endswith(".w")], "runs inside are not listed"
    finally:
        app.conf.update(task_always_eager=False, task_store_eager_result=False)
    assert app.seen == [f"undo {name}" for name in reversed(names)]


@pytest.mark.parametrize(("inside", "again", "seen"), [
    (lambda app: steps(app, "a", "b"), "b", ["b"]), (lambda app: grow(app, "a"), "note", ["a"]),
])  # fmt: skip
def test_steps_inside_of_an_earlier_attempt_are_undone(app, inside, again, seen):
    app.open = True
    flow = Workflow("flow", app)
    flow.add(app.tasks["gate"].si(), after=flow.add(inside(app), name="inside"))
    run = flow.apply()
    app.seen.clear()
    app.open = False
    assert run.again(f"inside/{again}")
    assert app.seen == [*seen, "undo a"]
