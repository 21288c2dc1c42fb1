"""Methods of AMQP 0-9-1 that a consuming or publishing channel uses now and then, as frames. No I/O."""

import struct
from typing import Final

from canvas.drivers.amqp.protocol.frames import method_frame
from canvas.drivers.amqp.protocol.properties import read_text, short_text
from canvas.drivers.amqp.protocol.tables import write_table

CHANNEL_OPEN_OK: Final = (20, 11)
CHANNEL_CLOSE: Final = (20, 40)
CONNECTION_CLOSE: Final = (10, 50)
BLOCKED, UNBLOCKED = (10, 60), (10, 61)
QOS_OK, CONSUME_OK, CANCEL, CANCEL_OK, GET_EMPTY = (60, 11), (60, 21), (60, 30), (60, 31), (60, 72)
CONFIRM_SELECT_OK, TX_SELECT_OK = (85, 11), (90, 11)
_NO_TICKET = b"\x00\x00"


def open_channel(channel: int) -> bytes:
    return method_frame(channel, 20, 10, b"\x00")


def close_connection() -> bytes:
    return method_frame(0, 10, 50, struct.pack(">H", 200), b"\x00", struct.pack(">HH", 0, 0))


def select_confirms(channel: int) -> bytes:
    return method_frame(channel, 85, 10, b"\x00")


def select_transactions(channel: int) -> bytes:
    return method_frame(channel, 90, 10)


def limit_prefetch(channel: int, count: int) -> bytes:
    """``basic.qos`` for each consumer that starts later."""
    return method_frame(channel, 60, 10, struct.pack(">IHB", 0, count, 0))


def consume(channel: int, queue: str, consumer: str, no_ack: bool = False, no_wait: bool = False) -> bytes:
    bits = bytes((no_ack << 1 | no_wait << 3,))
    names = short_text("queue", queue) + short_text("consumer", consumer)
    return method_frame(channel, 60, 20, _NO_TICKET, names, bits, write_table({}))


def cancel(channel: int, consumer: str) -> bytes:
    """``basic.cancel``; the broker answers with CANCEL_OK, after the messages that it has sent."""
    return method_frame(channel, 60, 30, short_text("consumer", consumer), b"\x00")


def get(channel: int, queue: str) -> bytes:
    """``basic.get``, to be acked."""
    return method_frame(channel, 60, 70, _NO_TICKET, short_text("queue", queue), b"\x00")


def read_close(arguments: bytes) -> tuple[int, str]:
    """Code and text of ``channel.close`` or ``connection.close``."""
    (code,) = struct.unpack_from(">H", arguments)
    return code, read_text(arguments, 2)[0]


def read_consumer(arguments: bytes) -> str:
    """The consumer's tag in ``basic.cancel``."""
    return read_text(arguments, 0)[0]
