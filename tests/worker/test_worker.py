"""The worker command: pools, signals, crashes, and messages that cannot be run."""

import json
import os
import signal
import time
from functools import partial

import pytest

import canvas
from canvas.errors import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded, WorkerLostError
from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.processes import members
from tests.worker.commands import canvas as canvas_command
from tests.worker.commands import start, task

POOLS = [("solo",), ("threads", "-c", "4"), ("prefork", "-c", "2")]
SAMPLED = [*(pytest.param(pool, marks=pytest.mark.slow) for pool in POOLS[:2]), POOLS[2]]
"""One by default, all with the slow ones: where the pool matters little and the test takes long."""


@pytest.mark.parametrize("pool", POOLS, ids=lambda p: p[0])
def test_every_pool_runs_workflows(bench, app, pool):
    from canvas import chord

    with start(bench, "-P", *pool):
        header = [task(app, "add").s(i, i) for i in range(20)]
        result = chord(header, task(app, "tsum").s() | task(app, "add").s(1)).delay()
        assert result.get(timeout=20) == 381


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
    settings = {"CANVAS_WORKER_LEASE_TTL": "1.0", "CANVAS_WORKER_LEASE_HEARTBEAT": "0.3"}
    first = start(bench, "-P", "solo", env=settings).ready()
    result = task(app, "until_open").delay(key)
    bench.ledger(key, 1)
    first.process.kill()
    first.wait()
    bench.open(key)
    with start(bench, "-P", "solo", env=settings):
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


def test_a_long_task_keeps_its_lease(bench, app):
    """It runs until another worker has taken over what a dead one held, which had taken its lease later."""
    key, lost = bench.new_key(), bench.new_key()
    settings = {"CANVAS_WORKER_LEASE_TTL": "1.0", "CANVAS_WORKER_LEASE_HEARTBEAT": "0.3"}
    with start(bench, "-P", "solo", env=settings):
        long = task(app, "until_open").delay(key)
        bench.ledger(key, 1)
        dying = start(bench, "-P", "solo", "-n", "dying@%h", "-Q", "dying", env=settings).ready()
        other = task(app, "until_open").apply_async((lost,), queue="dying")
        bench.ledger(lost, 1)
        with start(bench, "-P", "solo", "-n", "other@%h", "-Q", "celery,dying", env=settings):
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


def test_a_message_without_a_task_here_ends_in_failure_and_is_kept(bench, app):
    from canvas.errors import NotRegistered

    with start(bench, "-P", "solo") as worker:
        results = [app.send_task("no.such.task", [1]) for _ in range(3)]
        with pytest.raises(NotRegistered, match=r"no\.such\.task"):
            results[0].get(timeout=20)
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == 3)
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
    assert sum("unregistered task" in line for line in worker.log) == 1
    assert "no.such.task" in app.driver.admin.dead_letters("celery")[0].reason


def test_an_unknown_task_can_wait_for_a_worker_that_knows_it(bench, app):
    with start(bench, "-P", "solo", env={"CANVAS_WORKER_UNKNOWN_TASK": "requeue"}) as worker:
        result = app.send_task("no.such.task")
        worker.wait_for("kept for a worker that knows it")
        eventually(lambda: bench.server.client().zcard("canvas:delayed") == 1)
        assert result.state == "PENDING"
        assert app.driver.admin.dead_letters("celery") == []


def test_bytes_that_are_no_message_are_kept_with_the_reason(bench, app):
    bad = [
        b"not json",
        b'{"body": 1}',
        b"[]",
        b"\xff\xfe",
        b'{"headers": {"task": "t.add", "id": "x"}, "body": "e30="}',
    ]
    with start(bench, "-P", "solo"):
        bench.server.client().lpush("celery", *bad)
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == len(bad))
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
    letters = app.driver.admin.dead_letters("celery")
    assert sorted(letter.payload for letter in letters) == sorted(bad)
    assert all(letter.reason for letter in letters)
    assert bench.server.client().hlen("unacked") == 0


def test_a_chain_whose_next_link_cannot_be_read_ends_there(bench, app):
    nested = 1
    for _ in range(250):
        nested = [nested]
    add = task(app, "add")
    links = [{**add.s(1), "options": {"task_id": f"link-{n}"}} for n in range(20)]
    links.insert(10, {**add.s(1), "args": [nested], "options": {"task_id": "bad"}})
    app.conf.task_message_max_depth = 300  # the sender's; the worker reads no more than 200
    with start(bench, "-P", "solo"):
        add.apply_async((1, 1), chain=links, task_id="first")
        eventually(lambda: app.driver.admin.dead_letters("celery"))
    (letter,) = app.driver.admin.dead_letters("celery")
    assert "nested more than 200 levels deep" in letter.reason
    assert "link-10" in letter.payload.decode()
    assert [app.AsyncResult(name).state for name in ("first", "link-19", "link-11", "link-10", "link-9")] == [
        "SUCCESS", "SUCCESS", "SUCCESS", "FAILURE", "PENDING",
    ]  # fmt: skip
    assert bench.server.client().hlen("unacked") == 0


