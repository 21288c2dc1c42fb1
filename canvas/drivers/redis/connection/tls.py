"""Finds out, after a connection has failed, whether the server has TLS and its URL has not, or the other way round.
Neither side of such a connection gets an error that names the cause, and a plain Redis does not even answer.
"""

import socket
from typing import Final

from canvas.interruptions import raise_interruption

ANSWER_EXPECTED_WITHIN: Final = 1.0
"""Seconds. A server that has TLS answers the first message of a handshake sooner, unless it is far away or busy."""
_HANDSHAKE_WITHIN: Final = 5.0
"""Seconds. A server that has refused a command does its part of a handshake sooner, on a busy machine too."""
WITHOUT_TLS: Final = (
    "the server has no TLS on this port: write redis:// instead of rediss:// in its URL, and leave broker_use_ssl and "
    "redis_backend_use_ssl unset"
)
MASTER_WITHOUT_TLS: Final = (
    "the server has no TLS on this port: leave broker_use_ssl and redis_backend_use_ssl unset for this sentinel:// URL"
)
MASTER_WITH_TLS: Final = (
    "the server expects TLS on this port: set broker_use_ssl, or redis_backend_use_ssl for results, for this "
    "sentinel:// URL"
)
WITH_TLS: Final = "the server expects TLS on this port: write rediss:// instead of redis:// in its URL"


def answers_without_tls(host: str, port: int) -> bool:
    """Whether a server answers a command that is sent without TLS."""
    try:
        return _first_answer(host, port) in (b"+", b"-")
    except OSError as exc:
        raise_interruption(exc)
        return False


def _first_answer(host: str, port: int) -> bytes:
    """The first byte of the answer to a command; none where the server closes the connection. Raises OSError."""
    with socket.create_connection((host, port), ANSWER_EXPECTED_WITHIN) as sock:
        sock.sendall(b"*1\r\n$4\r\nPING\r\n")
        return sock.recv(1)


def expects_tls(host: str, port: int) -> bool:
    """Whether a server refuses a command that is sent without TLS, and answers the first message of a TLS handshake."""
    try:
        if _first_answer(host, port) in (b"+", b"-"):
            return False
    except ConnectionResetError:
        pass
    except OSError as exc:
        raise_interruption(exc)
        return False  # a server with TLS refuses the command at once
    import ssl  # imported late: it takes long to load, and only servers with TLS need it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), _HANDSHAKE_WITHIN) as sock,
            context.wrap_socket(sock, server_hostname=host),
        ):
            return True
    except ssl.SSLError as exc:
        return "ALERT" in (exc.reason or "")  # such as for a client without a certificate
    except (OSError, ValueError) as exc:
        raise_interruption(exc)
        return False
