"""Entries under celery-redbeat's keys, next to its own scheduler."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import celery
import pytest
from celery import schedules as theirs
from dateutil.rrule import MO
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import RedBeatScheduler, ensure_conf
from redbeat.schedules import rrule

from canvas import Canvas
from canvas.beat.sources import service_of
from canvas.drivers.ports.values import Lease
from canvas.errors import ConfigurationError
from canvas.schedules import crontab
from canvas.testing.clock import ManualClock
from tests.support.messages import decode

START = datetime(2025, 3, 29, 22, 0, 30, tzinfo=UTC)
ZONE = "Europe/Berlin"


class Celerys:
    """RedBeat in Celery, by a clock that tests move."""

    def __init__(self, url):
        self.moment = START
        self.app = celery.Celery(
            "theirs", broker="memory://", set_as_current=False, redbeat_redis_url=url, redbeat_key_prefix="theirs:",
            timezone=ZONE, beat_max_loop_interval=300,
        )  # fmt: skip
        self.app.now = lambda: self.moment.astimezone(ZoneInfo(ZONE))

    def entry(self, name, schedule, **options):
        schedule.app = self.app
        made = RedBeatSchedulerEntry(name, "add", schedule, args=(1, 2), app=self.app, **options)
        made.last_run_at = None
        made.save()
        return made

    def run(self, seconds):
        scheduler, seen, end = RedBeatScheduler(self.app, lazy=True), [], self.moment + timedelta(seconds=seconds)

        def note(entry, **_):
            seen.append((round((self.moment - START).total_seconds()), entry.name))
            scheduler.reserve(entry)

        scheduler.apply_async, scheduler.lock_key = note, None
        while self.moment < end:
            wait = scheduler.tick()
            self.moment = min(self.moment + timedelta(seconds=max(wait, 1)), end)
        return seen


class Ours:
    """The same keys under another prefix, run by canvas."""

    def __init__(self, url, **settings):
        self.clock = ManualClock(START.timestamp())
        self.app = Canvas(
            "ours", broker=self.clock.url, backend=self.clock.url, set_as_current=False, timezone=ZONE,
            redbeat_redis_url=url, redbeat_key_prefix="ours:", **settings,
        )  # fmt: skip
        self.app.task(lambda x, y: x + y, name="add")
        self.service = self.beat()

    def beat(self):
        return service_of(self.app, "redbeat.RedBeatScheduler", 300, monotonic=self.clock.time, wait=self.clock.wait)

    def run(self, seconds, service=None):
        seen, end = [], self.clock.time() + seconds
        while self.clock.time() < end:
            wait = (service or self.service).tick()
            seen += [(round(self.clock.time() - START.timestamp()), name) for name in self.sent()]
            if wait:
                self.clock.move(min(max(wait, 1), end - self.clock.time()))
        return seen

    def sent(self):
        """The entries whose messages are in the queue, which are taken; each is in a header."""
        deliveries = self.app.driver.broker.lease(Lease("w", ("celery",), 1_000))
        found = [decode(one.payload, accept=self.app.accept_content) for one in deliveries]
        return [one.headers.get("entry", "") for one in found]


@pytest.fixture
def url(redis_server):
    redis_server.client().flushall()
    return redis_server.url(0)


def named(name):
    return {"headers": {"entry": name}}


def test_two_days_give_the_ticks_of_redbeat(url, redis_server):
    both = Celerys(url), Ours(url)
    kinds = {
        "interval": theirs.schedule(3_700),
        "relative": theirs.schedule(7_200, relative=True),
        "cron": theirs.crontab(minute="*/20", hour="1-4"),
        "weekday": theirs.crontab(0, 12, day_of_week="mon"),
        "rule": rrule("DAILY", dtstart=START - timedelta(days=3), byhour=[5, 17], byminute=[0], bysecond=[0]),
        "few": rrule("HOURLY", dtstart=START + timedelta(hours=1), count=3),
        "mondays": rrule("WEEKLY", dtstart=START, byweekday=[MO], byhour=[9], byminute=[30], bysecond=[0]),
    }
    for name, schedule in kinds.items():
        both[0].entry(name, schedule, options=named(name))
    copy_entries(redis_server.client())
    seen = [sorted(one.run(2 * 86_400)) for one in both]
    assert seen[0] == seen[1]
    assert {name for _, name in seen[1]} == set(kinds)
    # Either one goes on where the other ends.
    last = [RedBeatSchedulerEntry.load_meta(f"{prefix}:interval", both[0].app) for prefix in ("theirs", "ours")]
    assert abs(last[0]["last_run_at"] - last[1]["last_run_at"]) < timedelta(seconds=2)


def copy_entries(keys):
    for key in keys.keys("theirs:*"):
        keys.copy(key, b"ours:" + key.removeprefix(b"theirs:"), replace=True)
    for key, score in keys.zrange("theirs::schedule", 0, -1, withscores=True):
        keys.zadd("ours::schedule", {b"ours:" + key.removeprefix(b"theirs:"): score})
        keys.zrem("ours::schedule", key)


def test_a_disabled_entry_runs_once_it_is_enabled(url, redis_server):
    both = Celerys(url), Ours(url)
    entry = both[0].entry("off", theirs.schedule(60), enabled=False, options=named("off"))
    copy_entries(redis_server.client())
    assert [one.run(30) for one in both] == [[], []]
    entry.enabled = True
    entry.save()
    copy_entries(redis_server.client())
    assert [[name for _, name in one.run(20)] for one in both] == [["off"], ["off"]]


def test_entries_of_the_settings_are_written_as_redbeat_writes_them(url, redis_server):
    ours = Ours(url)
    fields = {"task": "add", "args": (1, 2), "options": named("static")}
    ours.app.conf.beat_schedule = {
        "static": {**fields, "schedule": crontab(minute=5)},
        "other": {**fields, "schedule": 60},
    }
    assert [name for _, name in ours.run(30)] == ["static", "static"]  # two entries that have never run are due
    keys, app = redis_server.client(), Celerys(url).app
    ensure_conf(app).key_prefix = "ours:"
    read = RedBeatSchedulerEntry.from_key("ours:static", app=app)
    assert (read.task, list(read.args), read.schedule) == ("add", [1, 2], theirs.crontab(minute=5))
    assert keys.smembers("ours::statics") == {b"static", b"other"}
    ours.app.conf.beat_schedule = {"static": {**fields, "schedule": crontab(minute=6)}}
    ours.service.tick()
    assert (keys.exists("ours:other"), keys.smembers("ours::statics")) == (0, {b"static"})
    assert read.last_run_at == RedBeatSchedulerEntry.from_key("ours:static", app=app).last_run_at


def test_a_tick_whose_time_was_not_written_back_is_not_sent_again(url, monkeypatch):
    ours = Ours(url)
    ours.app.conf.beat_schedule = {"one": {"task": "add", "schedule": 60, "args": (1, 2), "options": named("one")}}
    ours.service.setup()

    class Dead(BaseException):
        pass

    def die(*_):
        raise Dead

    monkeypatch.setattr(ours.service.source, "ran", die)
    with pytest.raises(Dead):
        ours.service.tick()
    assert ours.sent() == ["one"]
    assert ours.run(50, ours.beat()) == []
    assert [name for _, name in ours.run(20, ours.beat())] == ["one"]


def test_a_beat_of_redbeat_that_holds_its_lock_is_waited_for(url, redis_server, caplog):
    ours = Ours(url)
    ours.app.conf.beat_schedule = {"one": {"task": "add", "schedule": 60, "args": (1, 2), "options": named("one")}}
    redis_server.client().set("ours::lock", "theirs")
    with caplog.at_level("INFO", "celery.beat"):
        assert ours.run(200) == []
    assert [one.message for one in caplog.records].count(
        "beat: A beat of celery-redbeat holds ours::lock; waiting until it has ended"
    ) == 1  # fmt: skip
    redis_server.client().delete("ours::lock")
    assert [name for _, name in ours.run(30)] == ["one"]


def test_an_entry_of_an_unknown_task_is_sent_with_a_warning(url, redis_server, caplog):
    both = Celerys(url), Ours(url)
    both[0].entry("one", theirs.schedule(60), options=named("one"))
    keys = redis_server.client()
    keys.hset("theirs:one", "definition", keys.hget("theirs:one", "definition").replace(b'"add"', b'"ad"'))
    copy_entries(keys)
    assert [name for _, name in both[1].run(100)] == ["one", "one"]
    assert [record.getMessage() for record in caplog.records if "did you mean 'add'?" in record.getMessage()][1:] == []
    assert "did you mean 'add'?" in caplog.text


def test_entries_that_cannot_be_read_are_logged_and_the_others_go_on(url, redis_server, caplog):
    ours = Ours(url)
    keys = redis_server.client()
    definitions = {"broken": "{", "odd": '{"name": "odd", "task": "add", "schedule": 5}'}
    wrong = {
        "syntax": '"crontab", "minute": "*/"',
        "huge": '"interval", "every": 1e300',
        "event": '"solar", "event": "x"',
    }
    for name, fields in wrong.items():
        definitions[name] = f'{{"name": "{name}", "task": "add", "schedule": {{"__type__": {fields}}}}}'
    for name, definition in definitions.items():
        keys.hset(f"ours:{name}", "definition", definition)
        keys.zadd("ours::schedule", {f"ours:{name}": 1})
    keys.zadd("ours::schedule", {"ours:gone": 1})
    ours.app.conf.beat_schedule = {"one": {"task": "add", "schedule": 60, "args": (1, 2), "options": named("one")}}
    assert [name for _, name in ours.run(10)] == ["one"]
    assert keys.zscore("ours::schedule", "ours:gone") is None
    assert {f"Leaving out the entry of ours:{name}" for name in definitions} <= {
        record.getMessage().removeprefix("beat: ").split(": ")[0] for record in caplog.records
    }


@pytest.mark.parametrize(
    ("broker", "settings", "said"),
    [
        ("memory://", {"redbeat_redis_url": "redis+cluster://localhost:7000"}, "a Redis Cluster"),
        ("rediss+cluster://localhost:7000", {}, "a Redis Cluster"),
        (
            "memory://",
            {"redbeat_redis_url": "redis://h", "redbeat_redis_options": {"cluster": True}},
            "a Redis Cluster",
        ),
        ("amqp://", {}, "amqp://, which is not Redis"),
    ],
)
def test_what_is_not_a_redis_server_is_refused(broker, settings, said):
    app = Canvas("refused", broker=broker, set_as_current=False, **settings)
    with pytest.raises(ConfigurationError, match=f"cannot be kept in {said}.*set redbeat_redis_url to a single Redis"):
        service_of(app, "redbeat", 300)
