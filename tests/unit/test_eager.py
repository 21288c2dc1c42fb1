"""``apply()`` and ``task_always_eager``: the same values as a worker's."""

import pytest

from canvas import Canvas, GroupResult, chain, chord, group
from canvas.errors import ChordError


@pytest.fixture
def app():
    app = Canvas("eager", broker="memory://eager", backend="memory://eager", task_always_eager=True)

    @app.task(name="add")
    def add(x, y):
        return x + y

    @app.task(name="tsum")
    def tsum(values):
        return sum(values)

    @app.task(name="fail")
    def fail():
        raise ValueError("boom")

    @app.task(name="flaky", bind=True, max_retries=3)
    def flaky(self, times):
        if self.request.retries < times:
            raise self.retry(countdown=0)
        return self.request.retries

    @app.task(name="noted")
    def noted(value):
        seen.append(value)

    @app.task(name="slow")
    async def slow(x):
        return x

    seen = app.seen = []
    return app


def test_values(app):
    add, tsum = app.tasks["add"], app.tasks["tsum"]
    assert add.delay(1, 2).get() == 3
    assert (add.s(1, 2) | add.s(3)).delay().get() == 6
    assert group(add.s(i, i) for i in range(3)).delay().get() == [0, 2, 4]
    assert chord([add.s(i, i) for i in range(3)], tsum.s()).delay().get() == 6
    assert (add.s(1, 1) | group(add.s(1), add.s(2)) | tsum.s()).delay().get() == 7
    assert add.chunks([(1, 1), (2, 2), (3, 3)], 2).apply_async().get() == [[2, 4], [6]]
    assert add.starmap([(1, 2), (3, 4)]).apply_async().get() == [3, 7]
    assert app.tasks["slow"].delay(5).get() == 5


def test_failures_and_retries(app):
    result = app.tasks["fail"].delay()
    assert (result.state, result.failed()) == ("FAILURE", True)
    with pytest.raises(ValueError, match="boom"):
        result.get()
    assert app.tasks["flaky"].delay(2).get() == 2
    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="boom"):
        app.tasks["fail"].delay()


def test_callbacks_run(app):
    sig = app.tasks["add"].s(1, 2)
    sig.link(app.tasks["noted"].s())
    sig.delay()
    assert app.seen == [3]


def test_a_failed_step_ends_the_chain(app):
    result = chain(app.tasks["fail"].si(), app.tasks["noted"].s()).delay()
    assert result.state == "FAILURE"
    assert app.seen == []


def test_arguments_are_checked(app):
    with pytest.raises(TypeError, match="add"):
        app.tasks["add"].delay(1)


def test_parents(app):
    result = (app.tasks["add"].s(1, 2) | app.tasks["add"].s(3)).delay()
    assert result.parent.get() == 3


def test_a_chord_whose_header_fails_ends_as_on_a_worker(app):
    result = chord([app.tasks["fail"].si(), app.tasks["add"].si(1, 2)], app.tasks["noted"].s()).apply()
    assert result.state == "FAILURE"
    assert isinstance(result.result, ChordError)
    assert app.seen == []


def test_results_are_stored_where_that_is_asked_for(app):
    assert app.AsyncResult(app.tasks["add"].delay(1, 2).id).state == "PENDING"
    app.conf.task_store_eager_result = True
    done, failed = app.tasks["add"].delay(1, 2), app.tasks["fail"].delay()
    assert app.AsyncResult(done.id).result == 3
    stored = app.AsyncResult(failed.id)
    assert (stored.state, type(stored.result)) == ("FAILURE", ValueError)


@pytest.mark.parametrize("of_task", [False, True])
def test_failures_of_tasks_that_do_not_run_are_stored_too(app, of_task):
    app.conf.task_store_eager_result = not of_task
    app.task(name="kept", store_eager_result=of_task, ignore_result=True)(lambda *_: None)
    kept, one, fail = app.tasks["kept"].s(), app.tasks["add"].si(1, 2), app.tasks["fail"].si()
    for unrun in (chain(fail, kept), chain(fail, one, kept), chord([one, fail], kept), chain(fail, group(kept, kept))):
        result = unrun.apply()
        for task in result if isinstance(result, GroupResult) else [result]:
            assert app.AsyncResult(task.id).state == "FAILURE"
    assert app.AsyncResult(chain(fail, one).apply().id).state == ("PENDING" if of_task else "FAILURE")


REPLACEMENTS = {
    "task": lambda s: s("add", 1, 1),
    "chain": lambda s: chain(s("add", 1, 1), s("add", 2)),
    "group": lambda s: group(s("add", 1, 1), s("add", 2, 2)),
    "chord": lambda s: chord([s("add", 1, 1), s("add", 2, 2)], s("tsum")),
    "failing task": lambda s: s("fail"),
    "failing chain": lambda s: chain(s("add", 1, 1), s("fail").set(immutable=True)),
    "failing chord": lambda s: chord([s("add", 1, 1), s("fail")], s("tsum")),
    "another that replaces itself": lambda s: s("swap", s("add", 1, 1)),
    "another that fails": lambda s: s("swap", s("fail")),
}


@pytest.mark.parametrize("kind", REPLACEMENTS)
def test_a_replaced_task_calls_its_callbacks_once(app, kind):
    """As on a worker. The replacement has none of its own."""
    calls = []

    @app.task(name="swap", bind=True)
    def swap(self, sig):
        return self.replace(app.signature(sig))

    @app.task(name="failed")
    def failed(request, exc, traceback):
        calls.append(str(exc))

    def s(name, *args):
        return app.tasks[name].s(*args)

    sent = swap.apply_async((REPLACEMENTS[kind](s),), link=s("noted"), link_error=failed.s())
    if "fail" in kind:
        assert (sent.state, app.seen) == ("FAILURE", [])
        assert len(calls) == 1
        assert "boom" in calls[0]
    else:
        assert (app.seen, calls) == ([sent.get()], [])


def test_what_a_failure_ends_carries_its_traceback(app):
    fail, add, total = app.tasks["fail"], app.tasks["add"], app.tasks["tsum"]
    chained = chain(fail.s(), add.si(1, 1)).apply()
    assert chained.traceback == chained.parent.traceback
    for body in (total.s(), chain(add.si(1, 1), total.s()), group(total.s(), add.si(1, 1))):
        ended = chord([add.s(1, 1), fail.s()], body).apply()
        for result in ended.results if hasattr(ended, "results") else [ended]:
            assert 'raise ValueError("boom")' in result.traceback
            *_, last = result.traceback.strip().splitlines()
            assert last.endswith(str(result.result)) and type(result.result).__name__ in last


def test_a_retry_opens_no_connection():
    """Django's tests keep a database in memory, which the results of ``django-db`` cannot be in."""
    app = Canvas("unserved", broker="nosuch://", backend="nosuch://", task_always_eager=True)

    @app.task(bind=True, autoretry_for=(OSError,), retry_backoff=1)
    def flaky(self):
        if self.request.retries == 0:
            raise self.retry(countdown=5)
        if self.request.retries == 1:
            raise OSError
        return self.request.retries

    assert flaky.delay().get() == 2
    assert "driver" not in vars(app)
