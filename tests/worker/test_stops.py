"""Workers that stop, or are killed: their tasks end, or run elsewhere."""

import os
import signal

import pytest

from canvas.errors import TimeLimitExceeded, WorkerLostError
from canvas.testing.contract import eventually
from tests.support.processes import members
from tests.worker.commands import POOLS, start, task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("pool", POOLS, ids=lambda p: p[0])
def test_a_warm_stop_finishes_what_runs_and_gives_back_the_rest(bench, app, pool, number):
    key = bench.new_key()
    worker = start(bench, "-P", *pool).ready()
    running = [task(app, "until_open").delay(key) for _ in range(12)]
    bench.ledger(key, 1)
    worker.signal(number)
    worker.wait_for("Warm shutdown")
    bench.open(key)
    assert worker.wait() == 0
    notes = bench.ledger(key, 1)
    assert notes.count("start") == notes.count("end") > 0
    finished = sum(result.state == "SUCCESS" for result in running)
    assert finished == notes.count("end")
    assert app.driver.admin.queue_length("celery") == 12 - finished
    assert bench.server.client().hlen("unacked") == 0


@pytest.mark.parametrize("pool", POOLS, ids=lambda p: p[0])
def test_a_cold_stop_gives_everything_back_at_once(bench, app, pool):
    key = bench.new_key()
    worker = start(bench, "-P", *pool).ready()
    for _ in range(6):
        task(app, "slow_then").delay(30, key)
    bench.ledger(key, 1)
    worker.signal(signal.SIGQUIT)
    assert worker.wait() == 1
    assert app.driver.admin.queue_length("celery") == 6
    assert bench.server.client().hlen("unacked") == 0


def test_a_second_interrupt_is_a_cold_stop(bench, app):
    key = bench.new_key()
    worker = start(bench, "-P", "solo").ready()
    task(app, "slow_then").delay(30, key)
    bench.ledger(key, 1)
    worker.signal(signal.SIGINT)
    worker.wait_for("Warm shutdown")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 1
    assert app.driver.admin.queue_length("celery") == 1


def test_what_a_killed_worker_held_runs_elsewhere(bench, app):
    key = bench.new_key()
    first = start(bench, "-P", "solo", short_leases=1).ready()
    result = task(app, "until_open").delay(key)
    bench.ledger(key, 1)
    first.process.kill()
    first.wait()
    bench.open(key)
    with start(bench, "-P", "solo", short_leases=1):
        assert result.get(timeout=20) == key
    assert bench.ledger(key, 3) == ["start", "start", "end"]


def test_a_killed_prefork_child_is_replaced_and_its_task_runs_again(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "prefork", "-c", "1") as worker:
        result = task(app, "until_open").delay(key)
        bench.ledger(key, 1)
        child = members(worker.process.pid)[1]
        os.kill(child, signal.SIGKILL)
        bench.open(key)
        assert result.get(timeout=20) == key
    assert bench.ledger(key, 3) == ["start", "start", "end"]


def test_a_message_that_kills_its_workers_is_put_away(bench, app):
    from canvas.errors import WorkerLostError

    key = bench.new_key()
    with start(bench, "-P", "prefork", "-c", "1", env={"CANVAS_TASK_MAX_DELIVERIES": "2"}) as worker:
        result = task(app, "suicidal").delay(key)
        with pytest.raises(WorkerLostError, match="delivered 2 times, and each time its worker died"):
            result.get(timeout=30)
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
    assert bench.ledger(key, 2) == ["ran", "ran"]
    assert "WorkerLostError" in app.driver.admin.dead_letters("celery")[0].reason
    said = "".join(worker.log)
    assert said.count(f"exited with signal 9 (SIGKILL) while it ran t.suicidal[{result.id}]; its messages") == 2
    assert f"cannot be run: WorkerLostError: t.suicidal[{result.id}]: delivered 2 times" in said


@pytest.mark.parametrize("end", ["limit", "terminate"])
def test_a_task_that_holds_the_interpreter_is_ended_from_outside(bench, app, end):
    key = bench.new_key()
    with start(bench, "-P", "prefork", "-c", "1"):
        stuck = task(app, "stuck").apply_async((key,), time_limit=0.5 if end == "limit" else None)
        bench.ledger(key, 1)
        if end == "terminate":
            stuck.revoke(terminate=True)
        assert bench.wait_state(app, stuck.id) == ("FAILURE" if end == "limit" else "REVOKED")
        if end == "limit":
            assert isinstance(stuck.result, TimeLimitExceeded)
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        assert bench.ledger(key, 1) == ["1"]
        # A sweep settles what is left of it; the state may have been told before, by whoever revoked it.
        eventually(lambda: not bench.broker.exists("canvas:orphans:reasons"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("suicidal_early", r"^Worker exited prematurely: signal 9 \(SIGKILL\) while it ran t\.suicidal_early\["),
        ("suicidal_once", "its worker died while it ran"),
    ],
    ids=["suicidal_early", "suicidal_once"],
)
def test_a_task_that_is_not_to_run_again_fails_with_its_process(bench, app, name, text):
    from canvas import chord

    key, other = bench.new_key(), bench.new_key()
    with start(bench, "-P", "prefork", "-c", "2"):
        lost = task(app, name).delay(key)
        with pytest.raises(WorkerLostError, match=text):
            lost.get(timeout=20)
        body = task(app, "ident").s().on_error(task(app, "errback_by_id").s(other))
        result = chord([task(app, name).s(key), task(app, "add").s(1, 1)], body).delay()
        assert bench.wait_state(app, result.id) == "FAILURE"
        assert len(bench.ledger(other, 1)) == 1
        assert bench.ledger(key, 2) == ["ran", "ran"]
    assert not bench.broker.keys("canvas:early_acked:*")
