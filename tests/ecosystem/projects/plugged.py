"""A project with Celery's plug-ins, as their guides have it."""

import os
import time

from asgi_correlation_id import correlation_id
from asgi_correlation_id.extensions.celery import load_correlation_ids
from celery import Celery
from celery_dyrygent.tasks import register_workflow_processor
from celery_once import QueueOnce
from celery_progress.backend import ProgressRecorder
from celery_singleton import Singleton

app = Celery("plugged", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
app.conf.ONCE = {
    "backend": "celery_once.backends.Redis", "settings": {"url": os.environ["BROKER"], "default_timeout": 60},
}  # fmt: skip
load_correlation_ids()
workflow_processor = register_workflow_processor(app)


@app.task(base=QueueOnce)
def once(n):
    time.sleep(1)
    return n


@app.task(base=Singleton)
def single(n):
    time.sleep(1)
    return n


@app.task
def correlation():
    return correlation_id.get()


@app.task(bind=True)
def progress(self):
    ProgressRecorder(self).set_progress(1, 4, "begun")
    time.sleep(1)
    return "done"


@app.task
def add(x, y):
    return x + y
