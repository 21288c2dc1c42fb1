"""Set-ups that public projects have: app classes, bases, routers, kombu's queues, steps, commands, hooks of requests."""

import os
import time
from datetime import timedelta

import click
from celery import Celery, Task, bootsteps, chord, current_app, current_task, group, shared_task
from celery.app.task import Context
from celery.contrib.abortable import AbortableTask
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.result import allow_join_result
from celery.schedules import crontab
from celery.utils.log import get_task_logger
from celery.worker.control import control_command, inspect_command
from celery.worker.request import Request
from kombu import Exchange, Queue, binding
from kombu.serialization import register
from kombu.utils.encoding import bytes_to_str

logger = get_task_logger(__name__)
register("words", repr, lambda text: eval(bytes_to_str(text)), "application/x-words", "utf-8")


class PortalTask(Task):
    abstract = True
    _connection = None

    @property
    def connection(self):
        if self._connection is None:
            self._connection = object()
        return self._connection

    def apply_async(self, args=None, kwargs=None, task_id=None, producer=None, link=None, link_error=None, **options):
        options.setdefault("headers", {})["tenant"] = "one"
        return super().apply_async(args, kwargs, task_id, producer, link, link_error, **options)


class Portal(Celery):
    task_cls = PortalTask

    def gen_task_name(self, name, module):
        return super().gen_task_name(name, module.removesuffix(".tasks"))


class Router:
    def route_for_task(self, name, args=None, kwargs=None, options=None, task=None, **others):
        return {"queue": "heavy", "priority": 5} if name.endswith("heavy") else None


class Config:
    broker_url = os.environ["BROKER"]
    result_backend = os.environ["RESULTS"]
    media = Exchange("media", type="direct")
    task_queues = (
        Queue("celery", Exchange("celery"), routing_key="celery"),
        Queue("heavy", Exchange("heavy"), routing_key="heavy", queue_arguments={"x-max-priority": 10}),
        Queue("media", [binding(media, routing_key="video"), binding(media, routing_key="image")]),
    )
    task_routes = (Router(), {"portal.other.*": {"queue": "heavy"}})
    task_annotations = {"portal.annotated": {"rate_limit": "100/s", "max_retries": 7}}
    accept_content = ["json", "words"]
    beat_schedule = {
        "often": {"task": "portal.add", "schedule": timedelta(seconds=30), "args": (1, 2), "options": {"expires": 15}},
        "daily": {"task": "portal.add", "schedule": crontab(hour=7), "kwargs": {"x": 1, "y": 2}},
    }
    broker_transport_options = {"visibility_timeout": 3600, "queue_order_strategy": "priority"}
    result_backend_transport_options = {"global_keyprefix": "portal_"}
    result_extended = True
    task_acks_late = True
    task_send_sent_event = True


app = Portal("portal")
app.config_from_object(Config)
app.user_options["worker"].add(click.Option(("--portal-option",), is_flag=True))


class Probe(bootsteps.StartStopStep):
    requires = {"celery.worker.components:Timer"}

    def __init__(self, parent, portal_option=False, **options):
        self.option = portal_option

    def start(self, parent):
        self.timer = parent.timer.call_repeatedly(0.2, self.touch, (parent,), priority=10)

    def stop(self, parent):
        self.timer.cancel()

    def touch(self, parent):
        with open(os.path.join(os.environ["FOLDER"], "alive"), "w") as file:
            file.write(f"{self.option}")


app.steps["worker"].add(Probe)


@control_command(args=[("n", int)], signature="[N=1]")
def add_one(state, n=1):
    return {"ok": n + 1, "app": state.app.main}


@inspect_command(default_timeout=2.0)
def has_consumer(state):
    return {"consumer": state.consumer is not None}


class Told(Request):
    def on_failure(self, exc_info, send_failed_event=True, return_ok=False):
        with open(os.path.join(os.environ["FOLDER"], "failed"), "w") as file:
            file.write(type(exc_info.exception).__name__)
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)


class ToldTask(PortalTask):
    Request = Told


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, serializer="words")
def context(self, word):
    request = self.request
    return [
        word, request.headers.get("tenant"), request.delivery_info["routing_key"], request.retries, request.is_eager,
        isinstance(request, Context), request.root_id == request.id, current_task.name, request.correlation_id == request.id,
    ]  # fmt: skip


@app.task
def heavy():
    return current_task.request.delivery_info["routing_key"]


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def flaky(self):
    try:
        raise ZeroDivisionError("flaky")
    except ZeroDivisionError as exc:
        raise self.retry(exc=exc, countdown=0) from exc


@app.task(bind=True)
def ignored(self):
    self.update_state(state="PROGRESS", meta={"done": 1})
    raise Ignore


@app.task(soft_time_limit=1)
def soft():
    try:
        time.sleep(10)
    except SoftTimeLimitExceeded:
        return "soft"


@app.task
def joins():
    with allow_join_result():
        return add.delay(1, 1).get(timeout=10, disable_sync_subtasks=False)


@app.task(bind=True)
def replaced(self):
    raise self.replace(chord([add.s(1, 1), add.s(2, 2)], total.s()))


@app.task(name="portal.annotated")
def annotated():
    return [current_task.max_retries, current_task.rate_limit]


@app.task(base=ToldTask)
def fails():
    raise KeyError("on purpose")


@app.task(bind=True, base=AbortableTask)
def abortable(self):
    for _ in range(200):
        if self.is_aborted():
            return "aborted"
        time.sleep(0.05)
    return "done"


@shared_task(bind=True, base=PortalTask)
def shared(self):
    return [type(self).__mro__[1].__name__, self.connection is self.connection, current_app.main]


class Doubles(PortalTask):
    name = "portal.doubles"

    def run(self, x):
        return x * 2


doubles = app.register_task(Doubles())


def fan(n):
    return group(add.s(i, i) for i in range(n))
