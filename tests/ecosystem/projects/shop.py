"""A shop: settings under a namespace, crontabs, routers, signals, kombu's objects, serializers, types, logs."""

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ParamSpec, TypeVar

import celery.app.trace
import kombu
from celery import Celery, Task, bootsteps, current_app, current_task, shared_task, signals
from celery.app import app_or_default
from celery.app.log import TaskFormatter
from celery.result import AsyncResult, allow_join_result
from celery.schedules import crontab
from celery.signals import before_task_publish, task_failure, task_postrun, task_prerun, task_success
from celery.utils.log import get_task_logger
from celery.utils.serialization import strtobool
from kombu import serialization

FOLDER = Path(os.environ["FOLDER"])
P, R = ParamSpec("P"), TypeVar("R")
log = get_task_logger(__name__)
celery.app.trace.LOG_SUCCESS = "DONE %(name)s"


def note(what):
    with (FOLDER / "notes").open("a") as notes:
        notes.write(f"{what}\n")


settings = SimpleNamespace(
    CELERY_BROKER_URL=os.environ["BROKER"],
    CELERY_RESULT_BACKEND=os.environ["RESULTS"],
    CELERY_TASK_TRACK_STARTED=strtobool("yes"),
    CELERY_SEND_TASK_SENT_EVENT=True,
    CELERY_EMAIL_BACKEND="of the project",
    CELERY_SHOP_OPENS="09:00",
    CELERY_ACCEPT_CONTENT=["json", "backwards"],
    CELERY_TASK_ROUTES=("shop.Router", {"shop.slow_*": {"queue": "slow"}}),
    CELERY_TASK_QUEUES=[kombu.Queue("celery"), kombu.Queue("slow", kombu.Exchange("slow"), routing_key="slow")],
    CELERY_BROKER_TRANSPORT_OPTIONS={"priority_steps": list(range(10)), "sep": ":", "queue_order_strategy": "priority"},
    CELERY_BEAT_SCHEDULE={"nightly": {"task": "shop.add", "schedule": crontab(minute=0, hour="3,4"), "args": (1, 2)}},
)


class Router:
    def route_for_task(self, task, args=None, kwargs=None):
        return {"queue": "celery", "priority": 7} if task == "shop.urgent" else None


app = Celery("shop")
app.config_from_object(settings, namespace="CELERY")
serialization.register(
    "backwards", lambda value: json.dumps(value)[::-1], lambda text: json.loads(text[::-1]), "application/x-backwards"
)


class Typed(Task[P, R]):
    abstract = True

    def on_success(self, retval, task_id, args, kwargs):
        note(f"on_success {self.name} {retval}")


class Watched(Task):
    abstract = True

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note(f"on_failure {self.name} {type(exc).__name__} {list(args)} {'TimeLimitExceeded' in str(einfo)}")

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        note(f"after_return {self.name} {status} {type(retval).__name__}")


def result_of(result: AsyncResult[int]) -> int:
    with allow_join_result():
        return result.get()


@shared_task(base=Typed)
def add(x, y):
    log.info("adding")
    return x + y


@app.task(bind=True)
def urgent(self):
    return [self.request.delivery_info["priority"], current_task.name, current_app.main, app_or_default().main]


@app.task(name="shop.slow_count")
def slow_count():
    return current_task.request.delivery_info["routing_key"]


@app.task
def fails():
    raise KeyError("nothing")


@app.task(base=Watched, time_limit=1)
def endless(seconds):
    time.sleep(seconds)


@app.task(bind=True)
def tells(self):
    self.send_event("task-progress", percent=50)
    return self.request_stack.top.id == self.request.id


@before_task_publish.connect
def stamp(headers=None, **kwargs):
    headers["tenant"] = "blue"


@task_prerun.connect
def before(sender=None, task=None, **kwargs):
    note(f"prerun {task.request.id is not None} {task.request.tenant} {current_task.name}")


@task_success.connect
def success(sender=None, result=None, **kwargs):
    note(f"success {sender.request.tenant}")


@task_failure.connect
def failure(sender=None, task_id=None, exception=None, einfo=None, **kwargs):
    note(f"failure {sender.request.id == task_id} {type(exception).__name__} {'KeyError' in str(einfo)}")


@task_postrun.connect
def after(sender=None, task=None, state=None, **kwargs):
    note(f"postrun {task.request.tenant} {state}")


@signals.after_setup_task_logger.connect
def format_log(logger=None, **kwargs):
    for handler in logger.handlers:
        handler.setFormatter(TaskFormatter("TASKLOG %(task_name)s %(message)s"))


class Letters(bootsteps.ConsumerStep):
    """Messages that are not tasks, as in Celery's guide."""

    def get_consumers(self, channel):
        queue = kombu.Queue("letters", kombu.Exchange("letters"), routing_key="letters")
        return [kombu.Consumer(channel, queues=[queue], callbacks=[self.read], accept=["json"])]

    def read(self, body, message):
        note(f"letter {body['text']}")
        message.ack()


app.steps["consumer"].add(Letters)
