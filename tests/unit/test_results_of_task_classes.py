"""A task whose class overrides ``AsyncResult``: every handle of its calls is what that makes, as in Celery."""

import pytest

from canvas import AsyncResult, Canvas, Task, chain, chord, group
from canvas.result import ResultBase, ResultSet


class Watched(AsyncResult):
    pass


class WatchedTask(Task):
    abstract = True

    def AsyncResult(self, task_id, **kwargs):
        return Watched(task_id, app=self.app, **kwargs)


@pytest.fixture
def app():
    app = Canvas("own", broker="memory://own-results", backend="memory://own-results", set_as_current=False)

    @app.task(base=WatchedTask, name="own")
    def own(x):
        return x

    @app.task(name="plain")
    def plain(x):
        return x

    yield app
    app.close()


def test_single_calls(app):
    own = app.tasks["own"]
    sent = [own.delay(1), own.apply_async((1,)), own.s(1).apply_async(), own.s(1).delay(), app.send_task("own", (1,))]
    assert [type(one) for one in sent] == [Watched] * 5
    assert sent[0].get.__self__.app is app
    assert type(app.tasks["plain"].delay(1)) is app.AsyncResult


def test_members_of_composites(app):
    own, plain = app.tasks["own"], app.tasks["plain"]
    last = chain(plain.s(1), own.s(), plain.s()).delay()
    assert [type(one).__name__ for one in (last, last.parent, last.parent.parent)] == [
        "AsyncResult", "Watched", "AsyncResult",
    ]  # fmt: skip
    assert [type(one).__name__ for one in group(own.s(1), plain.s(2)).delay()] == ["Watched", "AsyncResult"]
    assert type(chord([plain.s(1)], own.s()).delay()) is Watched


def test_results_that_are_not_kept(app):
    @app.task(base=WatchedTask, name="silent", ignore_result=True)
    def silent():
        pass

    assert silent.delay().ignored
    assert not app.tasks["own"].delay(1).ignored


def test_results_have_one_base(app):
    assert isinstance(app.tasks["own"].delay(1), ResultBase)
    assert isinstance(ResultSet([]), ResultBase)
