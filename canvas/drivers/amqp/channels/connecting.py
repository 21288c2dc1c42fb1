"""Opens connections through py-amqp. If one cannot be opened, the error names the reason in one line."""

import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import amqp
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed

from canvas.drivers.amqp.url import Address
from canvas.drivers.silence import reported
from canvas.errors import OperationalError, RefusedError
from canvas.interruptions import raise_interruption

_FAILURES: Final = (
    OSError,
    AMQPError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)
"""The errors of py-amqp, also where the other end closes in the middle of the handshake, or speaks TLS. Others are
raised by handlers of signals, as at a soft time limit."""
_SOCKET: Final = {
    # py-amqp closes a connection whose peer reads nothing for a second. RabbitMQ reads nothing for as long as it is
    # short of memory or of disk space; heartbeats and ``answer_within`` bound the waits for a broker that is gone.
    getattr(socket, "TCP_USER_TIMEOUT", None): 0,
    # Probes of an idle connection, 10 s apart, until a host that is gone counts as such.
    getattr(socket, "TCP_KEEPCNT", None): 3,
}


def connect(addresses: Sequence[Address], answer_within: float, heartbeat: bool = False) -> Any:
    """A py-amqp connection to the first broker that answers. ``answer_within``: seconds that each of its later reads
    and writes may take. ``heartbeat``: whether it has heartbeats.

    Raises OperationalError when no broker answers, RefusedError when one refuses the user, the vhost or TLS.
    """
    for address in addresses[:-1]:
        try:
            return _connect(address, answer_within, heartbeat)
        except OperationalError:
            continue
    return _connect(addresses[-1], answer_within, heartbeat)


def _connect(address: Address, answer_within: float, heartbeat: bool) -> Any:
    tls = {"server_hostname": address.host} if address.ssl is True else address.ssl
    try:
        connection = amqp.Connection(
            host=f"{address.host}:{address.port}", userid=address.user, password=address.password,
            virtual_host=address.vhost, ssl=tls or False, login_method=address.login_method or "PLAIN",
            connect_timeout=address.connect_timeout, heartbeat=address.heartbeat if heartbeat else 0,
            socket_settings={option: value for option, value in _SOCKET.items() if option is not None},
        )  # fmt: skip
        with reported(address.where):
            connection.connect()
        connection.transport.sock.settimeout(answer_within)
    except _FAILURES as exc:
        raise _explained(address, exc) from exc
    return connection


def _explained(address: Address, exc: Exception) -> Exception:
    """The error to raise for one of py-amqp's, of TLS or of the socket."""
    raise_interruption(exc)
    where = address.where
    if isinstance(exc, AccessRefused):
        return RefusedError(f"{where} refuses user {address.user!r}: the name or the password is wrong")
    if isinstance(exc, NotAllowed):
        # The user may not use the vhost; or there is a limit of connections, which lasts until another client leaves.
        kind = OperationalError if "connection limit" in exc.reply_text else RefusedError
        return kind(f"{where}: {exc.reply_text}")
    if isinstance(exc, ssl.SSLError):
        hint = "" if isinstance(exc, ssl.SSLCertVerificationError) else "; use amqp:// if that port has no TLS"
        return RefusedError(f"{where}: TLS: {exc}{hint}")
    hint = "" if address.ssl or not _cut_off(exc) else "; use amqps:// if that port expects TLS"
    return OperationalError(f"{where} does not answer: {exc or type(exc).__name__}{hint}")


def _cut_off(exc: Exception) -> bool:
    """Whether the other end closed the connection, or sent bytes that are not AMQP."""
    return isinstance(exc, ConnectionResetError | AMQPError) or "losed" in str(exc)


@contextmanager
def channel_of(addresses: Sequence[Address], answer_within: float) -> Iterator[Any]:
    """A channel of py-amqp, on a connection of its own. Messages that are not acked then return to their queue.
    ``answer_within`` as for ``connect``."""
    with errors(addresses[0].where):
        connection = connect(addresses, answer_within)
        try:
            yield connection.channel()
        finally:
            close(connection)


def close(connection: Any) -> None:
    """Close a connection of py-amqp, which may be lost already."""
    try:
        connection.close()
    except (OSError, AMQPError) as exc:
        raise_interruption(exc)


@contextmanager
def errors(where: str) -> Iterator[None]:
    """Raise this package's errors for py-amqp's."""
    try:
        yield
    except (OSError, AMQPError) as exc:
        raise_interruption(exc)
        code = getattr(exc, "reply_code", None)
        kind = RefusedError if code in (403, 405, 406) else OperationalError
        raise kind(f"{where}: {getattr(exc, 'reply_text', None) or exc or type(exc).__name__}") from exc
