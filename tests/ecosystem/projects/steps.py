"""Bootsteps, options of the command line, requests with hooks, a loader, the worker's state: as Celery's guides have it."""

import os
from pathlib import Path
from time import time

from celery import Celery, Task, bootsteps, signals
from celery.exceptions import SoftTimeLimitExceeded
from celery.loaders.app import AppLoader
from celery.worker import state as worker_state
from celery.worker.control import control_command
from celery.worker.request import Request
from click import Option

FOLDER = Path(os.environ["FOLDER"])


def note(what):
    with (FOLDER / "notes").open("a") as notes:
        notes.write(f"{what}\n")


class Loader(AppLoader):
    def on_worker_init(self):
        note("loader: worker init")

    def on_task_init(self, task_id, task):
        note(f"loader: {task.name}")


app = Celery("steps", broker=os.environ["BROKER"], backend=os.environ["RESULTS"], loader=Loader)
app.user_options["worker"].add(Option(("--beacon",), is_flag=True, default=False, help="Write a file."))
app.user_options["worker"].add(Option(("--colour",), default="green", help="Of the file."))


class Beacon(bootsteps.StartStopStep):
    """The liveness probe of many projects: a file that the worker's timer touches."""

    requires = {"celery.worker.components:Timer"}

    def __init__(self, worker, beacon=False, colour=None, **options):
        note(f"init {beacon} {colour} {worker.hostname}")
        self.enabled = beacon
        self.tref = None

    def start(self, worker):
        note("start beacon")
        self.tref = worker.timer.call_repeatedly(0.05, self.touch, (worker,), priority=10)

    def touch(self, worker):
        (FOLDER / "beacon").write_text(f"{time()} {worker.concurrency}")

    def stop(self, worker):
        note("stop beacon")
        (FOLDER / "beacon").unlink(missing_ok=True)


class After(bootsteps.Step):
    requires = (Beacon,)

    def create(self, parent):
        note("create after")


class Unused(bootsteps.StartStopStep):
    def include_if(self, parent):
        return False

    def start(self, parent):
        note("never")


class OfConsumer(bootsteps.StartStopStep):
    requires = {"celery.worker.consumer.tasks:Tasks"}

    def start(self, c):
        note(f"consumer of {c.controller.hostname}")

    def stop(self, c):
        note("stop consumer")


app.steps["worker"].add(After)
app.steps["worker"].add(Beacon)
app.steps["worker"].add(Unused)
app.steps["consumer"].add(OfConsumer)


class Watched(Request):
    def on_accepted(self, pid, time_accepted):
        super().on_accepted(pid, time_accepted)
        note(f"accepted {self.task.name}")

    def on_timeout(self, soft, timeout):
        super().on_timeout(soft, timeout)
        note(f"timeout {'soft' if soft else 'hard'} {timeout}")

    def on_success(self, failed__retval__runtime, **kwargs):
        super().on_success(failed__retval__runtime, **kwargs)
        note(f"success {failed__retval__runtime[1]}")

    def on_retry(self, exc_info):
        super().on_retry(exc_info)
        note(f"retry {exc_info.exception}")

    def on_failure(self, exc_info, send_failed_event=True, return_ok=False):
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        note(f"failure {type(exc_info.exception).__name__} {self.name} {self.id == self.task_id}")


class Base(Task):
    Request = "steps:Watched"

    @classmethod
    def on_bound(cls, app):
        note(f"bound {app.main}")


@app.task(base=Base, bind=True, max_retries=1)
def flaky(self):
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return "flaky is done"


@app.task(base=Base)
def fails():
    raise ValueError("as asked")


@app.task(base=Base, soft_time_limit=0.2)
def slow():
    import time

    try:
        time.sleep(30)
    except SoftTimeLimitExceeded:
        return "was told"


@app.task(base=Base, time_limit=0.3)
def too_slow():
    import time

    time.sleep(30)


@app.task
def running():
    return [request.name for request in worker_state.active_requests]


@control_command()
def counts(state):
    node = state.consumer.controller
    return {"total": sum(worker_state.total_count.values()), "places": node.pool.num_processes}


@signals.worker_ready.connect
def at_ready(sender=None, **kwargs):
    with sender.app.connection() as connection:
        queue = connection.default_channel.queue_declare(queue="other")
    note(f"ready {queue.message_count} {sender.controller.concurrency} {sender.hostname}")
    note(f"pool {type(sender.pool).__module__} {type(sender.controller.pool).__name__}")
    note(f"takes {[queue.name for queue in sender.task_consumer.queues]}")
