"""Results and chords in Memcached and in files, with clients and workers of both libraries."""

import celery
import pytest

import canvas
from canvas import GroupResult, chord, group
from canvas.errors import ChordError, NoResultBackend
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.processes import WorkerProcess

LOOKS = {"result_chord_retry_interval": 0.1}


@pytest.fixture
def url(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def apps(redis_url, url):
    """The same app of each library."""
    made = {library: make(library, redis_url, url, **LOOKS) for library in ("canvas", "celery")}
    yield made
    for app in made.values():
        app.close()


def worker(library, redis_url, url):
    return WorkerProcess(library, redis_url, url, "-P", "solo", **LOOKS)


def task(app, name):
    return app.tasks[f"t.{name}"]


def chords_of(library, app):
    """Chords: their results, and their values."""
    add, tsum = task(app, "add"), task(app, "tsum")
    compose = canvas.chord if library == "canvas" else celery.chord
    inner = compose([add.s(1, 1), add.s(2, 2)], tsum.s())
    return [
        (compose([add.s(n, n) for n in range(12)], tsum.s()).apply_async(), 132),
        (compose([inner, add.s(3, 3)], tsum.s()).apply_async(), 12),
    ]


BOTH = pytest.mark.parametrize("url", ["memcached_url", "file_url"], indirect=True)


@pytest.mark.parametrize("url", ["memcached_url", pytest.param("file_url", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.timeout(120)
def test_chords_of_both_libraries_end_on_both_kinds_of_worker(apps, redis_url, url):
    with worker("canvas", redis_url, url), worker("celery", redis_url, url):
        sent = [one for library, app in apps.items() for _ in range(2) for one in chords_of(library, app)]
        assert [result.get(timeout=60) for result, _ in sent] == [value for _, value in sent]


@BOTH
def test_canvas_workers_end_chords_that_fail(apps, redis_url, url):
    app = apps["canvas"]
    add, tsum, fail = (task(app, name) for name in ("add", "tsum", "fail"))
    with worker("canvas", redis_url, url):
        failed = chord([add.s(1, 1), fail.s()], tsum.s()).delay()
        ignored = chord([add.s(1, 1), add.s(2, 2).set(ignore_result=True)], tsum.s()).delay()
        nested = chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)], task(app, "ident").s()).delay()
        theirs = celery.chord([task(apps["celery"], "fail").s()], task(apps["celery"], "tsum").s()).delay()
        assert (ignored.get(timeout=30), nested.get(timeout=30)) == (6, [2, 4, 6])
        eventually(lambda: (failed.state, theirs.state) == ("FAILURE", "FAILURE"))
        assert isinstance(failed.result, ChordError)
        assert "ValueError" in str(theirs.result)


@BOTH
def test_each_library_reads_what_the_other_keeps(apps, url):
    ours, theirs = apps["canvas"], apps["celery"]
    ours.backend.store_result("a", {"of": "canvas"}, "SUCCESS")
    theirs.backend.store_result("b", ValueError("of celery"), "FAILURE", traceback="trace")
    assert theirs.AsyncResult("a").get(timeout=5) == {"of": "canvas"}
    found = ours.AsyncResult("b")
    assert (found.state, repr(found.result), found.traceback) == ("FAILURE", "ValueError('of celery')", "trace")
    theirs.backend.store_result("a", None, "FAILURE")
    ours.backend.store_result("a", None, "FAILURE")
    assert ours.AsyncResult("a").state == theirs.AsyncResult("a").state == "SUCCESS"
    GroupResult("g", [ours.AsyncResult("a"), ours.AsyncResult("b")], app=ours).save()
    assert [one.id for one in theirs.GroupResult.restore("g")] == ["a", "b"]
    theirs.GroupResult("h", [theirs.AsyncResult("b")]).save()
    assert [one.id for one in ours.GroupResult.restore("h")] == ["b"]
    ours.AsyncResult("b").forget()
    assert theirs.AsyncResult("b").state == ours.AsyncResult("b").state == "PENDING"


@BOTH
def test_what_it_cannot_keep_is_refused_by_name(apps, url):
    app = apps["canvas"]
    flow = app.Workflow("flow")
    flow.add(task(app, "add").s(1, 2))
    with pytest.raises(NoResultBackend, match="a workflow needs a result backend to keep its run in: set result_back"):
        flow.apply_async()
    if url.startswith("file"):
        with pytest.raises(NoResultBackend, match="add_to_chord needs a result backend that counts the parts"):
            app.backend.add_to_chord("g", app.AsyncResult("a"))
