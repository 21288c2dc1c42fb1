"""The result classes that an app has, and callbacks for the members of a group."""

import asyncio
import pickle

import pytest

import canvas
from canvas import Canvas, EagerResult, group
from canvas.result import AsyncResult, GroupResult, ResultSet, result_from_tuple


@pytest.fixture
def app():
    return Canvas("classes", broker="memory://classes", backend="memory://classes", set_as_current=False)


def store(app, **values):
    for task_id, value in values.items():
        app.backend.store_result(task_id, value, "SUCCESS")


def test_what_an_app_sends_is_of_its_classes(app):
    @app.task(name="t")
    def task(x=None): ...

    other = Canvas("other", broker="memory://classes", set_as_current=False)
    one, several = task.delay(), group(task.s(), group(task.s()) | task.s()).delay()
    for result in (one, several[0], several[1].parent[0], app.AsyncResult("x")):
        assert isinstance(result, app.AsyncResult)
        assert isinstance(result, AsyncResult)
        assert not isinstance(result, other.AsyncResult)
        assert result.app is app
    for result in (several, several[1].parent, app.GroupResult("g", [])):
        assert isinstance(result, app.GroupResult)
        assert isinstance(result, GroupResult)
        assert not isinstance(result, other.GroupResult)
    assert isinstance(app.ResultSet([one]), app.ResultSet)
    assert isinstance(result_from_tuple(several.as_tuple(), app), app.GroupResult)
    assert repr(one).startswith("<AsyncResult: ")


def test_they_take_what_celerys_take_positionally(app):
    parent = app.AsyncResult("p")
    result = app.AsyncResult("a", None, "t", None, parent)
    assert (result.id, result.task_name, result.app, result.parent) == ("a", "t", app, parent)
    members = app.GroupResult("g", [result], parent)
    assert (members.id, members.results, members.parent, members.app) == ("g", [result], parent, app)


def test_every_result_has_an_app(app):
    other = Canvas("other", broker="memory://other")
    assert app.ResultSet([]).app is app
    assert ResultSet([app.AsyncResult("a")]).app is app
    assert GroupResult("g", [app.GroupResult("h", [app.AsyncResult("a")])]).app is app
    for result in (ResultSet([]), AsyncResult("a"), GroupResult("g", []), EagerResult("e", 1, "SUCCESS")):
        assert result.app is other
    chosen = ResultSet([AsyncResult("a")])
    chosen.app = app
    assert chosen.app is app


def test_a_pickled_result_is_of_the_current_app(app):
    app.set_current()
    for result in (
        app.AsyncResult("a"),
        app.GroupResult("g", [app.AsyncResult("a")]),
        app.ResultSet([AsyncResult("b")]),
    ):
        again = pickle.loads(pickle.dumps(result))
        assert (again, again.app) == (result, app)


def test_a_group_is_restored_as_one_of_the_app(app):
    app.GroupResult("g", [app.AsyncResult("a")]).save()
    assert isinstance(app.GroupResult.restore("g"), app.GroupResult)
    assert app.GroupResult.restore("none") is None


def test_the_callback_is_called_once_for_each_member(app):
    inner = app.GroupResult("inner", [app.AsyncResult("b"), app.GroupResult("deep", [app.AsyncResult("c")])])
    results = app.GroupResult("g", [app.AsyncResult("a"), inner, app.GroupResult("nothing", [])])
    store(app, a=1, b=2)
    called = []

    def call(task_id, value):
        called.append((task_id, value))
        if task_id == "a":
            store(app, c=3)

    assert results.get(timeout=10, callback=call) is None
    assert called == [("nothing", []), ("a", 1), ("inner", [2, [3]])]
    called.clear()
    assert asyncio.run(results.aget(timeout=10, callback=lambda *args: called.append(args))) is None
    assert sorted(called) == [("a", 1), ("inner", [2, [3]]), ("nothing", [])]


def test_one_task_in_two_members(app):
    store(app, a=1)
    called = []
    results = app.ResultSet([app.AsyncResult("a"), app.GroupResult("g", [app.AsyncResult("a")])])
    results.join(timeout=10, callback=lambda *args: called.append(args))
    assert sorted(called) == [("a", 1), ("g", [1])]


def test_iter_native_takes_celerys_arguments(app):
    store(app, a=1)
    seen = []
    found = dict(app.ResultSet([app.AsyncResult("a")]).iter_native(10, 0.5, True, seen.append, None))
    assert found["a"]["result"] == 1
    assert [meta["task_id"] for meta in seen] == ["a"]


def test_ignored_results_are_not_waited_for(app):
    @app.task(name="quiet", ignore_result=True)
    def quiet(x=None): ...

    @app.task(name="loud")
    def loud(x=None): ...

    last = [
        loud.s() | quiet.s(),
        canvas.chord([loud.s()], quiet.s()),
        canvas.chord([loud.s()], loud.s() | quiet.s()),
        canvas.chord([loud.s()], canvas.chord([loud.s()], quiet.s())),
        canvas.chord([], quiet.s(), app=app),
        loud.s() | loud.s().set(ignore_result=True),
        canvas.chain(quiet.s(), app=app),
    ]
    for sig in last:
        result = sig.apply_async()
        assert result.get(timeout=0) is None
        assert asyncio.run(result.aget(timeout=0)) is None
    assert loud.apply_async(ignore_result=True).get(timeout=0) is None
    both = group(quiet.s(), loud.s(), group(quiet.s()) | quiet.s()).apply_async()
    assert not both.ready()
    store(app, **{both[1].id: 7})
    called = []
    assert (both.get(timeout=10), both.ready(), both.waiting(), both.successful()) == (
        [None, 7, None],
        True,
        False,
        True,
    )
    assert asyncio.run(both.aget(timeout=10)) == [None, 7, None]
    both.join(timeout=10, callback=lambda *args: called.append(args))
    assert sorted(called, key=str) == sorted([(both[0].id, None), (both[1].id, 7), (both[2].id, None)], key=str)
    assert group(quiet.s(), quiet.s()).apply_async().get(timeout=0) == [None, None]
    kept = quiet.s().set(ignore_result=False).apply_async()
    assert not kept.ignored
