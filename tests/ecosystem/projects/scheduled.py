"""A project with schedulers of its own for beat."""

import os

from celery import Celery
from celery.beat import PersistentScheduler, ScheduleEntry
from celery.schedules import schedule
from celery.signals import beat_init
from celery.utils.log import get_logger

logger = get_logger(__name__)

app = Celery("scheduled", broker=os.environ["BROKER"], task_always_eager=True)
app.conf.beat_schedule = {"often": {"task": "scheduled.ran", "schedule": 0.05, "args": ("the settings",)}}


def note(*words):
    with open(os.path.join(os.environ["FOLDER"], "notes"), "a") as notes:
        notes.write(" ".join(map(str, words)) + "\n")


@app.task
def ran(by):
    note("ran by", by)


@beat_init.connect
def started(sender, **_):
    note("started", type(sender.scheduler).__name__, sender.scheduler.max_interval)


class CountedEntry(ScheduleEntry):
    def is_due(self):
        due, wait = super().is_due()
        if due:
            note("due", self.name)
        return due, wait


class TenantScheduler(PersistentScheduler):
    Entry = CountedEntry

    def setup_schedule(self):
        super().setup_schedule()
        self.add(name="tenant", task="scheduled.ran", schedule=schedule(0.05), args=("a tenant",))
        logger.info("entries: %s", sorted(self.schedule))

    def apply_entry(self, entry, producer=None):
        note("applied", entry.name)
        super().apply_entry(entry, producer=producer)


if "BY_SETTING" in os.environ:
    app.conf.beat_scheduler = TenantScheduler
