"""Remote control: receives broadcast commands, and replies to their senders (protocol.md §6)."""

import re
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from fnmatch import fnmatchcase
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeAlias

from canvas.app.application import Canvas
from canvas.drivers.ports.bus import Inbox
from canvas.errors import BrokerError, EncodeError, WireError
from canvas.execution.background import BackgroundService, Repeated
from canvas.model.message import EncodedMessage
from canvas.telemetry import emit
from canvas.wire import codecs
from canvas.wire import task_message as wire
from canvas.worker.control.replies import NO_REPLY

_LOOK_EVERY = 2.0
_AT_ONCE = frozenset({"ping", "clock"})
"""Commands that need no answer from the pool: they do not wait for commands that came before them."""

Reply: TypeAlias = tuple[str, str, Any]
"""Exchange and routing key of the sender's reply queue, and the ticket of its command."""


class CommandPanel(Protocol):
    """Carries out commands."""

    def call(self, command: str, arguments: dict[str, Any]) -> Any:
        """The reply to a command; ``NO_REPLY`` for none. Raises nothing for a command that fails."""


class LogicalClock(Protocol):
    """The logical clock of a node."""

    def forward(self) -> int: ...

    def adjust(self, seen: int) -> None: ...


class Pidbox:
    """Takes a node's commands on a thread of its own. A second thread executes them, one after the other, except those
    that can be answered at once."""

    def __init__(self, app: Canvas, hostname: str, panel: CommandPanel, memory: LogicalClock) -> None:
        self._app = app
        self._serializer = codecs.of_control(app.conf.task_serializer)
        self._hostname = hostname
        self._panel = panel
        self._memory = memory
        self._listening = threading.Event()
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._inbox: Inbox | None = None
        self._subscription = ExitStack()
        listen = Repeated("remote control", self._listen, after_failure=self._unsubscribe)
        self._listener = BackgroundService("pidbox", listen, last=self._unsubscribe)
        self._executor = BackgroundService("control", self._execute)

    def start(self) -> None:
        """Listen from now on; an unreachable broker is tried again."""
        self._executor.start()
        self._listener.start()

    def _listen(self) -> float:
        """Wait for the next command for some time."""
        if self._inbox is None:
            exchange = f"{self._app.conf.control_exchange}.pidbox"
            subscription = self._app.driver.bus.subscribe(exchange, node=self._hostname)
            self._inbox = self._subscription.enter_context(subscription)
            self._listening.set()
        payload = self._inbox.next(_LOOK_EVERY)
        if payload is not None:
            self._take(payload)
        return 0.0

    def _unsubscribe(self) -> None:
        self._inbox = None
        with suppress(BrokerError):  # its connection is lost already
            self._subscription.close()

    def _execute(self) -> float:
        """Wait for a command, and carry it out."""
        command = self._waiting.get()
        if command is not None:
            command()
        return 0.0

    def _answer_safely(self, payload: bytes, command: str, arguments: dict[str, Any], reply: Reply | None) -> None:
        try:
            answer = self._panel.call(command, arguments)
            if reply is not None and answer is not NO_REPLY:
                self._reply(*reply, answer)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
        except Exception as exc:  # noqa: BLE001 - one command must not keep the node from carrying out the others
            emit("worker.internal_error", work=payload, exc=exc)

    def wait_until_listening(self, seconds: float) -> None:
        """Wait until commands arrive here, or until ``seconds`` have passed."""
        self._listening.wait(seconds)

    def stop(self) -> None:
        """End after the command in progress."""
        self._listener.stop()
        self._executor.stop()
        self._waiting.put(None)

    def _take(self, payload: bytes) -> None:
        try:
            message = self._app.driver.broker.codec.decode(payload)
            body = wire.decode_plain(
                message, max_bytes=self._app.conf.task_message_max_bytes, signer=self._app.signer,
                serializer=self._serializer,
            )  # fmt: skip
            command, arguments = str(body["method"]), dict(body.get("arguments") or {})
            meant = self._is_meant(body)
            reply_to = body.get("reply_to")
            reply = (str(reply_to["exchange"]), str(reply_to["routing_key"]), body.get("ticket")) if reply_to else None
        except (WireError, KeyError, TypeError, ValueError, re.error) as exc:
            emit("control.undecodable", reason=repr(exc))
            return
        clock = message.headers.get("clock")
        self._memory.adjust(clock if isinstance(clock, int) else 0)
        if not meant:
            return
        call = partial(self._answer_safely, payload, command, arguments, reply)
        if command in _AT_ONCE:
            call()
        else:
            self._waiting.put(call)

    def _is_meant(self, body: dict[str, Any]) -> bool:
        destination, pattern, me = body.get("destination"), body.get("pattern"), self._hostname
        if destination:
            return me in destination
        if pattern:
            if body.get("matcher") in (None, "glob"):
                return fnmatchcase(me, pattern)
            return re.match(pattern, me) is not None
        return True

    def _reply(self, exchange: str, routing_key: str, ticket: Any, answer: Any) -> None:
        try:
            message = self._answer(ticket, answer)
        except EncodeError as exc:
            message = self._answer(ticket, {"error": repr(exc)})
        driver = self._app.driver
        driver.bus.reply(exchange, routing_key, driver.broker.codec.encode(message, exchange, routing_key))

    def _answer(self, ticket: Any, answer: Any) -> EncodedMessage:
        headers = {"ticket": ticket, "clock": self._memory.forward()}
        return wire.encode_plain({self._hostname: answer}, headers, delivery_mode=1, serializer=self._serializer)
