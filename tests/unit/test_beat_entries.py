"""Entries of beat: added, changed, refused, and run by hand."""

import logging
import math
import re
from collections import Counter

import pytest

from canvas import Canvas, Workflow, chord
from canvas.errors import ConfigurationError
from canvas.schedules import crontab, schedule
from tests.support.beat_bench import Bench


@pytest.fixture
def bench():
    return Bench()


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
        "Entry 'arguments' has arguments that do not fit, so that it cannot be sent: add() missing 1 required "
        "positional argument: 'y'",
        "Message Error: Couldn't apply scheduled task arguments",
        "Message Error: Couldn't apply scheduled task unwritable",
        "beat: Cannot calculate the next run of 'broken', trying again in 5.00 minutes.",
        "beat: Cannot calculate the next run of 'never', trying again in 5.00 minutes.",
        "expected a function that returns a workflow; it returned 3",
        "Scheduler: Sending due task good (add)",
    ):
        assert line in text, line


def test_entries_change_while_beat_runs(bench):
    schedules = bench.app.schedule
    assert bench.run(1) == []
    schedules.add("tenant", bench.add, 10, args=(1, 2), catch_up="all")
    with pytest.raises(ConfigurationError, match="there is one already"):
        schedules.add("tenant", "add", 10, args=(1, 2))
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
        bench.app.schedule.add("own", "total", Own(3), args=([1],))
    with pytest.raises(ConfigurationError, match="a function of a module that composes the workflow"):
        bench.app.schedule.add("flow", lambda: None, 3)


def daily(first, second=2):
    return Workflow("daily", Canvas("other", set_as_current=False))


UNFIT = [
    ({"task": "add", "args": (1,)}, "add() missing 1 required positional argument: 'y'"),
    ({"task": "add", "kwargs": {"x": 1, "z": 2}}, "add() got an unexpected keyword argument 'z'"),
    (
        {"task": lambda app: app.tasks["add"].s(1, 2), "args": (3,)},
        "add() takes 2 positional arguments but 3 were given",
    ),
    ({"task": lambda app: app.tasks["add"].si(1)}, "add() missing 1 required positional argument: 'y'"),
    (
        {"task": lambda app: chord([app.tasks["add"].s(1)], app.tasks["total"].s()), "args": (1, 2)},
        "add() takes 2 positional arguments but 3 were given",
    ),
    ({"task": lambda app: daily}, "daily(): missing a required argument: 'first'"),
    ({"task": lambda app: daily(1), "args": (1,)}, "a workflow takes no args and kwargs; give its inputs"),
]


@pytest.mark.parametrize(("fields", "wrong"), UNFIT, ids=lambda one: one if isinstance(one, str) else "")
def test_arguments_that_do_not_fit_are_refused(bench, fields, wrong):
    made = fields["task"](bench.app) if callable(fields["task"]) else fields["task"]
    with pytest.raises(ConfigurationError, match=re.escape(f"schedule entry 'a': {wrong}")):
        bench.app.schedule.add("a", schedule=10, **{**fields, "task": made})
    assert bench.app.schedule.list() == []


def test_a_change_to_arguments_that_do_not_fit_is_refused(bench):
    bench.app.schedule.add("a", "add", 10, args=(1, 2))
    bench.app.schedule.add("elsewhere", "not registered here", 10, args=(1,))
    with pytest.raises(ConfigurationError, match=r"schedule entry 'a': add\(\) takes 2 positional arguments"):
        bench.app.schedule.update("a", args=(1, 2, 3))
    assert sorted(task for _, task in bench.run(11)) == ["add", "not registered here"]


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


def test_periodic_tasks_are_added_when_the_app_is_configured(bench):
    @bench.app.on_after_configure.connect
    def enter(sender, **_):
        sender.add_periodic_task(10, bench.add.s(1, 2), name="ten", overlap="skip", queue="celery")
        sender.add_periodic_task(crontab(minute="*"), chord([bench.add.s(1, 1)], bench.total.s()), name="chord")
        sender.add_periodic_task(20, bench.total, ([1],), name="task")

    bench.app.import_task_modules()
    assert bench.app.conf.beat_schedule["ten"]["overlap"] == "skip"
    assert Counter(task for _, task in bench.run(31)) == {"add": 2, "total": 1}
