"""Classes of schedulers: those of ``celery.beat``, subclassed as programs do, on Celery and on canvas alike."""

import contextvars
import shelve
import threading
from datetime import timedelta

import celery.beat
import pytest
from celery import Celery
from kombu.exceptions import OperationalError as KombuError

from canvas import Canvas
from canvas.beat.running import start_thread
from canvas.beat.scheduler_classes import entries, persistent, scheduler
from canvas.beat.scheduler_classes.entries import event_t as heap_event
from canvas.beat.scheduler_classes.service import EmbeddedService, SchedulerService, scheduler_class
from canvas.beat.sources import service_of
from canvas.errors import ConfigurationError, OperationalError
from canvas.schedules import crontab
from tests.ecosystem.running import until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Ours:
    Scheduler, PersistentScheduler = scheduler.Scheduler, persistent.PersistentScheduler
    ScheduleEntry, SchedulingError = entries.ScheduleEntry, entries.SchedulingError

    @staticmethod
    def app(**settings):
        return Canvas("sched", broker="memory://", backend="memory://", set_as_current=False, **settings)


class Theirs:
    Scheduler, PersistentScheduler = celery.beat.Scheduler, celery.beat.PersistentScheduler
    ScheduleEntry, SchedulingError = celery.beat.ScheduleEntry, celery.beat.SchedulingError

    @staticmethod
    def app(**settings):
        return Celery("sched", broker="memory://", backend="cache+memory://", set_as_current=False, changes=settings)


@pytest.fixture(params=[Ours, Theirs], ids=["canvas", "celery"])
def side(request):
    return request.param


def recording(kind):
    """A scheduler as programs write them: it notes what it sends, and sends nothing."""

    class Recording(kind):
        def __init__(self, *args, **kwargs):
            self.sent, self.synced = [], 0
            super().__init__(*args, **kwargs)

        def apply_async(self, entry, producer=None, advance=True, **kwargs):
            self.sent.append((entry.name, entry.task, tuple(entry.args), entry.total_run_count, advance))

        def sync(self):
            self.synced += 1
            super().sync()

    return Recording


EVERY = {"task": "t.add", "schedule": 60.0, "args": (1, 2), "options": {"queue": "q"}}


def test_due_entries_are_sent_and_noted(side):
    app = side.app(beat_schedule={"a": EVERY, "b": {"task": "t.b", "schedule": crontab(minute=0, hour=0)}})
    found = recording(side.Scheduler)(app)
    assert set(found.schedule) == {"a", "b"}
    assert found.tick() > 0
    found.schedule["a"].last_run_at -= timedelta(minutes=5)
    found._heap = None
    assert found.tick() == 0
    assert found.sent == [("a", "t.add", (1, 2), 0, False)]
    assert found.schedule["a"].total_run_count == 1
    assert found.tick() > 0
    assert len(found.sent) == 1


def test_what_entries_say(side):
    app = side.app()
    entry = side.ScheduleEntry("n", "t.add", schedule=30, args=(1,), kwargs={"k": 2}, app=app)
    assert repr(entry) == "<ScheduleEntry: n t.add(1, k=2) <freq: 30.00 seconds>"
    following = next(entry)
    assert (following.total_run_count, following.name, following.options) == (1, "n", {})
    assert following == entry
    assert entry != side.ScheduleEntry("n", "t.other", schedule=30, args=(1,), kwargs={"k": 2}, app=app)
    assert sorted(dict(entry)) == sorted(
        ["app", "name", "task", "args", "kwargs", "options", "schedule", "last_run_at", "total_run_count"]
    )
    due, wait = entry.is_due()
    assert not due
    assert 0 < wait <= 30
    kind, fields = entry.__reduce__()
    assert kind(*fields).task == "t.add"


def test_the_task_is_sent_with_lists_and_the_header_of_beat(side):
    class Sending(side.Scheduler):
        def send_task(self, name, args=None, kwargs=None, **options):
            sent.append((name, args, kwargs, options["headers"], options["queue"]))

    sent = []
    made = Sending(app=side.app(), lazy=True)
    options = {"queue": "q", "headers": {"own": 1}}
    made.add(name="n", task="sched.none", schedule=10, args=(1, 2), options=options)
    made.apply_entry(made.schedule["n"])
    assert sent == [("sched.none", [1, 2], {}, {"own": 1, "celery_beat_task": True}, "q")]


