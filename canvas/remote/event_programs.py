"""Events in programs, under Celery's names: ``app.events.Receiver`` and ``app.events.Dispatcher``."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

from canvas.remote.events import Event, EventApp, Events, EventSource


class EventReceiver:
    """Calls ``handlers`` with the events of workers and clients.

    ``handlers``: by type, such as ``task-failed``; ``"*"`` gets every other type.
    """

    app: EventApp

    def __init__(
        self, channel: Any = None, handlers: Mapping[str, Callable[[Event], Any]] | None = None,
        routing_key: str = "#", node_id: str | None = None, app: EventApp | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """``channel`` may be a connection; the app's own is used. ``routing_key``: the kinds of events to read."""
        if app is not None:
            self.app = app
        self.handlers = dict(handlers or {})
        self.routing_key = routing_key
        self.node_id = node_id
        self.should_stop = False

    def capture(self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True) -> None:
        """Handle events: at most ``limit``, until none has arrived for ``timeout`` seconds, or ``should_stop`` is set.

        With ``wakeup`` workers are asked for a heartbeat first.
        """
        for _ in self.itercapture(limit, timeout, wakeup):
            pass

    def itercapture(
        self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True
    ) -> Iterator[Event]:
        """``capture``, which gives each event after it was handled."""
        for event in Events(self.app).capture(limit=limit, timeout=timeout, wakeup=wakeup):
            if not self._is_wanted(event["type"]):
                continue
            kind, received = self.event_from_message(event)
            self.process(kind, received)
            yield received
            if self.should_stop:
                return

    def _is_wanted(self, kind: str) -> bool:
        wanted = self.routing_key.rstrip("#").rstrip(".")
        return kind.replace("-", ".").startswith(wanted)

    def process(self, type: str, event: Event) -> None:
        """Call the handler of an event."""
        handler = self.handlers.get(type) or self.handlers.get("*")
        if handler is not None:
            handler(event)

    def event_from_message(self, body: Event, localize: bool = True, **options: Any) -> tuple[str, Event]:
        """The type of an event, and the event with ``local_received``, the unix time of now."""
        return body["type"], {**body, "local_received": time.time()}

    def wakeup_workers(self, channel: Any = None) -> None:
        """Ask workers for a heartbeat."""
        self.app.control.broadcast("heartbeat")


class EventDispatcher:
    """Sends events of this program. As a context manager it is closed at the end."""

    app: EventApp

    def __init__(
        self, connection: Any = None, hostname: str | None = None, enabled: bool = True, channel: Any = None,
        buffer_while_offline: bool = True, app: EventApp | None = None, groups: Iterable[str] | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        """``hostname``: the sender's, by default this machine's. ``groups``: the kinds that are sent, such as ``task``
        for ``task-…``; all without them."""
        if app is not None:
            self.app = app
        self.hostname = hostname or self.app.client.origin()
        self.enabled = enabled
        self.groups = set(groups or ())
        self._source = EventSource(self.app, lambda: self.hostname, partial(next, count(1)))

    def send(
        self, type: str, blind: bool = False, utcoffset: Any = None, retry: bool = False, retry_policy: Any = None,
        Event: Any = None, **fields: Any,
    ) -> None:  # fmt: skip
        """Send an event, unless the dispatcher is disabled or has other groups. Raises OperationalError.

        ``fields`` are the event's; the other arguments are accepted, as Celery's.
        """
        group = type.partition("-")[0]
        if self.enabled and (not self.groups or group in self.groups):
            self._source.send(type.replace("-", "."), self._source.event(type, **fields))

    def publish(self, type: str, fields: Mapping[str, Any], producer: Any = None, **options: Any) -> None:
        """``send``."""
        self.send(type, **fields)

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def flush(self, *kinds: Any) -> None:
        """Nothing: events are sent at once."""

    def close(self) -> None:
        """Send nothing more."""
        self.enabled = False

    def __enter__(self) -> "EventDispatcher":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
