"""The worker command: pools, queues, chords, acks and limits of time."""

import signal
import time

import pytest

import canvas
from canvas.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.worker.commands import POOLS, SAMPLED, start, task, workers


@pytest.mark.parametrize("pool", POOLS, ids=lambda p: p[0])
def test_every_pool_runs_workflows(bench, app, pool):
    from canvas import chord

    with start(bench, "-P", *pool):
        header = [task(app, "add").s(i, i) for i in range(20)]
        result = chord(header, task(app, "tsum").s() | task(app, "add").s(1)).delay()
        assert result.get(timeout=20) == 381


def test_a_long_task_keeps_its_lease(bench, app):
    """It runs until another worker has taken over what a dead one held, which had taken its lease later."""
    key, lost = bench.new_key(), bench.new_key()
    with start(bench, "-P", "solo", short_leases=1):
        long = task(app, "until_open").delay(key)
        bench.ledger(key, 1)
        dying = start(bench, "-P", "solo", "-n", "dying@%h", "-Q", "dying", short_leases=1).ready()
        other = task(app, "until_open").apply_async((lost,), queue="dying")
        bench.ledger(lost, 1)
        with start(bench, "-P", "solo", "-n", "other@%h", "-Q", "celery,dying", short_leases=1):
            dying.process.kill()
            dying.wait()
            assert bench.ledger(lost, 2) == ["start", "start"]
            bench.open(key)
            bench.open(lost)
            assert (long.get(timeout=20), other.get(timeout=20)) == (key, lost)
            assert task(app, "add").delay(1, 1).get(timeout=20) == 2
    assert bench.ledger(key, 2) == ["start", "end"]


def test_early_ack_is_committed_before_the_task_runs(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "solo", env={"CANVAS_TASK_ACKS_LATE": "false"}) as worker:
        result = task(app, "slow_then").delay(1, key)
        bench.ledger(key, 1)
        assert bench.server.client().hlen("unacked") == 0
        assert result.get(timeout=20) == key
        task(app, "slow_then").delay(30, key)
        bench.ledger(key, 3)
        worker.process.kill()
        worker.wait()
    assert app.driver.admin.queue_length("celery") == 0
    assert bench.server.client().hlen("unacked") == 0


def test_an_empty_chain_cannot_be_added_to_a_chord(bench, app):
    with start(bench, "-P", "solo"):
        nothing = dict(canvas.chain())
        result = canvas.chord([task(app, "grow").s(1, nothing)], task(app, "tsum").s()).delay()
        with pytest.raises(Exception, match="an empty chain has no result"):
            result.get(timeout=20)


def test_queues_are_selected(bench, app):
    with start(bench, "-P", "solo", "-Q", "a,b"):
        assert task(app, "add").apply_async((1, 1), queue="b").get(timeout=20) == 2
        task(app, "add").apply_async((1, 1), queue="c")
        assert task(app, "add").apply_async((2, 2), queue="a", priority=9).get(timeout=20) == 4
    assert app.driver.admin.queue_length("c") == 1


def test_messages_prefetched_behind_a_long_task_go_to_others(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "solo") as first:
        assert [task(app, "add").delay(i, i).get(timeout=20) for i in range(20)]
        task(app, "until_open").delay(key)
        bench.ledger(key, 1)
        results = [task(app, "add").delay(i, 1) for i in range(30)]
        with start(bench, "-P", "solo", "-n", "other@%h"):
            assert [result.get(timeout=20) for result in results] == [i + 1 for i in range(30)]
        assert bench.ledger(key, 1) == ["start"]
        first.process.kill()
        first.wait()


@pytest.mark.parametrize("member", ["ignored", "rejected", "unknown", "expired"])
def test_a_chord_ends_however_its_member_ends(bench, app, member):
    from canvas import chord, signature
    from canvas.errors import ChordError

    sig = {
        "ignored": lambda: task(app, "ignored").s(),
        "rejected": lambda: task(app, "rejected").s(),
        "unknown": lambda: signature("no.such.task", app=app),
        "expired": lambda: task(app, "add").s(1, 1).set(expires="2001-01-01T00:00:00+00:00"),
    }[member]()
    key = bench.new_key()
    with start(bench, "-P", "solo"):
        body = task(app, "tsum").s().on_error(task(app, "errback_by_id").s(key))
        result = chord([task(app, "add").s(1, 1), sig], body).delay()
        assert bench.ledger(key, 1) == [result.id]
        assert bench.wait_state(app, result.id) == "FAILURE"
        assert isinstance(result.result, ChordError)


def test_a_nested_chord_that_fails_fails_the_outer_one(bench, app):
    from canvas import chord

    key = bench.new_key()
    with start(bench, "-P", "solo"):
        inner = chord([task(app, "fail").s(), task(app, "add").s(1, 1)], task(app, "tsum").s())
        body = task(app, "tsum").s().on_error(task(app, "errback_by_id").s(key))
        result = chord([inner, task(app, "add").s(2, 2)], body).delay()
        assert bench.ledger(key, 1) == [result.id]
        assert bench.wait_state(app, result.id) == "FAILURE"