def test_entries_may_be_given_as_entries(side):
    made = side.Scheduler(app=side.app(), lazy=True)
    given = side.ScheduleEntry(name="n", task="sched.none", schedule=timedelta(seconds=3), args=(1,), app=made.app)
    made.merge_inplace({"n": given})
    assert made.schedule["n"].schedule == given.schedule


def test_a_schedule_that_changes_the_heap_sends_nothing_yet(side):
    made = recording(side.Scheduler)(app=side.app(), lazy=True)
    first = made.add(name="first", task="sched.none", schedule=10)
    made.old_schedulers = made.schedule
    early = [heap_event(made._when(first, 0) - seconds, 5, first) for seconds in (1, 2)]
    made._heap = [early[0]]
    first.schedule.is_due = lambda last: made._heap.insert(0, early[1]) or (True, 1)
    assert made.tick() < 0
    assert (made.sent, made._heap[0]) == ([], early[1])


def test_a_scheduler_that_exits_ends_its_service(side, tmp_path):
    class Exiting(side.Scheduler):
        def tick(self):
            raise SystemExit

        def close(self):
            closed.append(self)

    closed = []
    make = SchedulerService if side is Ours else celery.beat.Service
    make(side.app(), scheduler_cls=Exiting, schedule_filename=str(tmp_path / "s")).start()
    assert len(closed) == 1


def test_entries_follow_a_change_of_the_mapping(side):
    found = side.Scheduler(side.app(beat_schedule={"a": EVERY}))
    ran = found.schedule["a"].last_run_at
    found.merge_inplace({"a": {**EVERY, "args": (9,)}, "c": EVERY})
    assert sorted(found.schedule) == ["a", "c"]
    assert (found.schedule["a"].args, found.schedule["a"].last_run_at) == ((9,), ran)
    found.add(name="d", task="t.d", schedule=timedelta(seconds=5))
    found.update_from_dict({"e": {"task": "t.e", "schedule": 5}, "f": found.schedule["d"]})
    assert sorted(found.schedule) == ["a", "c", "d", "e", "f"]


def test_lazy_schedulers_set_nothing_up(side):
    assert dict(side.Scheduler(side.app(beat_schedule={"a": EVERY}), lazy=True).schedule) == {}


def test_a_schedule_that_raises_leaves_the_others(side, caplog):
    class Broken(crontab):
        def is_due(self, last_run_at):
            raise RuntimeError("no")

    app = side.app(beat_schedule={"bad": {"task": "t.bad", "schedule": Broken()}, "a": EVERY})
    found = recording(side.Scheduler)(app)
    found.schedule["a"].last_run_at -= timedelta(minutes=5)
    assert found.tick() == 0
    assert [name for name, *_ in found.sent] == ["a"]
    assert "Cannot calculate the next run of 'bad'" in caplog.text


def test_an_error_of_a_task_is_logged(side, caplog):
    app = side.app(beat_schedule={"a": EVERY})

    @app.task(name="t.add")
    def add(x, y):
        return x + y

    found = side.Scheduler(app)
    found.schedule["a"].options["expires"] = object()
    with pytest.raises(side.SchedulingError, match="Couldn't apply scheduled task a"):
        found.apply_async(found.schedule["a"], advance=False)
    found.apply_entry(found.schedule["a"])
    assert "Message Error: " in caplog.text


def test_state_outlives_the_scheduler(side, tmp_path):
    app, path = side.app(beat_schedule={"a": EVERY}), str(tmp_path / "schedule")
    first = side.PersistentScheduler(app, schedule_filename=path)
    first.reserve(first.schedule["a"])
    ran = first.schedule["a"].last_run_at
    first.close()
    second = side.PersistentScheduler(app, schedule_filename=path)
    assert (second.schedule["a"].total_run_count, second.schedule["a"].last_run_at) == (1, ran)
    assert second.info == f"    . db -> {path}"
    second.close()


def test_a_damaged_file_is_begun_anew(side, tmp_path):
    (tmp_path / "schedule").write_bytes(b"this is no database")
    found = side.PersistentScheduler(side.app(beat_schedule={"a": EVERY}), schedule_filename=str(tmp_path / "schedule"))
    assert "a" in found.schedule
    found.close()


@pytest.mark.parametrize("content", ["not a mapping", 5, None])
def test_entries_that_are_none_are_made_anew(tmp_path, content):
    path = str(tmp_path / "schedule")
    with shelve.open(path) as store:
        store["entries"] = content
    found = Ours.PersistentScheduler(Ours.app(beat_schedule={"a": EVERY}), schedule_filename=path)
    assert "a" in found.schedule
    found.close()


