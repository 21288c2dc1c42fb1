"""Beat over a store in memory, whose clock the tests move."""

import logging
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import celery
import pytest
from celery.beat import PersistentScheduler, Scheduler
from celery.schedules import crontab as their_crontab

from canvas import Canvas, chord, group, signals
from canvas.beat import BeatLazyFunc, Service
from canvas.drivers.ports.values import Lease
from canvas.errors import ConfigurationError
from canvas.schedules import crontab, schedule
from canvas.telemetry import attach
from canvas.testing.clock import ManualClock
from tests.support.messages import decode

START = datetime(2025, 3, 1, 10, 0, 30, tzinfo=UTC)


class Bench:
    """An app, its beat, and a clock."""

    def __init__(self, monkeypatch, **settings):
        self.clock = ManualClock(START.timestamp())
        settings.setdefault("beat_max_loop_interval", 100_000_000)
        self.app = Canvas("bench", broker=self.clock.url, backend=self.clock.url, set_as_current=False, **settings)
        # A record that a worker of the test stores has to be read at the same time.
        self.add = self.app.task(lambda x, y: x + y, name="add")
        self.total = self.app.task(sum, name="total")
        self.service = self.beat()

    def beat(self):
        return Service(self.app, monotonic=self.clock.time, wait=self.clock.wait)

    def run(self, seconds, service=None):
        """Let time pass; when a message was sent, as (seconds since the start, its task's name)."""
        service, end, sent = service or self.service, self.clock.time() + seconds, []
        while True:
            wait = service.tick()
            sent += [(round(self.clock.time() - START.timestamp(), 3), one.task) for one in self.take()]
            if self.clock.time() + wait > end:
                self.clock.move(end - self.clock.time())
                return sent
            self.clock.move(wait)

    def take(self):
        """The messages in the queue, taken away."""
        deliveries = self.app.driver.broker.lease(Lease("w", ("celery",), 100_000))
        found = [decode(one.payload, accept=self.app.accept_content) for one in deliveries]
        return found

    def end(self, task_id, result=None):
        self.app.backend.store_result(task_id, result, "SUCCESS")

    def state(self, name):
        return next(one for one in self.app.schedule.list() if one.name == name).state


@pytest.fixture
def bench(monkeypatch):
    return Bench(monkeypatch)


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


def test_a_year_gives_celerys_ticks(monkeypatch):
    bench = Bench(monkeypatch, timezone=ZONE)
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


@pytest.mark.parametrize(
    ("catch_up", "expected", "missed"),
    [("last", [1000.0], 0), ("none", [], 1), ("all", [1000.0] * 9, 0)],
)
def test_ticks_that_were_missed(bench, catch_up, expected, missed):
    bench.app.conf.beat_schedule = {
        "a": {"task": "add", "schedule": schedule(100), "args": (1, 2), "catch_up": catch_up}
    }
    assert len(bench.run(110)) == 1
    bench.clock.move(890)
    assert [at for at, _ in bench.run(0.5)] == expected
    assert bench.state("a").missed == missed
    following = bench.run(100)
    assert len(following) == 1


def test_ticks_that_overlap_are_skipped(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2), "overlap": "skip"}}
    assert len(bench.run(35)) == 1
    state = bench.state("a")
    assert (state.count, state.skipped) == (1, 2)
    bench.end(state.last["ids"][0])
    assert len(bench.run(10)) == 1


def test_ticks_that_overlap_wait(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2), "overlap": "queue"}}
    assert len(bench.run(35)) == 1
    assert bench.state("a").waiting == 2
    for left in (1, 0):
        bench.end(bench.state("a").last["ids"][0])
        assert len(bench.run(2)) == 1
        assert bench.state("a").waiting == left


def test_ticks_cancel_what_they_overlap(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2), "overlap": "cancel_previous"}}
    bench.run(11)
    first = bench.state("a").last["ids"][0]
    assert len(bench.run(10)) == 1
    assert any(first in entry for entry in bench.app.driver.coordination.revoked()[1])


def test_overlapping_runs_of_a_workflow_are_skipped_until_one_is_over(bench):
    def flow():
        made = bench.app.Workflow("w")
        made.add(bench.add.s(1, 2))
        return made

    bench.app.conf.beat_schedule = {"a": {"task": flow, "schedule": 10, "overlap": "skip"}}
    assert len(bench.run(35)) == 1
    bench.end(bench.state("a").last["run"])
    assert len(bench.run(10)) == 1