def test_nothing_is_left_in_redis_but_what_expires(bench, app):
    from canvas import chord, group

    with start(bench, "-P", "threads", "-c", "4"):
        chord([task(app, "add").s(i, i) for i in range(5)], task(app, "tsum").s()).delay().get(timeout=20)
        (task(app, "add").s(1, 1) | group(task(app, "add").s(1), task(app, "add").s(2))).delay().get(timeout=20)
    for db in (0, 1):
        client = bench.server.client(db)
        lasting = [key for key in client.keys() if client.ttl(key) == -1 and not key.startswith(b"_kombu.binding")]
        assert lasting == []


def test_the_banner_and_a_wrong_flag(bench):
    worker = start(bench, "-P", "solo", "-Q", "a,b", "-n", "me@%h").ready()
    said = "".join(worker.log)
    assert all(
        text in said for text in ("[config]", "[queues]", "[tasks]", "t.add", ".> a ", "me@", "concurrency: 1 (solo)")
    )
    worker.stop()
    wrong = start(bench, "-P", "nonsense")
    assert wrong.wait() == 2


@pytest.mark.parametrize("pool", [("solo",), ("threads", "-c", "2")], ids=lambda p: p[0])
def test_soft_limits_reach_tasks_in_threads(bench, app, pool):
    with start(bench, "-P", *pool) as worker:
        result = task(app, "busy").apply_async((60,), soft_time_limit=0.3)
        with pytest.raises(SoftTimeLimitExceeded, match=r"^SoftTimeLimitExceeded\(\)"):
            result.get(timeout=20)
        assert task(app, "busy").apply_async((0.2,), soft_time_limit=10).get(timeout=20) == "whole"
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        assert worker.process.poll() is None


def test_an_early_acked_task_that_a_hard_limit_ends_is_a_failure_too(bench, app):
    with start(bench, "-P", "prefork", "-c", "1"):
        result = task(app, "sleep").apply_async((60,), time_limit=0.5, acks_late=False)
        with pytest.raises(TimeLimitExceeded):
            result.get(timeout=20)
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2


def test_a_failure_may_keep_its_message(bench, app):
    with start(bench, "-P", "solo", acks_on_failure="0"):
        result = task(app, "fail").delay()
        assert bench.wait_state(app, result.id) == "FAILURE"
        eventually(lambda: app.driver.admin.dead_letters("celery"))
        assert "acks_on_failure is off" in app.driver.admin.dead_letters("celery")[0].reason


def test_the_acks_of_one_call(bench, app):
    """With an early ack a killed worker's task is gone; with a late one it runs again."""
    for late, runs in ((True, 2), (False, 1)):
        key = bench.new_key()
        worker = start(bench, "-P", "solo").ready()
        task(app, "until_open").apply_async((key,), acks_late=late)
        bench.ledger(key, 1)
        worker.signal(signal.SIGKILL)
        worker.wait()
        bench.open(key)
        app.driver.recovery.recover_worker(next(iter(workers(bench)), ""))
        with start(bench, "-P", "solo"):
            task(app, "add").delay(1, 1).get(timeout=20)
            eventually(lambda: not bench.broker.hlen("unacked"))
        assert len([note for note in bench.ledger(key, runs) if note == "start"]) == runs


@pytest.mark.parametrize("library", ["celery", "canvas"])
def test_the_most_urgent_run_first(bench, app, library):
    """On Redis that is 0, as Celery has it."""
    key = bench.new_key()
    for priority in (0, 3, 9, 6, 9, 0):
        app.tasks["t.noted"].apply_async((priority, key), priority=priority)
    with start(bench, "-P", "solo", "--prefetch-multiplier", "1", library=library):
        assert bench.ledger(key, 6) == ["0", "0", "3", "6", "9", "9"]


def test_no_queue_waits_for_another_to_be_empty(bench, app):
    key = bench.new_key()
    for _ in range(200):
        app.tasks["t.noted"].apply_async(("flood", key), queue="one")
    for _ in range(3):
        app.tasks["t.noted"].apply_async(("other", key), queue="two")
    with start(bench, "-P", "solo", "-Q", "one,two", "--prefetch-multiplier", "1"):
        notes = bench.ledger(key, 203)
    assert max(place for place, note in enumerate(notes) if note == "'other'") < 50


@pytest.mark.parametrize("pool", SAMPLED, ids=lambda p: p[0])
def test_a_task_for_later_runs_once_also_beyond_the_visibility_timeout(bench, pool):
    broker, backend, ledger = bench.urls()
    bench.server.client().flushall()
    app = make("canvas", broker, backend, ledger=ledger, broker_transport_options={"visibility_timeout": 1})
    key, due = bench.new_key(), time.time() + 2.5
    with start(bench, "-P", *pool, visibility="1"), start(bench, "-P", *pool, "-n", "two@%h", visibility="1"):
        result = app.tasks["t.clocked"].apply_async((key,), countdown=2.5)
        result.get(timeout=20)
        assert float(bench.ledger(key, 1)[0]) >= due
        long = app.tasks["t.slow_then"].delay(3, key)
        long.get(timeout=20)
        assert len(bench.ledger(key, 3)) == 3
    app.close()
