"""Events: what tasks and workers do, broadcast for monitors in Celery's form (protocol.md §7)."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, Protocol

from canvas.caller_warnings import ends_in_caller
from canvas.config.config import Config
from canvas.config.sources import imported
from canvas.drivers.ports import Driver
from canvas.errors import BrokerError, WireError
from canvas.model.message import Message
from canvas.producer.message_builder import MessageBuilder
from canvas.remote.control import Control
from canvas.telemetry import emit
from canvas.wire import task_message as wire

Event = dict[str, Any]
TASKS_TOGETHER = "task.multi"
"""The routing key of a list of task events."""


class EventApp(Protocol):
    """The parts of an app that sending and reading events needs."""

    @property
    def conf(self) -> Config: ...

    @property
    def driver(self) -> Driver: ...

    @property
    def client(self) -> MessageBuilder: ...

    @property
    def control(self) -> Control: ...


class EventSource:
    """Makes the events of one process, and the envelopes they travel in."""

    def __init__(
        self, app: EventApp, hostname: Callable[[], str], forward: Callable[[], int], delivery_mode: int = 1
    ) -> None:
        """``forward`` advances a logical clock; each event carries a time of it. ``delivery_mode``: of messages."""
        self._delivery_mode = delivery_mode
        self._app = app
        self._hostname = hostname
        self._forward = forward

    def event(self, kind: str, **fields: Any) -> Event:
        """An event of a kind such as ``task-received``, with what every event has."""
        local = time.localtime()
        return {
            "hostname": self._hostname(),
            "utcoffset": -local.tm_gmtoff / 3600,
            "pid": os.getpid(),
            "clock": self._forward(),
            **fields,
            "timestamp": time.time(),
            "type": kind,
        }

    def send(self, routing_key: str, events: Event | Sequence[Event]) -> None:
        """Tell one event, or several in one message. Raises EncodeError, BrokerError."""
        exchange, headers = self._app.conf.event_exchange, {"hostname": self._hostname()}
        driver = self._app.driver
        message = wire.encode_plain(events, headers, delivery_mode=self._delivery_mode)
        driver.bus.broadcast(exchange, driver.broker.codec.encode(message, exchange, routing_key), routing_key)


def _bound(place: str, app: EventApp) -> Any:
    """A class with its app. Few programs use it."""
    kind = imported(place)
    return type(kind.__name__, (kind,), {"app": app, "__module__": kind.__module__})


class SentEvents:
    """The ``task-sent`` events of a process: a client, or a worker that sends a task's successors, or its retry."""

    def __init__(self, app: EventApp) -> None:
        self._source = EventSource(app, app.client.origin, partial(next, count(1)))

    def announce(self, messages: Sequence[Message]) -> None:
        """Announce that messages were sent."""
        try:
            for message in messages:
                self._source.send("task.sent", self._event(message))
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))

    def _event(self, message: Message) -> Event:
        info = message.properties["delivery_info"]
        return self._source.event(
            "task-sent",
            uuid=message.id,
            **described(message),
            queue=info["routing_key"],
            exchange=info["exchange"],
            routing_key=info["routing_key"],
        )


def described(message: Message) -> Event:
    """The fields of an event about a message: its name and lineage, arguments as text, retries, eta and expiry; of a
    member of a group also the group, and the body of its chord."""
    headers = message.headers
    group = headers.get("group")
    return {
        "name": message.task,
        "root_id": headers.get("root_id"),
        "parent_id": headers.get("parent_id"),
        "args": headers.get("argsrepr"),
        "kwargs": headers.get("kwargsrepr"),
        "retries": headers.get("retries") or 0,
        "eta": headers.get("eta"),
        "expires": headers.get("expires"),
        **({} if group is None else {"group_id": group, "chord": _body_of(message.embed["chord"])}),
    }


def _body_of(chord: Any) -> str | None:
    """The id of the task that a member of a chord waits with the others for; ``None`` for members of plain groups."""
    options = chord.get("options") if isinstance(chord, Mapping) else None
    return str(options.get("task_id") or "") if isinstance(options, Mapping) else None


@ends_in_caller("capture", "watch")
class Events:
    """``app.events``: listen to the events of workers and clients."""

    def __init__(self, app: EventApp) -> None:
        self.app = app

    @property
    def Receiver(self) -> Any:
        """The class of programs that handle events: ``Receiver(connection, handlers={…}).capture()``."""
        return _bound("canvas.remote.event_programs:EventReceiver", self.app)

    @property
    def Dispatcher(self) -> Any:
        """The class of programs that send events: ``Dispatcher().send("task-progress", …)``."""
        return _bound("canvas.remote.event_sender:EventDispatcher", self.app)

    @property
    def State(self) -> Any:
        """The class that keeps what events say of workers and tasks."""
        return imported("canvas.remote.cluster_state:State")

    @contextmanager
    def default_dispatcher(
        self, hostname: str | None = None, enabled: bool = True, buffer_while_offline: bool = False
    ) -> Iterator[Any]:
        """A dispatcher, closed at the end of the block."""
        with self.Dispatcher(
            hostname=hostname, enabled=enabled, buffer_while_offline=buffer_while_offline
        ) as dispatcher:
            yield dispatcher

    def capture(self, limit: int | None = None, timeout: float | None = None, wakeup: bool = True) -> Iterator[Event]:
        """Events as they arrive: at most ``limit``, until none has arrived for ``timeout`` seconds.

        With ``wakeup`` workers are asked for a heartbeat first. A message that is not an event is skipped and
        reported to telemetry.
        """
        taken = 0
        for events in self.batches(wakeup, 1.0 if timeout is None else timeout):
            if not events and timeout is not None:
                return
            for event in events[: None if limit is None else limit - taken]:
                yield event
                taken += 1
            if taken == limit:
                return

    def batches(self, wakeup: bool = True, interval: float = 1.0) -> Iterator[list[Event]]:
        """The events of each message as it arrives; an empty list after each ``interval`` seconds without a message.

        ``wakeup``: as in ``capture``. Raises OperationalError when the connection is lost.
        """
        app = self.app
        with app.driver.bus.subscribe(app.conf.event_exchange, topics=True) as inbox:
            if wakeup:
                app.control.broadcast("heartbeat")
            while True:
                payload = inbox.next(interval)
                found = [] if payload is None else self._opened(payload)
                if found or payload is None:
                    yield found

    def _opened(self, payload: bytes) -> list[Event]:
        try:
            message = self.app.driver.broker.codec.decode(payload)
            body = wire.decode_events(message, max_bytes=self.app.conf.task_message_max_bytes)
        except WireError as exc:
            emit("control.undecodable", reason=repr(exc))
            return []
        events = body if isinstance(body, list) else [body]
        return [dict(event) for event in events if isinstance(event, Mapping) and "type" in event]

    def watch(self, handlers: Mapping[str, Callable[[Event], None]], **options: Any) -> None:
        """Call ``handlers[type]`` with each event (``"*"``: every other); options as ``capture``'s."""
        for event in self.capture(**options):
            handler = handlers.get(event["type"]) or handlers.get("*")
            if handler is not None:
                handler(event)
