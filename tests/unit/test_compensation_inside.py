"""Compensations of workflows inside of others, in this process, for random nestings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas import Canvas, Workflow


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
