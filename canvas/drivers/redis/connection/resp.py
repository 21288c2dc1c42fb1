"""One connection to a Redis server: its protocol over a TCP or a Unix socket.

It raises OSError while the server is unreachable, and Refusal for an error that the server replies.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from math import inf
from typing import Any, Final, Protocol, TypeAlias

import hiredis

from canvas.drivers.redis.connection.tls import WITH_TLS, expects_tls
from canvas.drivers.redis.url import Address

Command: TypeAlias = Sequence[Any]
"""A command and its arguments: text, bytes, numbers."""
NOTHING: Final = object()
"""No reply has come yet."""
CONNECTIONS = 10_000
"""More than threads ask for at once; the server has a limit of its own."""
_READ_AT_ONCE = 65_536
CONNECT_WITHIN = 5.0
ANSWER_WITHIN = 30.0
_POLL_FOR = 50e-6
"""Seconds for which a connection polls for a reply before it blocks. A server on the same machine answers a call within
that time; to block and to be woken takes longer, and leaves the processor's caches cold."""
_BLOCKING_READS = (100, 3_200)
"""Reads without polling after a reply that did not come in that time: the server is busy or far away, or there are more
programs than processors. Each further such reply in a row doubles them, up to the second number."""
_SYSTEM_SOCKETS = "socket"
"""The module of Python's own sockets."""


class Refusal(Exception):
    """An error that the server replied."""


class NoScript(Refusal):
    """The server does not have the script that was called."""


class NotServed(Refusal):
    """A node of a cluster does not serve the slot of a call's keys; the call has had no effect."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.code, *rest = text.split(" ")
        self.target = rest[1] if self.code in _ELSEWHERE and len(rest) > 1 else ""
        """The node that serves the slot, as ``host:port``; ``""`` if the error names none."""


class Unready(ConnectionError):
    """The server does not take the call now, and may later: ``_PASSING`` says why."""


_PASSING = ("LOADING", "READONLY", "MASTERDOWN", "NOREPLICAS", "BUSY", "MISCONF", "OOM")
"""Codes of a server that is loading its data, is a replica now, is a replica without its master, is a master with too
few replicas, runs a long script, cannot write its file, or is out of memory."""
_ELSEWHERE = ("MOVED", "ASK")
_NOT_SERVED = (*_ELSEWHERE, "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT")
_NUMBERS = frozenset((int, float))
ERRORS: tuple[type[Exception], ...] = (Refusal, OSError, UnicodeEncodeError)
"""The errors that a command raises."""


class Connection(Protocol):
    """One connection, for one thread at a time."""

    used_at: float
    """When the last reply came, by the monotonic clock."""

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands without waiting for their replies."""

    def receive(self) -> Any:
        """The next reply. Raises Refusal where it is an error."""

    def receive_within(self, seconds: float) -> Any:
        """The next reply; ``NOTHING`` when no part of it came in that time."""

    def fileno(self) -> int:
        """The socket's number, for a selector."""

    def close(self) -> None: ...

    def close_inherited(self) -> None:
        """In a forked process: close its copy of the parent's socket, without a word to the server."""


def packed(commands: Sequence[Command]) -> bytes:
    """Commands as they are sent. Raises Refusal for an argument that is neither text, bytes nor a number."""
    packs: list[bytes] = []
    try:
        for words in commands:
            sent: list[Any] = [*words]
            for place, word in enumerate(sent):
                # hiredis crashes the process where a signal's handler raises while it writes a number, as at a soft
                # time limit or Ctrl-C.
                if type(word) in _NUMBERS:
                    sent[place] = str(word)
            packs += [hiredis.pack_command(tuple(sent))]
    except TypeError as exc:
        raise Refusal(f"cannot be sent to Redis: {exc}") from None
    return b"".join(packs) if packs[1:] else packs[0]


def error_of(text: str) -> Exception:
    """The error for a server's error reply."""
    code = text.partition(" ")[0]
    if code in _PASSING or text.startswith("ERR max number of clients"):
        return Unready(text)
    if code in _NOT_SERVED:
        return NotServed(text)
    return (NoScript if code == "NOSCRIPT" else Refusal)(text.removeprefix("ERR "))


