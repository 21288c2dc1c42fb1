"""An app with a logging configuration of its own, defined with canvas or with Celery: each handler notes its records.

The environment decides, besides ``APP_LIBRARY`` and so on: ``LOG_CASE`` (``keep``: worker_hijack_root_logger is off;
``hijack``; ``custom``: a setup_logging receiver configures logging), ``LOG_NOTES`` (the file of notes).
"""

import json
import logging
import logging.config
import os
import sys

if os.environ["APP_LIBRARY"] == "celery":
    from celery import Celery as Canvas
    from celery import signals
    from celery.exceptions import Ignore, Reject
    from celery.utils.log import get_task_logger
else:
    from canvas import Canvas, signals
    from canvas.errors import Ignore, Reject
    from canvas.log import get_task_logger

CASE = os.environ["LOG_CASE"]
logger = get_task_logger("some.module")


class Notes(logging.Handler):
    def __init__(self, label):
        super().__init__()
        self.label = label

    def emit(self, record):
        data = getattr(record, "data", None)
        # What canvas and Celery write of their own, such as of connections, differs.
        if record.name in ("celery.app.trace", "celery.worker.strategy", "celery.redirected", "some.module", "plain"):
            exc_info = record.exc_info[0].__name__ if record.exc_info else None
            note = [self.label, record.name, record.levelname, record.getMessage(), exc_info,
                    sorted(data) if data else None, record.processName]  # fmt: skip
            with open(os.environ["LOG_NOTES"], "a") as file:
                file.write(json.dumps(note) + "\n")


LABELS = ("root", "celery", "celery.app.trace", "celery.task", "celery.redirected")


def configure(labels=LABELS):
    logging.config.dictConfig({
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {label: {"()": Notes, "label": label} for label in labels},
        "loggers": {
            **{label: {"handlers": [label]} for label in labels if label != "root"},
            "celery.worker.strategy": {"level": "WARNING" if CASE == "custom" else "INFO"},
        },
        "root": {"handlers": ["root"], "level": "INFO"},
    })  # fmt: skip


app = Canvas("logs", broker=os.environ["APP_BROKER"], backend=os.environ["APP_BACKEND"])
app.conf.update(worker_hijack_root_logger=CASE == "hijack", worker_redirect_stdouts_level="ERROR")
if CASE == "custom":
    signals.setup_logging.connect(lambda **_: configure(("root", "celery")), weak=False)
else:
    configure()


@signals.after_setup_logger.connect(weak=False)
@signals.after_setup_task_logger.connect(weak=False)
def ready(logger, loglevel, logfile, format, colorize, sender=None, **_):
    with open(os.environ["LOG_NOTES"], "a") as file:
        note = ["ready", logger.name, loglevel, logfile, format, colorize, bool(logger.propagate)]
        file.write(json.dumps(note) + "\n")


@app.task(name="l.succeeds")
def succeeds(x):
    return x


@app.task(name="l.fails", throws=(KeyError,))
def fails(expected):
    raise KeyError("gone") if expected else ValueError("wrong")


@app.task(name="l.retries", bind=True, max_retries=1, default_retry_delay=0)
def retries(self):
    if not self.request.retries:
        raise self.retry(exc=OSError("away"), countdown=0)


@app.task(name="l.refuses")
def refuses(how):
    raise Ignore if how == "ignore" else Reject("not now", requeue=False)


@app.task(name="l.writes")
def writes():
    logger.warning("from the task logger")
    logging.getLogger("plain").warning("from a plain logger")
    print("printed")
    print("to stderr", file=sys.stderr)
