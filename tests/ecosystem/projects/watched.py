"""A project with Sentry, set up as Sentry's guide for Celery has it."""

import json
import os
from pathlib import Path

import sentry_sdk
from celery import Celery
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport


class ToFile(Transport):
    def capture_envelope(self, envelope):
        with (Path(os.environ["FOLDER"]) / "sentry").open("a") as file:
            for item in envelope.items:
                if item.type in ("event", "transaction"):
                    file.write(json.dumps(item.payload.json, default=str) + "\n")


def sampled(context):
    """Tasks by their first argument, which Celery's integration gives samplers, too."""
    return "celery_job" not in context or context["celery_job"]["args"] != [0, 0]


sentry_sdk.init(
    dsn="https://key@localhost/1", transport=ToFile, traces_sampler=sampled, integrations=[CeleryIntegration()],
    send_default_pii=True,
)  # fmt: skip
app = Celery("watched", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])


@app.task
def add(x, y):
    sentry_sdk.add_breadcrumb(message=f"adding {x}")
    return x + y


@app.task
def fails(x):
    raise ValueError(x)


@app.task(throws=(KeyError,))
def expected():
    raise KeyError("expected")


@app.task(bind=True, max_retries=1)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=0)
    return "done"
