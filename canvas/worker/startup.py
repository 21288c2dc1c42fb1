"""Waiting for the servers when a worker starts, as Celery's does (``broker_connection_retry_on_startup``)."""

from threading import Event

from canvas.app.application import Canvas
from canvas.drivers.retry_policy import delays
from canvas.errors import OperationalError
from canvas.telemetry import emit

_PAUSES = {"interval_start": 2.0, "interval_step": 2.0, "interval_max": 30.0}


def connect(app: Canvas, ended: Event) -> None:
    """Return when the broker and the results answer, or when ``ended`` is set.

    Raises OperationalError when they have not after ``broker_connection_max_retries`` (``None``, 0: no end), at once
    where there is to be no retry.
    """
    conf = app.conf
    again = conf.broker_connection_retry_on_startup
    if again is None:
        again = conf.broker_connection_retry
    most = (conf.broker_connection_max_retries or None) if again else 0
    for tries, pause in enumerate(delays({**_PAUSES, "max_retries": most}), start=1):
        try:
            return _call(app)
        except OperationalError as exc:
            emit("broker.retrying", error=str(exc), seconds=pause, tries=tries, most=most)
            if ended.wait(pause):
                return None
    return _call(app)


def _call(app: Canvas) -> None:
    app.driver.broker.next_due()
    if app.driver.results is not None:
        app.driver.results.get(["any"])
