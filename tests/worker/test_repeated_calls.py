"""Calls that are made twice: at one time from threads and from two processes, after their effect, and after the run's end."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from canvas import Canvas, Workflow
from canvas.errors import CompositionError, ConfigurationError, RunLost
from canvas.testing.contract import eventually
from tests.support.proxy import Proxy
from tests.worker.commands import canvas, served_app, task

app = served_app("-P", "threads", "-c", "4", short_leases=1)


def at_once(call, times=6):
    """What calls at one time return, each from a thread of its own, and which exceptions they raise."""

    def made(_):
        try:
            return call()
        except (CompositionError, ConfigurationError) as exc:
            return type(exc)

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(made, range(times)))


def gated(app, counts, gate):
    """A run that fails in its first node while the gate is closed."""
    flow = Workflow("gated", app)
    flow.add(task(app, "ident").s(flow.add(task(app, "needs_gate").s(2, counts, gate), name="first")))
    return flow


def test_starts_and_attempts(bench, app):
    """An attempt may have ended before the last of the calls is made; each that returns true has begun one."""
    counts, gate = bench.new_key(), bench.new_key()

    def started():
        return gated(app, counts, gate).apply_async(run_key=counts).id

    (run_id,) = set(at_once(started))
    run, begun = app.workflow(run_id), 1

    def ended(state):
        eventually(lambda: run.query() == state)
        assert run.attempt + 1 == len(bench.notes(counts)) == begun

    ended("FAILURE")
    assert started() == run_id
    begun += sum(at_once(lambda: app.workflow(run_id).resume()))
    assert begun > 1
    ended("FAILURE")
    bench.open(gate)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: canvas(bench, "workflow", "resume", run_id, check=False), range(2)))
    begun += 1
    ended("SUCCESS")
    assert run.resume() is False
    begun += sum(at_once(lambda: app.workflow(run_id).again("first")))
    ended("SUCCESS")
    assert at_once(run.cancel, 2) == [False, False]


def test_waits_and_cancellations(bench, app, flow):
    flow.wait_for("go", name="wait")
    run = flow.apply_async()
    assert True in at_once(lambda: app.workflow(run.id).cancel())
    eventually(lambda: run.query() == "CANCELLED")
    assert run.cancel() is False
    assert run.resume()
    assert at_once(lambda: app.workflow(run.id).signal("go", 5, key="once")) == [None] * 6
    assert run.get(timeout=20) == 5
    assert at_once(lambda: run.signal("go", 5, key="once"), 2) == [None, None]
    assert at_once(lambda: run.signal("go", 5, key="another"), 2) == [CompositionError] * 2
    bench.results.delete(f"canvas:run:{run.id}", f"celery-task-meta-{run.id}")
    for call in (run.cancel, run.resume, lambda: run.again("wait"), lambda: run.signal("go", 5, key="once")):
        with pytest.raises(RunLost):
            call()
    assert bench.results.exists(f"canvas:run:{run.id}") == 0


def test_entries_of_a_schedule(bench, app):
    key, schedule = bench.new_key(), app.schedule
    added = at_once(lambda: schedule.add("entry", task(app, "noted"), 3600.0, args=(1, key)), 3)
    assert sorted(map(str, added)) == sorted(map(str, [None, ConfigurationError, ConfigurationError]))
    at_once(lambda: schedule.run("entry"), 2)
    assert len(bench.ledger(key, 2)) == 2
    assert at_once(lambda: schedule.pause("entry"), 3) == at_once(lambda: schedule.resume("entry"), 3) == [None] * 3
    assert sorted(at_once(lambda: schedule.remove("entry"), 3)) == [False, False, True]


@pytest.mark.parametrize("act", ["put back", "delete"])
def test_dead_letters_whose_answer_is_lost(bench, app, act):
    lost = []

    def lose(request):
        return cut if request.name == "requeue_dead_letter" and not lost else None

    def cut(answer):
        lost.append(answer)
        raise ConnectionAbortedError

    app.send_task("no.such.task")
    eventually(lambda: app.driver.admin.dead_letter_count("celery") == 1)
    with Proxy(bench.server.port, lose) as proxy, Canvas("losing", broker=proxy.url(0), set_as_current=False) as losing:
        admin = losing.driver.admin
        (letter,) = admin.dead_letters("celery")
        if act == "put back":
            assert admin.requeue_dead_letter("celery", letter, letter.payload)
            eventually(lambda: admin.dead_letters("celery")[:1] not in ([], [letter]))
            (letter,) = admin.dead_letters("celery")
        assert admin.delete_dead_letter("celery", letter)
        assert len(lost) == 1
        assert admin.dead_letters("celery") == []


def test_dead_letters(bench, app):
    admin = app.driver.admin
    app.send_task("no.such.task")
    eventually(lambda: admin.dead_letter_count("celery") == 1)
    (letter,) = admin.dead_letters("celery")
    requeue = at_once(lambda: admin.requeue_dead_letter("celery", letter, letter.payload))
    assert sorted(requeue) == [False] * 5 + [True]
    eventually(lambda: admin.dead_letter_count("celery") == 1)
    (letter,) = admin.dead_letters("celery")
    assert sorted(at_once(lambda: admin.delete_dead_letter("celery", letter))) == [False] * 5 + [True]
