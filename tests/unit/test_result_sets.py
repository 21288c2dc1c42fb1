"""Results of several tasks: groups of results, and sets that are edited."""

import pytest

from canvas import GroupResult, ResultSet
from tests.unit.stored import fail, later, results_app, succeed


@pytest.fixture
def app():
    return results_app()


def test_groups_wait_for_all_in_order(app):
    group = app.GroupResult("g", [app.AsyncResult(x) for x in "abc"])
    succeed(app, "c", 3)
    later(succeed, app, "a", 1)
    later(succeed, app, "b", 2)
    assert group.get(timeout=10) == [1, 2, 3]
    assert (group.ready(), group.successful(), group.completed_count(), len(group)) == (True, True, 3, 3)


def test_groups_raise_the_first_failure(app):
    group = app.GroupResult("g", [app.AsyncResult(x) for x in "ab"])
    later(fail, app, "b", ValueError("b"))
    with pytest.raises(ValueError, match="b"):
        group.get(timeout=10)
    assert (group.failed(), group.waiting()) == (True, True)


def test_groups_call_back_as_values_arrive(app):
    group = app.GroupResult("g", [app.AsyncResult("a"), app.AsyncResult("b")])
    succeed(app, "b", 2)
    called = []

    def call(task_id, value):
        called.append((task_id, value))
        if task_id == "b":
            succeed(app, "a", 1)

    assert group.get(timeout=10, callback=call) is None
    assert called == [("b", 2), ("a", 1)]
    assert [i for i, _ in group.iter_native()] == ["a", "b"]
    assert list(group.iterate()) == [1, 2]


def test_join_calls_back_in_the_order_of_its_members(app):
    group = app.GroupResult("g", [app.AsyncResult("a"), app.GroupResult("n", []), app.AsyncResult("b")])
    called = []
    later(succeed, app, "b", 2)
    later(succeed, app, "a", 1)
    assert group.join(timeout=10, callback=lambda *args: called.append(args)) == []
    assert called == [("a", 1), ("n", []), ("b", 2)]


def test_nested_groups(app):
    inner = app.GroupResult("i", [app.AsyncResult("a"), app.AsyncResult("b")])
    outer = app.GroupResult("o", [inner, app.AsyncResult("c")])
    for task_id in "abc":
        succeed(app, task_id, task_id)
    assert outer.get(timeout=1) == [["a", "b"], "c"]


def test_groups_are_saved_and_restored(app):
    group = app.GroupResult("g", [app.AsyncResult("a")], parent=app.AsyncResult("p"))
    group.save()
    again = GroupResult.restore("g", app=app)
    assert again == group
    assert again.parent.id == "p"
    group.delete()
    assert GroupResult.restore("g", app=app) is None


def test_result_sets_are_edited(app):
    results = ResultSet([app.AsyncResult("a")], app=app)
    results.add(app.AsyncResult("b"))
    results.add(app.AsyncResult("b"))
    assert [r.id for r in results] == ["a", "b"]
    results.remove("a")
    results.discard("x")
    with pytest.raises(KeyError):
        results.remove("x")
    assert results[0].id == "b"
    results.clear()
    assert results.get() == []
