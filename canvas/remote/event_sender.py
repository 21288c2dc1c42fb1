"""``app.events.Dispatcher``: events that programs send, under Celery's names."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import count
from typing import Any

from canvas.caller_warnings import ends_in_caller
from canvas.drivers.retry_policy import check_policy, delays, tried
from canvas.errors import BrokerError, ConfigurationError
from canvas.remote.events import Event, EventApp, EventSource


@ends_in_caller("send", "publish", "flush")
class EventDispatcher:
    """Sends events of this program. As a context manager it is closed at the end."""

    app: EventApp

    def __init__(
        self, connection: Any = None, hostname: str | None = None, enabled: bool = True, channel: Any = None,
        buffer_while_offline: bool = True, app: EventApp | None = None, serializer: str | None = None,
        groups: Iterable[str] | None = None, delivery_mode: int = 1, buffer_group: Collection[str] | None = None,
        buffer_limit: int = 24, on_send_buffered: Callable[[], Any] | None = None,
    ) -> None:  # fmt: skip
        """``connection`` and ``channel`` may be given; the app's own are used.

        ``hostname``: the sender's, by default this machine's. ``groups``: the kinds that are sent, such as ``task`` for
        ``task-…``; all without them. ``buffer_while_offline``: events that the broker does not take are kept for
        ``flush``; otherwise sending them raises. Events of the kinds in ``buffer_group`` are kept, too, until there
        are ``buffer_limit`` of one kind, and then sent in one message; ``on_send_buffered`` is called after each that
        is kept. ``delivery_mode``: 2 for messages that RabbitMQ writes to disk. Raises ConfigurationError for another
        ``serializer`` than JSON.
        """
        if app is not None:
            self.app = app
        if serializer not in (None, "json"):
            raise ConfigurationError(f"EventDispatcher: serializer={serializer!r}: events are sent as JSON")
        self.hostname = hostname or self.app.client.origin()
        self.enabled = enabled
        self.groups = set(groups or ())
        self.serializer, self.delivery_mode = "json", delivery_mode
        self.buffer_while_offline = buffer_while_offline
        self.buffer_group, self.buffer_limit = frozenset(buffer_group or ()), buffer_limit
        self.on_send_buffered = on_send_buffered
        self.on_enabled: set[Callable[[], Any]] = set()
        self.on_disabled: set[Callable[[], Any]] = set()
        self._unsent: list[tuple[Any, str]] = []
        self._kept: defaultdict[str, list[Event]] = defaultdict(list)
        self._mutex = threading.RLock()
        self._closed = False
        self._source = EventSource(self.app, lambda: self.hostname, partial(next, count(1)), delivery_mode)

    def send(
        self, type: str, blind: bool = False, utcoffset: Callable[[], float] | None = None, retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None, Event: Callable[..., Any] | None = None, **fields: Any,
    ) -> None:  # fmt: skip
        """Send an event, unless the dispatcher is disabled, closed, or has other groups.

        ``blind``: the event has no time of the logical clock. ``utcoffset`` gives the hours by which UTC is ahead.
        ``retry``: try again while the broker is unreachable, as ``retry_policy`` says. ``Event`` is called with the
        type and the fields, for what is sent. Raises OperationalError without ``buffer_while_offline``, and TypeError
        for an unknown key of the policy.
        """
        group = type.partition("-")[0]
        if not self.enabled or (self.groups and group not in self.groups):
            return
        event = self._event(type, fields, blind, utcoffset, Event)
        if group not in self.buffer_group:
            with self._mutex:
                if not self._closed:
                    self._publish(event, type.replace("-", "."), retry, retry_policy)
            return
        with self._mutex:
            self._kept[group].append(event)
            full = len(self._kept[group]) >= self.buffer_limit
        if full:
            self.flush()
        elif self.on_send_buffered is not None:
            self.on_send_buffered()

    def publish(
        self, type: str, fields: Mapping[str, Any], producer: Any = None, blind: bool = False,
        Event: Callable[..., Any] | None = None, retry: bool = False, retry_policy: Mapping[str, Any] | None = None,
        utcoffset: Callable[[], float] | None = None,
    ) -> None:  # fmt: skip
        """``send`` whatever the groups are, and when it is disabled or closed, too. The app's own connection is used
        in place of ``producer``."""
        event = self._event(type, fields, blind, utcoffset, Event)
        with self._mutex:
            self._publish(event, type.replace("-", "."), retry, retry_policy)

    def _event(
        self, type: str, fields: Mapping[str, Any], blind: bool, utcoffset: Callable[[], float] | None,
        make: Callable[..., Any] | None,
    ) -> Any:  # fmt: skip
        found = self._source.event(type, **fields)
        if blind:
            found["clock"] = None
        if utcoffset is not None:
            found["utcoffset"] = utcoffset()
        if make is None:
            return found
        del found["type"]
        return make(type, **found)

    def _publish(self, event: Any, key: str, retry: bool = False, policy: Mapping[str, Any] | None = None) -> None:
        check_policy(policy or {}, f"event {key}: retry_policy")
        try:
            tried(partial(self._source.send, key, event), delays(policy or {}) if retry else (), BrokerError)
        except BrokerError:
            if not self.buffer_while_offline:
                raise
            self._unsent.append((event, key))

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Send what is kept: ``errors``: the events that the broker did not take; ``groups``: those of
        ``buffer_group``. A closed dispatcher keeps them."""
        with self._mutex:
            if self._closed:
                return
            if errors:
                unsent, self._unsent = self._unsent, []
                for event, key in unsent:
                    self._publish(event, key)
            if groups:
                for group, events in self._kept.items():
                    kept, events[:] = list(events), []
                    if kept:
                        self._publish(kept, f"{group}.multi")

    def extend_buffer(self, other: "EventDispatcher") -> None:
        """Keep what another dispatcher could not send, too."""
        self._unsent.extend(other._unsent)

    def enable(self) -> None:
        """Send again, and call the functions in ``on_enabled``."""
        self.enabled, self._closed = True, False
        for call in self.on_enabled:
            call()

    def disable(self) -> None:
        """Close it, and call the functions in ``on_disabled``."""
        if self.enabled:
            self.enabled = False
            self.close()
            for call in self.on_disabled:
                call()

    def close(self) -> None:
        """Send nothing more until it is enabled."""
        self._closed = True

    def __enter__(self) -> "EventDispatcher":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
