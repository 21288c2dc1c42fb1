"""Several beats at once, killed and stopped, on real servers: each tick is sent once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import pytest
import redis
from sqlalchemy import create_engine, text

from canvas.beat.store import EntryStore
from canvas.drivers.ports.values import Lease
from canvas.model import states
from tests.support.beats import make_app
from tests.support.messages import decode
from tests.support.process_signals import resume, suspend
from tests.support.processes import ROOT, WorkerProcess

INSTANTS = [("claiming", 1), ("claimed", 2), ("sent", 3)]


@pytest.fixture(params=["one server", "two servers", pytest.param("rabbitmq and sql", marks=pytest.mark.slow)])
def urls(request, redis_url, result_url):
    if request.param == "rabbitmq and sql":
        return request.getfixturevalue("rabbitmq").url(), request.getfixturevalue("postgres").new_database()
    if request.param == "one server":
        return redis_url, result_url
    other = request.getfixturevalue("own_server")
    other.client().flushall()
    return redis_url, other.url(0)


def start(urls, *instant, scheduler="", **environment):
    command = [sys.executable, "-m", "tests.support.beats", *urls, *map(str, instant)]
    environment = {**os.environ, "SCHEDULER": scheduler, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)


@contextmanager
def running(processes):
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        assert {process.wait(20) for process in processes} <= {0, -signal.SIGKILL}


def messages(app):
    """All messages of the queue, taken."""
    found = []
    while deliveries := app.driver.broker.lease(Lease("w", ("celery",), 1_000)):
        found += [decode(one.payload, accept=app.accept_content) for one in deliveries]
    return found


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.1)


def counts(app):
    return {one.name: one.state.count for one in app.schedule.list()}


def test_each_tick_is_sent_once_whoever_is_killed_when(urls):
    app = make_app(*urls)
    with running([start(urls)]) as beats:
        until(lambda: counts(app)["task"] > 1)
        # One stands still for longer than the others take for many ticks.
        suspend(beats[0].pid)
        killed = [start(urls, *instant) for instant in INSTANTS]
        beats.extend(killed)
        until(lambda: all(process.poll() == -signal.SIGKILL for process in killed))
        beats.append(start(urls))
        before = counts(app)
        until(lambda: counts(app)["task"] > before["task"] + 3)
        resume(beats[0].pid)
        before = counts(app)
        until(lambda: counts(app)["flow"] > before["flow"] + 1)
    found = counts(app)
    sent = messages(app)
    assert len({one.id for one in sent}) == len(sent)
    # A tick of the chord and one of the workflow are two messages of headers and two of nodes.
    assert Counter(one.task for one in sent) == {"add": found["task"] + 2 * found["chord"] + 2 * found["flow"]}
    roots = {one.headers["root_id"] for one in sent}
    assert len(roots & {run.id for run in app.runs(limit=1_000)}) == found["flow"]


@pytest.mark.slow
def test_a_beat_whose_clock_jumps_by_an_hour_sends_no_tick_early_and_none_late(urls):
    app = make_app(*urls)
    with running([start(urls)]) as (beat,):
        until(lambda: counts(app)["task"] > 1)
        for jump in (signal.SIGUSR1, signal.SIGUSR2):  # ahead, and behind
            before, began = counts(app), time.monotonic()
            beat.send_signal(jump)
            until(lambda: counts(app)["task"] > before["task"] + 20)  # noqa: B023 - called at once
            sent, passed = counts(app), time.monotonic() - began
            for name, every in (("task", 0.05), ("chord", 0.2), ("flow", 0.3)):
                assert sent[name] - before[name] <= passed / every + 2
            assert sent["flow"] > before["flow"]
    ids = [one.id for one in messages(app)]
    assert len(set(ids)) == len(ids)


def ticks_of_other_entries(urls, scheduler, key="task", **environment):
    """What a scheduler has claimed of one entry, whose beats were killed and stopped; each tick was sent once."""
    app = make_app(*urls)
    claims = EntryStore(app.driver.schedules, f"beats@{scheduler}", app.signer)

    def sent():
        return next((known.state.count for known in claims.read([key])), 0)

    def beat(*instant):
        return start(urls, *instant, scheduler=scheduler, **environment)

    with running([beat()]) as beats:
        until(lambda: sent() > 1)
        suspend(beats[0].pid)
        killed = [beat(*instant) for instant in INSTANTS]
        beats.extend(killed)
        until(lambda: all(process.poll() == -signal.SIGKILL for process in killed))
        beats.append(beat())
        before = sent()
        until(lambda: sent() > before + 3)
        resume(beats[0].pid)
        before = sent()
        until(lambda: sent() > before + 3)
    found = messages(app)
    assert len({one.id for one in found}) == len(found) == sent()
    return claims.read([key])[0].state


@pytest.mark.slow
def test_each_tick_of_djangos_tables_is_sent_once_whoever_is_killed_when(redis_url, result_url, postgres):
    # A process that is stopped within a transaction keeps SQLite's lock.
    database = postgres.new_database().removeprefix("db+")
    subprocess.run([sys.executable, "-m", "tests.support.django_beats", "frequent", database], cwd=ROOT, check=True)
    state = ticks_of_other_entries((redis_url, result_url), "django", "often", DATABASE=database)
    engine = create_engine(database)
    with engine.connect() as connection:
        query = "SELECT total_run_count, last_run_at FROM django_celery_beat_periodictask WHERE name = 'often'"
        ((runs, last),) = connection.execute(text(query))
    engine.dispose()
    # A beat that is killed after it has claimed a tick does not write the row; the next tick does.
    assert state.count - len(INSTANTS) <= runs <= state.count
    assert last == state.last_run


def test_each_tick_of_redbeats_entries_is_sent_once_whoever_is_killed_when(redis_url, result_url):
    keys = redis.Redis.from_url(redis_url)
    state = ticks_of_other_entries((redis_url, result_url), "redbeat")
    # The time of the last tick is in RedBeat's key.
    meta = json.loads(keys.hget("redbeat:task", "meta"))["last_run_at"]
    assert state.last_run.second == meta["second"]


def test_a_workflow_that_beat_starts_runs_and_is_linked_to_its_entry(redis_url, result_url):
    app = make_app(redis_url, result_url)
    options = ("-P", "solo", "-B", "-l", "INFO")
    with WorkerProcess("canvas", redis_url, result_url, *options, app="tests.support.embedded:app", cwd=ROOT):
        until(lambda: counts(app).get("flow", 0) > 1)
        state = next(one.state for one in app.schedule.list() if one.name == "flow")
        run = app.workflow(state.last["run"])
        until(lambda: run.status().over)
    assert (run.status().state, run.about["entry"]) == (states.SUCCESS, "flow")