def test_an_empty_chain_cannot_be_added_to_a_chord(bench, app):
    with start(bench, "-P", "solo"):
        nothing = dict(canvas.chain())
        result = canvas.chord([task(app, "grow").s(1, nothing)], task(app, "tsum").s()).delay()
        with pytest.raises(Exception, match="an empty chain has no result"):
            result.get(timeout=20)


def test_a_content_type_that_is_not_accepted_is_refused(bench, app):
    with start(bench, "-P", "solo"):
        result = task(app, "add").apply_async((1, 1), serializer="pickle")
        with pytest.raises(Exception, match="not accepted"):
            result.get(timeout=20)
    assert "pickle" not in app.conf.accept_content


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


@pytest.mark.parametrize("pool", [("solo",), ("threads", "-c", "2")], ids=lambda p: p[0])
def test_soft_limits_reach_tasks_in_threads(bench, app, pool):
    with start(bench, "-P", *pool) as worker:
        result = task(app, "busy").apply_async((60,), soft_time_limit=0.3)
        with pytest.raises(SoftTimeLimitExceeded, match=r"0\.3"):
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


def workers(bench):
    return [name.decode() for name in bench.broker.hkeys("canvas:workers")]


@pytest.mark.parametrize("pool", POOLS, ids=lambda p: p[0])
def test_revoked_tasks_never_run_however_late_the_worker_starts(bench, app, pool):
    key = bench.new_key()
    result = task(app, "slow_then").delay(0, key)
    chain = (
        task(app, "ident").s(1) | task(app, "slow_then").s(0, key).set(immutable=True) | task(app, "ident").s()
    ).delay()
    chord = canvas.chord([task(app, "ident").s(1), task(app, "ident").s(2)], task(app, "ident").s()).delay()
    result.revoke()
    chain.parent.revoke()
    chord.parent.results[0].revoke()
    assert result.state == "PENDING"
    with start(bench, "-P", *pool) as worker:
        assert bench.wait_state(app, chain.id) == "REVOKED"
        assert bench.wait_state(app, chord.id) == "FAILURE"
        eventually(lambda: not bench.broker.llen("celery") and not bench.broker.hlen("unacked"))
        with pytest.raises(TaskRevokedError):
            result.get(timeout=10)
        worker.wait_for(f"Discarding revoked task: t.slow_then[{result.id}]")
        received, discarded = [line for line in worker.log if f"[{result.id}]" in line]
        assert f"Task t.slow_then[{result.id}] received" in received
        assert "Discarding" in discarded
    assert bench.ledgers.llen(f"ledger:{key}") == 0


def test_tasks_are_revoked_by_their_stamps(bench, app):
    key = bench.new_key()
    for release in ("1", "2"):
        sig = task(app, "slow_then").s(0, f"{key}-{release}")
        sig.stamp(release=release)
        sig.apply_async()
    app.control.revoke_by_stamped_headers({"release": ["2", "3"]})
    with start(bench, "-P", "solo"):
        assert bench.ledger(f"{key}-1", 2) == ["start", "end"]
        eventually(lambda: not bench.broker.llen("celery") and not bench.broker.hlen("unacked"))
    assert bench.ledgers.llen(f"ledger:{key}-2") == 0


def test_tasks_for_later_are_revoked_too(bench, app):
    key = bench.new_key()
    with start(bench, "-P", "solo"):
        result = task(app, "slow_then").apply_async((0, key), countdown=1)
        eventually(lambda: bench.broker.exists("canvas:delayed"))
        result.revoke()
        eventually(lambda: not bench.broker.exists("canvas:delayed"))
        eventually(lambda: not bench.broker.llen("celery") and not bench.broker.hlen("unacked"))
        assert task(app, "add").delay(1, 1).get(timeout=10) == 2
    assert bench.ledgers.llen(f"ledger:{key}") == 0


def test_dead_letters_run_again_when_somebody_says_so(bench, app):
    dead = partial(canvas_command, bench, "dead-letters", check=False)
    with start(bench, "-P", "solo"):
        unknown = [app.send_task("t.nobody_has_this") for _ in range(2)]
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == 2)
        listed = [json.loads(line) for line in dead("list", "--json").stdout.splitlines()]
        assert [one["id"] for one in listed] == [one.id for one in unknown]
        assert "no task named 't.nobody_has_this'" in dead("show", unknown[0].id).stdout
        assert dead("requeue").returncode == 2
        assert dead("requeue", "no-such-id").returncode == 2
        assert dead("requeue", unknown[0].id).stdout == "1 put back\n"
        eventually(lambda: len(app.driver.admin.dead_letters("celery")) == 2)
        assert dead("delete", "--all").stdout == "2 deleted\n"
        assert dead("list").stdout == ""


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
