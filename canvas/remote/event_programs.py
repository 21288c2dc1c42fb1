"""``app.events.Receiver``: events in programs, under Celery's names."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from canvas.caller_warnings import ends_in_caller
from canvas.errors import ConfigurationError
from canvas.remote.events import Event, EventApp, Events


@ends_in_caller("capture", "itercapture")
class EventReceiver:
    """Calls ``handlers`` with the events of workers and clients.

    ``handlers``: by type, such as ``task-failed``; ``"*"`` gets every other type.
    """

    app: EventApp

    def __init__(
        self, channel: Any = None, handlers: Mapping[str, Callable[[Event], Any]] | None = None,
        routing_key: str = "#", node_id: str | None = None, app: EventApp | None = None,
        queue_prefix: str | None = None, accept: Collection[str] | None = None, queue_ttl: float | None = None,
        queue_expires: float | None = None, queue_exclusive: bool | None = None, queue_durable: bool | None = None,
    ) -> None:  # fmt: skip
        """``channel`` may be a connection; the app's own is used. ``routing_key``: the kinds of events to read.

        The queue of events is the app's, by its settings ``event_queue_…``. Raises ConfigurationError for a
        ``queue_…`` that differs from its setting, and for an ``accept`` without JSON, which events are written in.
        """
        if app is not None:
            self.app = app
        conf = self.app.conf
        asked = {
            "prefix": (queue_prefix, conf.event_queue_prefix), "ttl": (queue_ttl, conf.event_queue_ttl),
            "expires": (queue_expires, conf.event_queue_expires),
            "exclusive": (queue_exclusive, conf.event_queue_exclusive),
            "durable": (queue_durable, conf.event_queue_durable),
        }  # fmt: skip
        for name, (given, setting) in asked.items():
            if given is not None and given != setting:
                raise ConfigurationError(
                    f"EventReceiver: queue_{name}={given!r}: receivers of an app share their settings; set "
                    f"event_queue_{name}, which is {setting!r}"
                )
        if accept is not None and not {"json", "application/json"} & set(accept):
            raise ConfigurationError(f"EventReceiver: accept={list(accept)!r}: events are JSON; add 'json'")
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

    def event_from_message(
        self, body: Event, localize: bool = True, now: Callable[[], float] = time.time
    ) -> tuple[str, Event]:
        """The type of an event, and the event with ``local_received``, the unix time ``now()``. ``localize`` has no
        effect: the times of events are unix times, which are equal in all zones."""
        return body["type"], {**body, "local_received": now()}

    def wakeup_workers(self, channel: Any = None) -> None:
        """Ask workers for a heartbeat."""
        self.app.control.broadcast("heartbeat")
