"""``then``: a function that is called once a handle has read that its tasks have ended."""

import pytest

from canvas import AsyncResult, Canvas, GroupResult, ResultSet, chain


@pytest.fixture
def app():
    with Canvas("then", broker="memory://", backend="memory://", set_as_current=False) as made:
        yield made


def test_a_result_that_ends_later(app):
    called = []
    result = AsyncResult("one", app=app)
    assert result.then(called.append) is result
    assert not result.ready()
    assert called == []
    app.backend.store_result("one", 5, "SUCCESS")
    assert called == []
    assert result.get(timeout=5) == 5
    assert called == [result]
    assert result.get() == 5
    assert called == [result]


@pytest.mark.parametrize(("state", "value"), [("SUCCESS", 5), ("FAILURE", KeyError("no")), ("REVOKED", None)])
def test_a_result_that_has_ended(app, state, value):
    app.backend.store_result("ended", value, state)
    states = []
    AsyncResult("ended", app=app).then(lambda result: states.append(result.state))
    assert states == [state]


def test_an_eager_result(app):
    task = app.task(lambda: 3, name="then.three")
    values = []
    task.apply().then(lambda result: values.append(result.get()))
    chain(task.si(), task.si(), app=app).apply().then(lambda result: values.append(result.get()))
    assert values == [3, 3]


@pytest.mark.parametrize("kind", [GroupResult, ResultSet])
def test_several_results(app, kind):
    members = [AsyncResult(f"m{number}", app=app) for number in range(3)]
    results = GroupResult("group", members, app=app) if kind is GroupResult else ResultSet(members, app=app)
    called = []
    results.then(called.append)
    for number in range(3):
        assert called == []
        app.backend.store_result(f"m{number}", number, "SUCCESS")
        results.ready()
    assert called == [results]
    ResultSet([], app=app).then(called.append)
    assert len(called) == 2


def test_a_callback_that_raises(app):
    app.backend.store_result("ended", 5, "SUCCESS")

    def broken(result):
        raise RuntimeError("of the callback")

    errors = []
    AsyncResult("ended", app=app).then(broken, errors.append)
    assert [str(error) for error in errors] == ["of the callback"]
    with pytest.raises(RuntimeError, match="of the callback"):
        AsyncResult("ended", app=app).then(broken)
