"""Classes of schedulers: those of ``celery.beat``, subclassed as programs do, on Celery and on canvas alike."""

import shelve
from datetime import timedelta

import celery.beat
import pytest

from canvas.beat.arguments import BeatLazyFunc, evaluated_args, evaluated_kwargs
from canvas.beat.scheduler_classes.entries import event_t as heap_event
from canvas.beat.scheduler_classes.service import SchedulerService
from canvas.schedules import crontab
from tests.support.scheduler_kinds import EVERY, Ours, Theirs, recording

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=[Ours, Theirs], ids=["canvas", "celery"])
def side(request):
    return request.param


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


def test_an_assigned_producer_sends(side):
    producers = []

    class Noting(side.Scheduler):
        def apply_async(self, entry, producer=None, advance=True, **kwargs):
            producers.append(producer)

    found = Noting(side.app(beat_schedule={"a": EVERY}))
    found.schedule["a"].last_run_at -= timedelta(minutes=5)
    found.producer = "assigned"
    assert (found.tick(), producers) == (0, ["assigned"])


def test_late_arguments_are_evaluated():
    ours, theirs = BeatLazyFunc(lambda: 3), celery.beat.BeatLazyFunc(lambda: 3)
    assert evaluated_args([1, ours]) == celery.beat._evaluate_entry_args([1, theirs]) == [1, 3]
    assert evaluated_kwargs({"a": ours}) == celery.beat._evaluate_entry_kwargs({"a": theirs}) == {"a": 3}
    assert (evaluated_args(None), evaluated_kwargs(None)) == ([], {})
