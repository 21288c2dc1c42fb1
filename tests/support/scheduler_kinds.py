"""The scheduler classes of canvas and of Celery, and a subclass as programs write them."""

import celery.beat
import pytest
from celery import Celery

from canvas import Canvas
from canvas.beat.scheduler_classes import entries, persistent, scheduler

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
