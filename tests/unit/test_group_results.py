"""Groups' results: what of them is deleted, and which of them may be waited for inside a task."""

import pytest

from canvas import Canvas, chain, chord, group
from canvas.result import GroupResult, denied_join_result


@pytest.fixture
def app():
    app = Canvas("groups", broker="memory://groups", backend="memory://groups", set_as_current=False)

    @app.task(name="add")
    def add(x, y): ...

    return app


@pytest.fixture
def here():
    app = Canvas("here", broker="memory://here", set_as_current=False)

    @app.task(name="add")
    def add(x, y):
        return x + y

    @app.task(name="total")
    def total(values):
        return sum(values)

    return app


def saved(app, group_id, members, parent=None):
    result = app.GroupResult(group_id, members, parent=parent)
    result.save()
    return result


def test_forget_deletes_the_kept_structures(app):
    """The group's own, those of groups in it, and those of its ancestors."""
    before = saved(app, "before", [app.AsyncResult("a")])
    inner = saved(app, "inner", [app.AsyncResult("b")])
    outer = saved(app, "outer", [inner, app.AsyncResult("c")], parent=before)
    outer.forget()
    assert [GroupResult.restore(name, app=app) for name in ("before", "inner", "outer")] == [None, None, None]


def test_forgetting_what_follows_a_group_deletes_its_structure(app):
    header = saved(app, "header", [app.AsyncResult("a")])
    app.AsyncResult("body", parent=header).forget()
    assert GroupResult.restore("header", app=app) is None


EAGER = {
    "group": (lambda add, total: group(add.s(1, 1), add.s(2, 2)), [2, 4]),
    "nested groups": (lambda add, total: group(group(add.s(1, 1)), group(add.s(2, 2), add.s(3, 3))), [2, 4, 6]),
    "a chain that ends in a group": (lambda add, total: chain(add.s(1, 1), group(add.s(1), add.s(2))), [3, 4]),
    "a group of groups": (lambda add, total: group(add.s(1, 1) | group(add.s(1), add.s(2)), add.s(0, 0)), [[3, 4], 0]),
    "a chord's body": (lambda add, total: chord([add.s(1, 1)], group(total.s(), total.s())), [2, 2]),
    "chunks": (lambda add, total: add.chunks([(1, 1), (2, 2)], 1).group(), [[2], [4]]),
    "chain": (lambda add, total: chain(add.s(1, 1), add.s(1)), 3),
    "chord": (lambda add, total: chord([add.s(1, 1), add.s(2, 2)], total.s()), 6),
}


@pytest.mark.parametrize("name", EAGER)
def test_eager_results_may_be_waited_for_inside_a_task(here, name):
    make, value = EAGER[name]
    result = make(here.tasks["add"], here.tasks["total"]).apply()
    with denied_join_result():
        assert result.get() == value
        if isinstance(result, GroupResult):
            assert result.join() == result.join_native() == value
            assert result.parent is None or result.parent.get() is not None
    result.forget()


def test_one_result_of_a_worker_among_eager_ones_is_refused(here):
    result = group(here.tasks["add"].s(1, 1), here.tasks["add"].s(1, 1)).apply()
    result.results.append(here.AsyncResult("elsewhere"))
    with denied_join_result(), pytest.raises(RuntimeError, match="within a task"):
        result.get()