class SocketConnection:
    """A connection to Redis that sends commands and reads their replies; it has no pool and no retries."""

    __slots__ = (
        "__weakref__",
        "_address",
        "_answered",
        "_blocking",
        "_pause",
        "_poll",
        "_reader",
        "_socket",
        "used_at",
    )

    def __init__(self, address: Address) -> None:
        """Connect, log in and choose the database. Raises OSError, Refusal."""
        self._reader = hiredis.Reader(protocolError=ConnectionError, replyError=error_of, notEnoughData=NOTHING)
        self._address, self._answered = address, False
        self._socket = _connected(address)
        self._blocking: float = 0 if _is_system_socket(self._socket) else inf
        self._pause = _BLOCKING_READS[0]
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self.used_at = time.monotonic()
        try:
            self._handshake(address)
        except BaseException:
            self.close()
            raise

    def _handshake(self, address: Address) -> None:
        commands: list[Command] = []
        if address.user:
            commands.append(("AUTH", address.user, address.password or ""))
        if address.options.get("client_name"):
            commands.append(("CLIENT", "SETNAME", address.options["client_name"]))
        if address.db:
            commands.append(("SELECT", address.db))
        if commands:
            self.send(commands)
            for _ in commands:
                self.receive()

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands without waiting for their replies."""
        data = packed(commands)
        try:
            self._socket.sendall(data)
        except BlockingIOError:
            raise _out_of_time() from None

    def receive(self) -> Any:
        """The next reply. Raises Refusal where it is an error."""
        reader = self._reader
        try:
            while (reply := reader.gets()) is NOTHING:
                if self._blocking:
                    self._blocking -= 1
                elif poll_briefly(self._poll):
                    self._pause = _BLOCKING_READS[0]
                else:
                    self._blocking, self._pause = self._pause, min(2 * self._pause, _BLOCKING_READS[1])
                data = self._socket.recv(_READ_AT_ONCE)
                if not data:
                    raise ConnectionError("the server closed the connection")
                reader.feed(data)
        except OSError as exc:
            self._check_for_tls()
            if isinstance(exc, BlockingIOError):
                raise _out_of_time() from None
            raise
        self._answered = True
        self.used_at = time.monotonic()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _check_for_tls(self) -> None:
        """Raise Refusal where the server has not answered since it expects TLS."""
        address = self._address
        if not self._answered and not address.path and expects_tls(address.host, address.port):
            raise Refusal(WITH_TLS) from None

    def receive_within(self, seconds: float) -> Any:
        """The next reply; ``NOTHING`` when no part of it came in that time."""
        if not self._reader.has_data() and not self._poll.poll(seconds * 1000):
            return NOTHING
        return self.receive()

    def fileno(self) -> int:
        """The socket's number, for a selector."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    close_inherited = close


def poll_briefly(poll: "select.poll") -> bool:
    """Poll until there is something to read, for at most 50 µs, yielding the processor in between. Returns whether
    there is within that time: on a busy machine another program may have the processor for longer."""
    if poll.poll(0):
        return True
    until = time.monotonic() + _POLL_FOR
    while time.monotonic() < until:
        os.sched_yield()
        if poll.poll(0):
            return time.monotonic() < until
    return False


def _is_system_socket(sock: socket.socket) -> bool:
    """Whether it is one of Python's own sockets; gevent's and eventlet's wait without the system."""
    return type(sock).__module__ == _SYSTEM_SOCKETS


def _connected(address: Address) -> socket.socket:
    options = address.options
    within = options.get("socket_connect_timeout", CONNECT_WITHIN)
    try:
        if address.path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(within)
            sock.connect(address.path)
        else:
            # For text Python loads the tables of international names, which take longer than connecting.
            host = address.host.encode() if address.host.isascii() else address.host
            sock = socket.create_connection((host, address.port), timeout=within)  # type: ignore[arg-type]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if options.get("socket_keepalive", True):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in (options.get("socket_keepalive_options") or {}).items():
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError as exc:
        raise ConnectionError(f"cannot connect: {exc.strerror or exc}") from None
    _limit_waits(sock, options.get("socket_timeout", ANSWER_WITHIN))
    return sock


def _limit_waits(sock: socket.socket, seconds: float | None) -> None:
    """Let reads and writes fail after ``seconds`` without progress.

    Where the system itself waits, each takes one system call. With Python's own timeout, each calls ``poll`` first.
    """
    if not seconds or not _is_system_socket(sock):
        sock.settimeout(seconds)
        return
    whole, micro = divmod(max(1, round(seconds * 1_000_000)), 1_000_000)
    limit = struct.pack("ll", whole, micro)
    sock.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, limit)


def _out_of_time() -> TimeoutError:
    return TimeoutError("timed out")