AFTER_AN_OUTAGE = {
    ("none", "allow"): (0, "missed", 1), ("last", "allow"): (1, "count", 2), ("all", "allow"): (10, "count", 11),
    ("none", "skip"): (0, "missed", 1), ("last", "skip"): (0, "skipped", 1), ("all", "skip"): (0, "skipped", 10),
    ("none", "queue"): (0, "missed", 1), ("last", "queue"): (0, "waiting", 1), ("all", "queue"): (0, "waiting", 10),
    ("none", "cancel_previous"): (0, "missed", 1), ("last", "cancel_previous"): (1, "count", 2),
    ("all", "cancel_previous"): (10, "count", 11),
}  # fmt: skip
"""By ``catch_up`` and ``overlap``: the ticks that are sent after 100 seconds without beat while the run before is not
over, and a number in the state of the entry."""


def composed(bench, kind):
    def flow():
        made = bench.app.Workflow("w")
        made.add(bench.add.s(1, 2))
        return made

    return {
        "workflow": flow,
        "chord": chord([bench.add.s(1, 2)], bench.total.s()),
        "chain": bench.add.s(1, 2) | bench.add.s(3),
        "group": group(bench.add.s(1, 2)),
    }[kind]


@pytest.mark.parametrize("kind", ["chain", "group", "chord", "workflow"])
@pytest.mark.parametrize(("policies", "expected"), AFTER_AN_OUTAGE.items(), ids=lambda one: "-".join(map(str, one)))
def test_policies_hold_together_for_composites(bench, kind, policies, expected):
    catch_up, overlap = policies
    entry = {"task": composed(bench, kind), "schedule": 10, "overlap": overlap, "catch_up": catch_up}
    bench.app.conf.beat_schedule = {"a": entry}
    assert len(bench.run(11)) == 1
    first = bench.state("a").last
    bench.clock.move(100)
    sent, name, number = expected
    assert [task for _, task in bench.run(0)] == ["add"] * sent
    assert getattr(bench.state("a"), name) == number
    cancelled = f"{first['run']}:0" if kind == "workflow" else first["ids"][-1]
    assert (cancelled in str(bench.app.driver.coordination.revoked())) is (overlap == "cancel_previous" and sent > 0)
    if overlap == "queue" and name == "waiting":
        bench.end(cancelled.removesuffix(":0"))
        assert len(bench.run(1.5)) == 1
        assert bench.state("a").waiting == number - 1


@pytest.mark.parametrize("kind", ["chain", "group", "chord"])
def test_all_tasks_of_a_composite_are_cancelled(bench, kind):
    two = {"chain": bench.add.s(1, 2) | bench.add.s(3), "group": group(bench.add.si(1, 2), bench.add.si(1, 2))}
    sig = two.get(kind) or chord([bench.add.si(1, 2), bench.add.si(3, 4)], bench.total.s())
    bench.app.conf.beat_schedule = {"a": {"task": sig, "schedule": 10, "overlap": "cancel_previous"}}
    bench.service.tick()
    bench.clock.move(10)
    bench.service.tick()
    messages = bench.take()
    stamp = bench.state("a").last["stamp"]
    assert {one.headers["stamps"]["canvas_beat_tick"] for one in messages} == {stamp}
    following = [
        one for message in messages for one in (*(message.embed.get("chain") or ()), message.embed.get("chord")) if one
    ]
    unstamped = [one["options"]["task_id"] for one in following if one["options"].get("canvas_beat_tick") != stamp]
    bench.run(10)
    revoked = str(bench.app.driver.coordination.revoked())
    assert all(one in revoked for one in (stamp, *unstamped))
    assert "stamp" not in bench.state("a").history[0]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_chain_whose_task_failed_is_over(bench, overlap):
    sig = bench.add.s(1, 2) | bench.add.s(3) | bench.add.s(4)
    bench.app.conf.beat_schedule = {"a": {"task": sig, "schedule": 10, "overlap": overlap}}
    assert len(bench.run(11)) == 1
    (before,) = bench.state("a").last["before"].values()
    assert bench.run(10) == []
    bench.app.backend.store_result(before[0], 3, "SUCCESS")
    assert bench.run(10) == []
    bench.app.backend.store_result(before[1], ValueError("x"), "FAILURE")
    assert len(bench.run(10)) == 1


