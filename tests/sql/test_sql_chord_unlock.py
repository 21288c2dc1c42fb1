"""Chords of Celery clients in SQL: ``celery.chord_unlock`` ends them, on workers of both kinds."""

import celery
import pytest

from canvas import Canvas, chain, chord
from canvas.errors import NoResultBackend
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker
from tests.support.apps import make
from tests.support.processes import WorkerProcess


@pytest.fixture
def theirs(redis_url, sqlite_url):
    app = make("celery", redis_url, sqlite_url, result_chord_retry_interval=0.1)
    yield app
    app.close()


def task(app, name):
    return app.tasks[f"t.{name}"]


def test_a_celery_clients_chords_end_on_canvas_workers(theirs, redis_server, redis_url, sqlite_url):
    add, tsum, fail = (task(theirs, name) for name in ("add", "tsum", "fail"))
    with WorkerProcess("canvas", redis_url, sqlite_url, "-P", "threads", "-c", "2", result_chord_retry_interval=0.1):
        flat = celery.chord([add.s(n, n) for n in range(4)], tsum.s()).apply_async()
        inner = celery.chord([celery.chord([add.s(1, 1), add.s(2, 2)], tsum.s()), add.s(3, 3)], tsum.s()).apply_async()
        failed = celery.chord([add.s(1, 1), fail.s()], tsum.s()).apply_async()
        assert [flat.get(timeout=40), inner.get(timeout=40)] == [12, 12]
        eventually(lambda: failed.state == "FAILURE")
        assert isinstance(failed.result, celery.exceptions.ChordError)
        assert "ValueError" in str(failed.result)


@pytest.mark.slow
def test_both_kinds_of_worker_share_a_chord(theirs, redis_url, sqlite_url):
    add, tsum = task(theirs, "add"), task(theirs, "tsum")
    with (
        WorkerProcess("canvas", redis_url, sqlite_url, "-P", "solo"),
        WorkerProcess("celery", redis_url, sqlite_url, "-P", "solo"),
    ):
        sent = [celery.chord([add.s(n, n) for n in range(20)], tsum.s()).apply_async() for _ in range(5)]
        assert [one.get(timeout=60) for one in sent] == [380] * 5


@pytest.fixture
def app(sqlite_url):
    with Canvas("own", broker="memory://unlock", backend=sqlite_url, set_as_current=False) as app:
        yield app


def unlock(app, *ids, **options):
    """The chord that the task finds ready."""
    header = [[[name, None], None] for name in ids]
    sig = app.signature("t.body", options={"task_id": "body"})
    task = app.tasks["celery.chord_unlock"]
    task.push_request(id="unlock", root_id="root", called_directly=False)
    task.run("g", dict(sig), result=header, **options)
    (ready,) = task.request.ready_chords
    task.pop_request()
    return ready


def test_members_that_are_late_have_failed(app):
    app.backend.store_result("a", 1, "SUCCESS")
    ready = unlock(app, "a", "b", max_retries=0, interval=0)
    assert ready.parts[1].count(b"chord_unlock could not be retried")


def test_the_parts_are_the_records_in_the_order_of_the_header(app):
    app.backend.store_result("b", 2, "SUCCESS")
    app.backend.store_result("a", ValueError("no"), "FAILURE")
    parts = [app.backend.decode_part(value) for value in unlock(app, "b", "a").parts]
    assert [part[:2] for part in parts] == [("b", "SUCCESS"), ("a", "FAILURE")]


def test_canvas_clients_leave_chords_to_it_by_a_setting(app):
    app.conf.result_chord_unlock = True
    add, tsum = (app.task(name=name)(call) for name, call in (("add", lambda x, y: x + y), ("total", sum)))
    with start_worker(app, perform_ping_check=False):
        results = [
            chord([add.s(1, 1), chain(add.s(1, 1), add.s(5)).on_error(tsum.s())], tsum.s()).delay(),
            chord((add.s(n, n) for n in range(300)), tsum.s()).delay(),
            chain(add.s(1, 1), chord([add.s(1), add.s(2)], tsum.s()), add.s(3)).delay(),
        ]
        assert [one.get(timeout=30) for one in results] == [9, 89_700, 10]
    with pytest.raises(NoResultBackend, match="add_to_chord needs a result backend that counts the parts"):
        app.backend.add_to_chord("g", results[0])
