"""Waiting for the servers when a worker starts, as Celery's does (``broker_connection_retry_on_startup``)."""

import time
from itertools import count

from canvas.app import Canvas
from canvas.errors import OperationalError
from canvas.telemetry import emit

_FIRST_PAUSE = _LONGER_BY = 2.0
_LAST_PAUSE = 30.0


def connect(app: Canvas) -> None:
    """Return when the broker and the results answer.

    Raises OperationalError when they have not after ``broker_connection_max_retries`` (``None``, 0: no end), at once
    where there is to be no retry.
    """
    conf = app.conf
    again = conf.broker_connection_retry_on_startup
    if again is None:
        again = conf.broker_connection_retry
    most = conf.broker_connection_max_retries
    for tries in count(1):
        try:
            _call(app)
            return
        except OperationalError as exc:
            if not again or (most and tries > most):
                raise
            pause = min(_FIRST_PAUSE + _LONGER_BY * (tries - 1), _LAST_PAUSE)
            emit("broker.awaited", error=str(exc), seconds=pause, tries=tries, most=most)
            time.sleep(pause)


def _call(app: Canvas) -> None:
    app.driver.broker.next_due()
    if app.driver.results is not None:
        app.driver.results.get(["any"])