@pytest.mark.parametrize("interval", [0, timedelta(seconds=-5)])
def test_an_interval_of_nothing_is_sent_without_a_pause_and_warned_of(bench, interval, caplog):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": interval, "args": (1, 2)}}
    assert [bench.service.tick() for _ in range(4)] == [0.0] * 4
    assert len(bench.take()) > 1
    assert "Entry 'a' has an interval of" in caplog.text and "without a pause" in caplog.text


def test_entries_that_are_wrong_are_logged_and_the_others_go_on(bench, caplog):
    class Broken(schedule):
        def is_due(self, last_run_at):
            raise ZeroDivisionError("no next run")

    class Raising:
        @property
        def is_due(self):
            raise LookupError("no schedule")

    never = crontab(day_of_month=30, month_of_year=4)
    never.day_of_month = {31}  # past the check of the constructor
    bench.app.conf.beat_schedule = {
        "good": {"task": "add", "schedule": 10, "args": (1, 2)},
        "typo": {"task": "ad", "schedule": 10},
        "key": {"task": "add", "shedule": 10},
        "text": {"task": "add", "schedule": "daily"},
        "policy": {"task": "add", "schedule": 10, "overlap": "never"},
        "arguments": {"task": "add", "schedule": 10, "args": (1,)},
        "unwritable": {"task": "typo", "schedule": 10, "args": (object(),)},
        "broken": {"task": "add", "schedule": Broken(10)},
        "never": {"task": "add", "schedule": never},
        "no flow": {"task": lambda: 3, "schedule": 10},
        "endless": {"task": "add", "schedule": math.inf},
        "no number": {"task": "add", "schedule": math.nan},
        "by name": {"task": "add", "schedule": 10, "args": {"x": 1}},
        "raises": {"task": "add", "schedule": Raising()},
        7: {"task": "total", "schedule": 10, "args": ([1, 2],)},
    }
    with caplog.at_level(logging.INFO, "celery.beat"):
        sent = bench.run(31)
    assert Counter(task for _, task in sent) == {"add": 3, "ad": 3, "total": 3}
    assert [one.name for one in bench.app.schedule.list()] == [
        "7", "arguments", "broken", "good", "never", "no flow", "typo", "unwritable",
    ]  # fmt: skip
    text = caplog.text
    for line in (
        "Entry 'typo' sends the task 'ad', which is not registered here; did you mean 'add'?",
        "beat_schedule['key']: unknown key 'shedule'; did you mean 'schedule'?",
        "beat_schedule['text']: schedule: expected seconds, a timedelta, a crontab or another schedule; got 'daily'",
        "beat_schedule['policy']: overlap: expected one of allow, skip, queue, cancel_previous; got 'never'",
        "beat_schedule['endless']: schedule: expected seconds or a timedelta; got inf",
        "beat_schedule['no number']: schedule: expected seconds or a timedelta; got nan",
        "beat_schedule['by name']: args: expected a list; got {'x': 1}",
        "Leaving out an entry: no schedule",
        "Message Error: Couldn't apply scheduled task arguments",
        "Message Error: Couldn't apply scheduled task unwritable",
        "beat: Cannot calculate the next run of 'broken', trying again in 5.00 minutes.",
        "beat: Cannot calculate the next run of 'never', trying again in 5.00 minutes.",
        "expected a function that returns a workflow; it returned 3",
        "Scheduler: Sending due task good (add)",
    ):
        assert line in text, line


def test_overlap_needs_a_result(monkeypatch, caplog):
    bench = Bench(monkeypatch)
    bench.app.task(lambda: None, name="silent", ignore_result=True)
    bench.app.conf.beat_schedule = {"a": {"task": "silent", "schedule": 10, "overlap": "skip"}}
    assert bench.run(11) == []
    assert "overlap='skip' needs the task's result, and silent has ignore_result" in caplog.text


