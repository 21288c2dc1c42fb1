"""Beat over a store in memory, whose clock the tests move."""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import celery
import pytest
from celery.beat import PersistentScheduler, Scheduler
from celery.schedules import crontab as their_crontab

from canvas import Canvas, chord, group, signals
from canvas.beat import BeatLazyFunc, Service
from canvas.beat.scheduler_classes.scheduler import Scheduler as OurScheduler
from canvas.beat.scheduler_classes.service import SchedulerService
from canvas.schedules import crontab
from canvas.telemetry import attach
from tests.support.beat_bench import START, Bench


@pytest.fixture
def bench():
    return Bench()


def test_an_entry_runs_when_its_schedule_says_so(bench):
    bench.app.conf.beat_schedule = {
        "every": {"task": "add", "schedule": 40.0, "args": (1, 2)},
        "daily": {"task": "total", "schedule": crontab(hour=11, minute=0), "args": ([1],)},
        "delta": {"task": "add", "schedule": timedelta(seconds=3000), "kwargs": {"x": 1, "y": 2}, "options": {"queue": "celery"}},
        "whole": {"task": "total", "schedule": timedelta(hours=1), "relative": True, "args": ([1],)},
    }  # fmt: skip
    sent = bench.run(3600)
    assert [at for at, task in sent if task == "add"] == sorted([40.0 * n for n in range(1, 91)] + [3000.0])
    assert [at for at, task in sent if task == "total"] == [3570.0, 3570.0]
    assert (bench.state("every").count, bench.state("delta").count) == (90, 1)


def test_messages_are_those_of_celerys_beat(bench):
    moments = iter(range(10))
    bench.app.conf.beat_schedule = {
        "named": {"task": "elsewhere", "schedule": 10, "args": (BeatLazyFunc(next, moments),), "options": {"headers": {"a": 1}, "priority": 3}},
        "sig": {"task": bench.add.s(1, 2).set(expires=60), "schedule": 11},
    }  # fmt: skip
    bench.service.tick()
    bench.clock.move(12)
    assert bench.service.tick() == 0
    first, second = sorted(bench.take(), key=lambda one: one.task, reverse=True)
    assert (first.task, list(first.args), first.properties["priority"]) == ("elsewhere", [0], 3)
    assert (first.headers["celery_beat_task"], first.headers["a"]) == (True, 1)
    assert (second.task, list(second.args)) == ("add", [1, 2]) and second.headers["expires"]


def test_any_signature_and_workflows(bench):
    def flow(x):
        made = bench.app.Workflow("nightly")
        made.add(bench.total.s([made.add(bench.add.s(x, 1)), 3]))
        return made

    bench.app.conf.beat_schedule = {
        "chord": {"task": chord([bench.add.s(1, 2), bench.add.s(3, 4)], bench.total.s()), "schedule": 10},
        "group": {"task": group(bench.add.s(5, 6), bench.add.s(7, 8)), "schedule": 10},
        "flow": {"task": flow, "args": (9,), "schedule": 10, "options": {"timeout": 60}},
        "composed": {"task": flow(10), "schedule": 10},
    }
    assert Counter(task for _, task in bench.run(11)) == {"add": 6, "canvas.cancel_run": 1}
    run = bench.app.workflow(bench.state("flow").last["run"])
    assert (run.name, run.about["entry"], run.about["timeout"]) == ("nightly", "flow", 60)
    assert len(bench.state("group").last["ids"]) == 2
    assert len(bench.state("chord").last["ids"]) == 1


ZONE = "Europe/Berlin"
FIELDS = {
    "often": {"minute": 30, "hour": "*/8"},
    "nights": {"hour": "1-3", "minute": "*/30", "day_of_week": "sat,sun"},
    "monthly": {"day_of_month": "31", "hour": 2, "minute": 30},
}


def celerys_year(end):
    """When Celery's beat sends what, over a simulated year."""
    now = [START]
    app = celery.Celery("theirs", set_as_current=False)
    app.conf.timezone = ZONE
    zone, sent = ZoneInfo(ZONE), []

    def clock():
        return now[0].astimezone(zone)

    class Recording(Scheduler):
        def apply_entry(self, entry, producer=None):
            sent.append((now[0], entry.name))

        producer = None

    beat = Recording(app, lazy=True, max_interval=10_000_000)
    for name, fields in FIELDS.items():
        beat.add(name=name, task="t", schedule=their_crontab(**fields, app=app, nowfun=clock))
    while now[0] < end:
        before = len(sent)
        wait = beat.tick()
        if wait > 0 or len(sent) == before:
            # Celery looks ten milliseconds early, and then again without a pause.
            now[0] += timedelta(seconds=max(wait, 0.001))
    return sent