def test_a_changed_time_zone_resets_the_file(side, tmp_path):
    path = str(tmp_path / "schedule")
    first = side.PersistentScheduler(side.app(beat_schedule={"a": EVERY}, timezone="UTC"), schedule_filename=path)
    first.reserve(first.schedule["a"])
    first.close()
    app = side.app(beat_schedule={"a": EVERY}, timezone="Asia/Tokyo")
    second = side.PersistentScheduler(app, schedule_filename=path)
    assert second.schedule["a"].total_run_count == 0
    second.close()


# -- the service


class Away:
    """A scheduler whose broker is away for two ticks."""

    def __init__(self, app, max_interval=None, schedule_filename=None, lazy=False):
        self.app, self.max_interval, self.file = app, max_interval or 5, schedule_filename
        self.ticks, self.closed, self.info = 0, False, ""

    def tick(self):
        self.ticks += 1
        if self.ticks < 3:
            raise OperationalError("the broker is away")
        return 0.01

    def should_sync(self):
        return False

    def close(self):
        self.closed = True


def test_the_service_ticks_through_an_outage_and_closes_its_scheduler(monkeypatch, caplog):
    monkeypatch.setattr("canvas.beat.scheduler_classes.service.RETRY_EVERY", 0.01)
    app = Ours.app()
    service = service_of(app, Away)
    assert isinstance(service, SchedulerService)
    assert service.about == "    . scheduler -> tests.unit.test_scheduler_classes.Away"
    thread = threading.Thread(target=service.start)
    thread.start()
    until(lambda: service.scheduler.ticks > 5)
    assert service.trouble() == ""
    service.stop(wait=True)
    thread.join(20)
    assert service.scheduler.closed
    assert "beat: Connection error: the broker is away. Trying again in 0.01 seconds..." in caplog.text


def test_a_stalled_service_is_unhealthy(monkeypatch):
    service = SchedulerService(Ours.app(), scheduler_cls=Away)
    monkeypatch.setattr(service, "_looked_at", service._looked_at - 1000)
    assert service.trouble() == "beat has not looked for due entries for 1000 s"


def test_a_scheduler_class_sends_to_a_worker_on_a_thread():
    app = Ours.app(beat_schedule={"often": {"task": "t.ping", "schedule": 0.05}}, task_always_eager=True)
    pinged = threading.Event()
    app.task(pinged.set, name="t.ping")
    service = EmbeddedService(app, scheduler_cls=scheduler.Scheduler)
    service.start()
    assert pinged.wait(20)
    service.stop()
    assert not service.is_alive()


def test_a_scheduler_in_a_worker_has_the_context_of_its_program():
    tenant = contextvars.ContextVar("tenant", default="none")
    seen = []

    class Asking(scheduler.Scheduler):
        def setup_schedule(self):
            seen.append(tenant.get())

    def program():
        tenant.set("first")
        return start_thread(SchedulerService(Ours.app(), scheduler_cls=Asking))

    end = contextvars.copy_context().run(program)
    until(lambda: seen)
    end()
    assert (seen, tenant.get()) == (["first"], "none")


def test_classes_are_found_by_path_and_by_the_name_that_a_package_gives(monkeypatch):
    path = "canvas.beat.scheduler_classes.scheduler"
    assert scheduler_class(f"{path}:Scheduler") is scheduler_class(f"{path}.Scheduler") is scheduler.Scheduler

    class Point:
        name, value = "plugged", f"{path}:Scheduler"

    monkeypatch.setattr("canvas.beat.scheduler_classes.service.entry_points", lambda group: [Point])
    assert scheduler_class("plugged") is scheduler.Scheduler


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("nowhere.Scheduler", "scheduler 'nowhere.Scheduler': cannot import"),
        ("json:dumps", "expected a class with a method tick"),
    ],
)
def test_what_is_no_scheduler_is_refused(named, words):
    with pytest.raises(ConfigurationError, match=words):
        service_of(Ours.app(), named)


def test_an_unreachable_broker_is_an_error_of_the_tick():
    app = Canvas("away", broker="redis://127.0.0.1:1/0", set_as_current=False, broker_connection_max_retries=1,
                 beat_schedule={"a": EVERY})  # fmt: skip
    app.conf.broker_transport_options = {"interval_start": 0, "interval_step": 0}
    found = scheduler.Scheduler(app)
    found.schedule["a"].last_run_at -= timedelta(minutes=5)
    with pytest.raises((KombuError, OperationalError)):
        found.tick()
    assert found.schedule["a"].total_run_count == 0
    found.close()
