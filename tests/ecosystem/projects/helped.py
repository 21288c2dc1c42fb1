"""A project with packages for tasks, schedules and reports of errors, as their guides have them."""

import os
import time

import bugsnag
import redis
import rollbar
from bugsnag.celery import connect_failure_handler
from celery import Celery
from celery.signals import task_failure
from celery_eternal import EternalTask
from celery_heimdall import HeimdallTask
from celery_pydantic import pydantic_celery
from pydantic import BaseModel

app = Celery("helped", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
app.conf.update(
    beat_dburi=f"sqlite:///{os.environ['FOLDER']}/schedule.db", beat_schema=None, beat_max_loop_interval=1,
    beat_scheduler="sqlalchemy_celery_beat.schedulers:DatabaseScheduler",
)  # fmt: skip
pydantic_celery(app)
noted = redis.Redis.from_url(os.environ["RESULTS"])
"""Where the parts of the project leave what the client looks at."""

bugsnag.configure(api_key="0" * 32, asynchronous=False, auto_capture_sessions=False)


def report_to_bugsnag(event):
    noted.set("bugsnag", f"{event.context}: {event.errors[0].error_class}")
    return False


bugsnag.before_notify(report_to_bugsnag)
connect_failure_handler()
rollbar.init("x" * 32, "test", handler="blocking", allow_logging_basic_config=False)
rollbar.send_payload = lambda payload, token: noted.set(
    "rollbar", payload["data"]["body"]["trace"]["exception"]["class"]
)


@task_failure.connect
def report_to_rollbar(**about):
    rollbar.report_exc_info(extra_data={name: str(value) for name, value in about.items()})


class User(BaseModel):
    name: str
    age: int


@app.task
def birthday(user: User):
    return User(name=user.name, age=user.age + 1)


@app.task(base=HeimdallTask, heimdall={"unique": True, "unique_raises": True, "key": lambda args, kwargs: "one"})
def unique(number):
    time.sleep(1)
    return number


@app.task(base=EternalTask, bind=True)
def eternal(self):
    noted.incr("eternal")
    time.sleep(0.1)


@app.task
def tick(where):
    noted.incr(where)


@app.task
def fail():
    raise ValueError("no")
