"""Consumers of kombu that a worker runs beside canvas' own, for bootsteps."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from canvas.app.application import Canvas
from canvas.execution.background import BackgroundService

_log = logging.getLogger("celery.worker.consumer")
_LOOKS_EVERY = 1.0
"""Seconds between two checks whether to stop."""
_PAUSE = 2.0
"""Seconds before it connects again."""


class Consuming:
    """Consumers on a thread with a connection to the app's broker. A lost connection is made again."""

    def __init__(self, app: Canvas, make: Callable[[Any], Iterable[Any]], name: str) -> None:
        """``make`` gives the consumers of a channel; ``name`` is the step's, for the log.

        Raises ConfigurationError where kombu is not installed, or does not know the broker.
        """
        self._connect = app.amqp.connect
        self._make = make
        self._name = name
        self._service = BackgroundService(name, self._drain, last=self._close)
        self._connection: Any = None
        self.consumers: list[Any] = []

    def start(self) -> None:
        """Consume from now on. Raises the errors of the connection, and of the function that makes the consumers."""
        self._open()
        self._service.start()

    def _open(self) -> None:
        self._connection = self._connect()
        self._connection.ensure_connection(max_retries=3)
        self.consumers[:] = list(self._make(self._connection.channel()) or ())
        for consumer in self.consumers:
            consumer.consume()

    def _drain(self) -> float:
        """Consume for some time. Returns the seconds until the next call."""
        try:
            if self._connection is None:
                self._open()
            self._connection.drain_events(timeout=_LOOKS_EVERY)
        except TimeoutError:
            return 0.0
        except Exception:  # noqa: BLE001 - it is the user's code; it is logged, and the next call is made
            _log.exception("%s: its consumers stopped; they start again", self._name)
            self._close()
            return _PAUSE
        return 0.0

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    def stop(self) -> None:
        """Consume no more, and close the connection."""
        self._service.stop(within=2 * _LOOKS_EVERY + _PAUSE)