def test_entries_change_while_beat_runs(bench):
    schedules = bench.app.schedule
    assert bench.run(1) == []
    schedules.add("tenant", bench.add, 10, args=(1, 2), catch_up="all")
    with pytest.raises(ConfigurationError, match="there is one already"):
        schedules.add("tenant", "add", 10)
    assert len(bench.run(25)) == 2
    schedules.update("tenant", schedule=crontab(minute="*/30"), args=(3, 4))
    assert bench.run(60) == []
    assert len(bench.run(1800)) == 1
    schedules.pause("tenant")
    assert bench.run(7200) == []
    schedules.resume("tenant")
    assert len(bench.run(1800)) == 1
    assert bench.state("tenant").count == 4
    assert schedules.remove("tenant") and not schedules.remove("tenant")
    assert bench.run(7200) == []
    for change in (schedules.pause, schedules.resume, schedules.update):
        with pytest.raises(ConfigurationError, match="there is no schedule entry 'tenant'"):
            change("tenant")


def test_entries_that_cannot_be_stored_are_refused(bench):
    class Own(schedule):
        pass

    with pytest.raises(ConfigurationError, match="a schedule of class Own cannot be stored"):
        bench.app.schedule.add("own", "add", Own(3))
    with pytest.raises(ConfigurationError, match="a function of a module that composes the workflow"):
        bench.app.schedule.add("flow", lambda: None, 3)


def test_the_settings_decide_over_their_entries(bench):
    bench.app.conf.beat_schedule = {name: {"task": "add", "schedule": 1000, "args": (1, 2)} for name in "ab"}
    bench.run(500)
    with pytest.raises(ConfigurationError, match="one of beat_schedule"):
        bench.app.schedule.remove("a")
    bench.app.schedule.add("mine", "total", 10_000, args=([1],))
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 600, "args": (1, 2)}}
    # The last run counts for the new schedule; the entry that is gone does not run any more.
    assert bench.run(150) == [(600.0, "add")]
    assert [one.name for one in bench.app.schedule.list()] == ["a", "mine"]
    assert bench.state("a").count == 1


def test_run_sends_now(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 1000, "args": (1, 2)}}
    found = bench.app.schedule.run("a")
    assert [one.id for one in bench.take()] == found["ids"]


def test_a_task_that_sends_itself_is_sent_again_when_its_beat_died(bench):
    class Own(type(bench.add)):
        def apply_async(self, *args, **options):
            calls.append(options["task_id"])
            return super().apply_async(*args, **options)

    calls = []
    bench.app.task(lambda: None, name="own", base=Own)
    bench.app.conf.beat_schedule = {"a": {"task": "own", "schedule": 10}}
    assert len(bench.run(15)) == 1

    class Killed(KeyboardInterrupt):
        pass

    def die(**_):
        raise Killed

    bench.clock.move(5)
    detach = attach(die, "beat.claimed")
    try:
        bench.service.tick()
    except Killed:
        pass
    finally:
        detach()
    claimed = bench.state("a")
    assert (len(calls), bench.take(), bool(claimed.sending)) == (1, [], True)
    sent = bench.run(65, bench.beat())
    assert sent[0] == (80.0, "own")
    assert [calls[1]] == claimed.last["ids"] and len(calls) == len(set(calls))


def test_a_unique_task_under_way_is_not_sent_twice(bench):
    bench.app.task(lambda: None, name="alone", unique_for=3600)
    bench.app.conf.beat_schedule = {"a": {"task": "alone", "schedule": 10}}
    assert len(bench.run(35)) == 1
    assert bench.state("a").count == 3


def test_many_beats_send_each_tick_once(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2)}}
    beats = [bench.beat() for _ in range(3)]
    sent = 0
    for _ in range(50):
        for beat in beats:
            beat.tick()
        sent += len(bench.take())
        bench.clock.move(1)
    assert sent == bench.state("a").count == 4


def test_periodic_tasks_are_added_when_the_app_is_configured(bench):
    @bench.app.on_after_configure.connect
    def enter(sender, **_):
        sender.add_periodic_task(10, bench.add.s(1, 2), name="ten", overlap="skip", queue="celery")
        sender.add_periodic_task(crontab(minute="*"), chord([bench.add.s(1, 1)], bench.total.s()), name="chord")
        sender.add_periodic_task(20, bench.total, ([1],), name="task")

    bench.app.import_task_modules()
    assert bench.app.conf.beat_schedule["ten"]["overlap"] == "skip"
    assert Counter(task for _, task in bench.run(31)) == {"add": 2, "total": 1}


def test_signals_are_sent_at_the_start(bench):
    found = []

    def started(sender, **_):
        found.append(sender)
        sender.stop()

    signals.beat_init.connect(started)
    try:
        bench.service.start()
    finally:
        signals.beat_init.disconnect(started)
    assert found == [bench.service]


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
