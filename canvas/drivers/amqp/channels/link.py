"""One connection with one channel, whose frames are written and read here.

One thread at a time sends, and one thread at a time takes the frames that were read; these may be two threads.
"""

import logging
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from canvas import telemetry
from canvas.drivers.amqp.protocol import methods
from canvas.drivers.amqp.protocol.frames import HEARTBEAT, Event, FrameReader, OtherMethod
from canvas.drivers.silence import reported
from canvas.errors import DecodeError, OperationalError
from canvas.interruptions import raise_interruption
from canvas.telemetry import emit

_log = logging.getLogger(__name__)
CHANNEL: Final = 1
_CHUNK = 1 << 18
_WANTS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class ChannelClosed(OperationalError):
    """The broker has closed the channel; ``code`` is AMQP's."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Blockage:
    """Whether a connection to a broker was lost while the broker took no messages from it. The broker does not report
    on another connection that it takes messages again: the next connection that is opened does."""

    def __init__(self) -> None:
        self._lost = False

    def keep(self) -> None:
        """Such a connection is lost."""
        self._lost = True

    def end(self) -> None:
        """A connection is open."""
        if self._lost:
            self._lost = False
            emit("broker.recovered")


class Link:
    """A channel of a connection that py-amqp has opened.

    Each method raises OperationalError when the connection is lost, or when the broker does not answer within
    ``answer_within`` seconds although it does not block the connection. The link is of no use after that.
    """

    def __init__(self, connection: Any, where: str, answer_within: float, blockage: Blockage) -> None:
        self._connection = connection
        self._where = where
        self._answer_within = answer_within
        self._socket = connection.transport.sock
        self._socket.setblocking(False)
        self._io = threading.RLock()
        """Held for a call of the socket, and while the bytes that it returned are parsed. Two threads cannot use a TLS
        socket."""
        self.frame_max: int = connection.frame_max
        self._reader = FrameReader(self.frame_max)
        self._heartbeat = float(connection.heartbeat or 0)
        self._heard = time.monotonic()
        self.events: deque[Event] = deque()
        """The events that have been read and not been taken, in order."""
        self.blocked = ""
        """Why the broker takes no messages from this connection now: it is short of memory or of disk space."""
        self._blockage = blockage
        self.call(methods.open_channel(CHANNEL), methods.CHANNEL_OPEN_OK)
        blockage.end()

    def fileno(self) -> int:
        """The socket, for poll."""
        return int(self._socket.fileno())

    def send(self, data: bytes) -> None:
        """Write frames, and read the frames that the broker sends meanwhile."""
        view, deadline = memoryview(data), time.monotonic() + self._answer_within
        while view:
            try:
                with self._io:
                    view = view[self._socket.send(view) :]
            except _WANTS:
                self._wait(select.POLLIN | select.POLLOUT, deadline)
                self._read()
            except (OSError, ValueError) as exc:
                raise self._lost(exc) from exc

    def call(self, data: bytes, answer: tuple[int, int]) -> OtherMethod:
        """Write frames and wait for a method."""
        self.send(data)
        found: list[OtherMethod] = []

        def take(event: Event) -> bool:
            if isinstance(event, OtherMethod) and event.number == answer:
                found.append(event)
                return True
            return False

        self.take_until(take, lambda: bool(found))
        return found[0]

    def take_until(self, take: Callable[[Event], bool], done: Callable[[], bool]) -> None:
        """Pass events to ``take``, which returns whether it takes one, until ``done``. Others stay in ``events``."""
        deadline, left = time.monotonic() + self._answer_within, deque[Event]()
        try:
            while True:
                while self.events:
                    event = self.events.popleft()
                    if not take(event):
                        left.append(event)
                if done():
                    return
                if self._pending() or self._wait(select.POLLIN, deadline):
                    self._read()
        finally:
            self.events.extendleft(reversed(left))

    def read(self) -> bool:
        """Read the frames that have come. Returns whether there are events now. Raises OperationalError where
        heartbeats are missing."""
        if self._pending() or self._is_ready():
            self._read()
        else:
            self._check_heartbeats()
        return bool(self.events)

    def beat(self) -> None:
        """Send a heartbeat, and read those of the broker."""
        self.send(HEARTBEAT)
        self.read()

    def is_cut(self) -> bool:
        """Whether the connection is known to be lost."""
        try:
            self.read()
        except OperationalError:
            return True
        return False

    def close(self) -> None:
        """Close the connection."""
        try:
            self._socket.settimeout(1.0)
            self._socket.sendall(methods.close_connection())
        except (OSError, ValueError):
            pass  # it is lost already
        finally:
            self.drop()

    def drop(self) -> None:
        """Close this process's end of the connection, without a word to the broker."""
        if self.blocked:
            self._blockage.keep()
        try:
            self._socket.close()
        finally:
            self._connection.transport.connected = False

    def _check_heartbeats(self) -> None:
        if self._heartbeat and time.monotonic() - self._heard > 2.5 * self._heartbeat:
            raise self._lost("no heartbeats")

    def _is_ready(self) -> bool:
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLIN)
        except ValueError as exc:  # it is closed
            raise self._lost(exc) from exc
        return bool(poll.poll(0))

    def _pending(self) -> bool:
        """Whether TLS has bytes that poll does not show."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _wait(self, events: int, deadline: float) -> bool:
        poll = select.poll()
        try:
            poll.register(self._socket, events)
        except ValueError as exc:  # another thread has found the connection lost
            raise self._lost(exc) from exc
        with reported(self._where):
            while not poll.poll(min(1.0, self._answer_within) * 1000):
                if time.monotonic() > deadline and not self.blocked:
                    raise self._lost(f"no answer in {self._answer_within:g} s")
                # RabbitMQ sends heartbeats to a connection that it blocks, too.
                self._check_heartbeats()
        return True

    def _read(self) -> None:
        with self._io:
            self._read_all()

    def _read_all(self) -> None:
        while True:
            try:
                data = self._socket.recv(_CHUNK)
            except _WANTS:
                return
            except (OSError, ValueError) as exc:
                raise self._lost(exc) from exc
            if not data:
                raise self._lost("the broker has closed the connection")
            self._heard = time.monotonic()
            self._take_in(data)
            if len(data) < _CHUNK and not self._pending():
                return

    def _take_in(self, data: bytes) -> None:
        try:
            for event in self._reader.feed(data):
                if not (isinstance(event, OtherMethod) and self._handled(event)):
                    self.events.append(event)
        except DecodeError as exc:
            raise self._lost(exc) from exc

    def _handled(self, event: OtherMethod) -> bool:
        number = event.number
        if number == methods.CHANNEL_CLOSE:
            code, text = methods.read_close(event.arguments)
            self.drop()
            raise ChannelClosed(f"{self._where} has closed the channel: {text} ({code})", code)
        if number == methods.CONNECTION_CLOSE:
            code, text = methods.read_close(event.arguments)
            raise self._lost(f"{text} ({code})")
        if number == methods.BLOCKED:
            self.blocked = event.arguments[1:].decode("utf-8", "replace") or "blocked"
            if "broker.unreachable" not in telemetry.listeners:
                # No worker reports it, and a client would wait without any sign.
                _log.warning(
                    "%s takes no messages: %s. Calls that send messages wait until it takes them again", self._where,
                    self.blocked,
                )  # fmt: skip
            emit("broker.unreachable", error=f"{self._where} takes no messages: {self.blocked}")
        elif number == methods.UNBLOCKED:
            self.blocked = ""
            emit("broker.recovered")
        else:
            return False
        return True

    def _lost(self, why: object) -> OperationalError:
        self.drop()
        if isinstance(why, Exception):
            raise_interruption(why)
        return OperationalError(f"{self._where}: the connection is lost: {why or type(why).__name__}")
