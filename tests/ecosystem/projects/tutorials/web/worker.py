"""The worker of a much-read tutorial of FastAPI and Celery."""

import os
import time

from celery import Celery

celery = Celery(__name__)
celery.conf.broker_url = os.environ.get("BROKER", "redis://localhost:6379")
celery.conf.result_backend = os.environ.get("RESULTS", "redis://localhost:6379")


@celery.task(name="create_task")
def create_task(task_type):
    time.sleep(int(task_type) * 0.1)
    return True
