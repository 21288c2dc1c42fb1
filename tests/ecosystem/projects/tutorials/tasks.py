"""Celery's guide, "First Steps": the module, with the periodic tasks of its page of that name."""

import os

from celery import Celery
from celery.schedules import crontab

app = Celery("tasks", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
app.conf.update(task_serializer="json", accept_content=["json"], result_serializer="json", timezone="Europe/Oslo",
                enable_utc=True)  # fmt: skip


@app.task
def add(x, y):
    return x + y


@app.task
def test(arg):
    print(arg)


@app.on_after_configure.connect
def setup_periodic_tasks(sender: Celery, **kwargs):
    sender.add_periodic_task(0.2, test.s("hello"), name="add every 10")
    sender.add_periodic_task(30.0, test.s("world"), expires=10)
    sender.add_periodic_task(crontab(hour=7, minute=30, day_of_week=1), test.s("Happy Mondays!"))