def test_a_year_gives_celerys_ticks():
    bench = Bench(timezone=ZONE)
    bench.app.conf.beat_schedule = {
        name: {"task": "add", "schedule": crontab(**fields), "args": (1, 1)} for name, fields in FIELDS.items()
    }
    end = START + timedelta(days=365)
    sent = []
    detach = attach(
        lambda entry, **_: sent.append((datetime.fromtimestamp(bench.clock.time(), UTC), entry)), "beat.sent"
    )
    try:
        while bench.clock.time() < end.timestamp():
            bench.clock.wait(bench.service.tick())
    finally:
        detach()
    expected = [(moment, name) for moment, name in celerys_year(end) if moment < end]
    mine = [(moment, name) for moment, name in sent if moment < end]
    assert len(mine) > 1_500
    rounded = [
        sorted((moment.replace(second=0, microsecond=0), name) for moment, name in found) for found in (mine, expected)
    ]
    assert rounded[0] == rounded[1]


@pytest.mark.parametrize("interval", [0, timedelta(seconds=-5)])
def test_an_interval_of_nothing_is_sent_without_a_pause_and_warned_of(bench, interval, caplog):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": interval, "args": (1, 2)}}
    assert [bench.service.tick() for _ in range(4)] == [0.0] * 4
    assert len(bench.take()) > 1
    assert "Entry 'a' has an interval of" in caplog.text and "without a pause" in caplog.text


@pytest.mark.parametrize("embedded", [False, True], ids=["beat", "worker -B"])
@pytest.mark.parametrize("kind", ["entries", "scheduler class"])
def test_signals_are_sent_at_the_start(bench, kind, embedded):
    service = bench.service if kind == "entries" else SchedulerService(bench.app, scheduler_cls=OurScheduler)
    found = []

    def started(sender, signal, **_):
        found.append((signal.name, sender))
        sender.stop()

    every = (signals.beat_init, signals.beat_embedded_init)
    for signal in every:
        signal.connect(started)
    try:
        service.start(embedded)
    finally:
        for signal in every:
            signal.disconnect(started)
    # Celery sends both for a beat in a worker.
    assert found == [("beat_init", service), ("beat_embedded_init", service)][: 1 + embedded]


def test_a_change_by_another_process_is_seen_within_a_second():
    bench = Bench(beat_max_loop_interval=0)
    bench.app.conf.beat_schedule = {"far": {"task": "add", "schedule": 3600, "args": (1, 2)}}
    assert bench.service.tick() == 1.0
    other = Canvas("bench", broker=bench.clock.url, backend=bench.clock.url, set_as_current=False)
    other.schedule.add("new", "total", 0.5, args=([1],))
    bench.clock.move(1.0)
    bench.service.tick()
    assert [one.task for one in bench.take()] == ["total"]


def test_last_runs_are_taken_over_from_celerys_file(bench, tmp_path, caplog):
    path = str(tmp_path / "celerybeat-schedule")
    theirs = celery.Celery("theirs", set_as_current=False, broker="memory://")
    theirs.conf.beat_schedule = {"daily": {"task": "add", "schedule": their_crontab(hour=9, minute=0)}}
    shelf = PersistentScheduler(theirs, schedule_filename=path)
    shelf.schedule["daily"].last_run_at = START - timedelta(days=2)
    shelf.close()
    bench.app.conf.beat_schedule = {"daily": {"task": "add", "schedule": crontab(hour=9, minute=0), "args": (1, 2)}}
    with caplog.at_level(logging.INFO, "celery.beat"):
        assert bench.run(1, Service(bench.app, 1, path, bench.clock.time, bench.clock.wait)) == [(0.0, "add")]
    assert f"Took over when 1 entries ran last from {path}" in caplog.text


def test_a_damaged_file_of_celerys_is_no_obstacle(bench, tmp_path, caplog):
    path = tmp_path / "celerybeat-schedule"
    path.write_bytes(b"\x00not a database" * 100)
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2)}}
    assert len(bench.run(11, Service(bench.app, 1, str(path), bench.clock.time, bench.clock.wait))) == 1
    assert "Cannot read" in caplog.text


def test_the_clock_of_the_machine_has_no_say(bench, monkeypatch):
    """Beat goes by the server's time and by the monotonic clock."""
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2)}}
    bench.service.tick()
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert len(bench.run(11)) == 1
