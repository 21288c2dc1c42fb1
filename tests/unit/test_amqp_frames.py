"""Frames of AMQP: the bytes are py-amqp's, both ways, and bytes that are not AMQP raise one error."""

import math
from contextlib import suppress
from datetime import datetime
from decimal import Decimal

import amqp
import pytest
from amqp.method_framing import frame_handler, frame_writer
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

from canvas.drivers.amqp.protocol import frames
from canvas.drivers.amqp.protocol.frames import (
    Committed,
    Confirmed,
    Content,
    Delivered,
    FrameReader,
    OtherMethod,
    Returned,
    ack,
    commit,
    nack,
    publish,
)  # fmt: skip
from canvas.errors import DecodeError, EncodeError

pytestmark = pytest.mark.random

SHORT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
LEAVES = (
    st.none() | st.booleans() | SHORT | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=20).filter(lambda data: b"\xff" in data)
    | st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda when: when.replace(microsecond=0))
    | st.decimals(-10_000, 10_000, places=3)
)  # fmt: skip
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SHORT, inner, max_size=4))
TEXTS = ("content_type", "content_encoding", "correlation_id", "reply_to", "expiration", "message_id", "type", "user_id",
         "app_id", "cluster_id")  # fmt: skip
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        **{name: SHORT for name in TEXTS},
        "application_headers": st.dictionaries(SHORT, VALUES, max_size=5),
        "delivery_mode": st.integers(1, 2),
        "priority": st.integers(0, 255),
        "timestamp": st.integers(0, 2**40),
    },
)
FRAME_MAX = 4096


class Wire:
    """What py-amqp's writer and reader need of a connection."""

    def __init__(self):
        self.frame_max = FRAME_MAX
        self.bytes_sent = self.bytes_recv = 0
        self.written = b""
        self.write_frame = frame_writer(self, self)

    def write(self, data):
        self.written += bytes(data)


def theirs(number, format, arguments, properties=None, body=b""):
    """py-amqp's bytes of a method, with a message where there are properties."""
    wire = Wire()
    message = amqp.Message(body, **properties) if properties is not None else None
    wire.write_frame(1, 7, number, dumps(format, arguments), message)
    return wire.written


def read_by_amqp(data):
    """The methods that py-amqp reads: number, arguments, message."""
    found, position = [], 0
    on_frame = frame_handler(
        Wire(),
        lambda channel, number, args, message: found.append((number, args, message)),
        content_methods={(60, 40), (60, 50), (60, 60)},
    )
    while position < len(data):
        kind, channel = data[position], int.from_bytes(data[position + 1 : position + 3], "big")
        end = position + 7 + int.from_bytes(data[position + 3 : position + 7], "big")
        on_frame((kind, channel, data[position + 7 : end]))
        position = end + 1
    return found


@given(SHORT, SHORT, PROPERTIES, st.binary(max_size=9000), st.booleans())
def test_a_publication_is_what_py_amqp_writes(exchange, key, properties, body, mandatory):
    expected = theirs((60, 40), "Bssbb", (0, exchange, key, mandatory, False), properties, body)
    written = publish(7, exchange, key, Content(properties, body), mandatory, FRAME_MAX)
    ((number, _, message),) = read_by_amqp(written)
    assert number == (60, 40)
    assert (message.body if body else b"") == body
    ((_, _, of_theirs),) = read_by_amqp(expected)
    assert message.properties == of_theirs.properties
    if len(body) + len(written) < FRAME_MAX:
        assert written == expected


@given(PROPERTIES, st.binary(max_size=9000), st.integers(1, 2**63), st.booleans(), SHORT, SHORT, st.data())
def test_a_delivery_that_py_amqp_writes_is_read(properties, body, tag, redelivered, exchange, key, data):
    written = theirs((60, 60), "sLbss", ("consumer", tag, redelivered, exchange, key), properties, body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=4)))
    reader, found = FrameReader(FRAME_MAX), []
    for first, last in zip([0, *cuts], [*cuts, len(written)], strict=True):
        found += reader.feed(written[first:last])
    assert found == [Delivered(7, "consumer", tag, redelivered, exchange, key, Content(properties, body))]


@given(PROPERTIES, st.binary(max_size=100), SHORT, SHORT)
def test_a_returned_message_is_read(properties, body, exchange, key):
    written = theirs((60, 50), "Bsss", (312, "NO_ROUTE", exchange, key), properties, body)
    expected = Returned(7, 312, "NO_ROUTE", exchange, key, Content(properties, body))
    assert list(FrameReader(FRAME_MAX).feed(written)) == [expected]


@given(st.integers(0, 2**64 - 1), st.booleans(), st.booleans())
def test_acks_are_what_py_amqp_writes_and_reads(tag, multiple, requeue):
    assert ack(7, tag, multiple) == theirs((60, 80), "Lb", (tag, multiple))
    assert nack(7, tag, multiple, requeue) == theirs((60, 120), "Lbb", (tag, multiple, requeue))
    confirms = ack(7, tag, multiple) + nack(7, tag, multiple, False)
    assert list(FrameReader().feed(confirms)) == [
        Confirmed(7, tag, multiple, True), Confirmed(7, tag, multiple, False)
    ]  # fmt: skip


def test_commits_heartbeats_and_other_methods():
    assert commit(7) == theirs((90, 20), "", ())
    answers = theirs((90, 21), "", ()) + frames.HEARTBEAT + theirs((10, 60), "s", ("low memory",))
    assert list(FrameReader().feed(answers)) == [Committed(7), OtherMethod(7, (10, 60), b"\x0alow memory")]


@given(PROPERTIES, st.binary(max_size=300), st.data())
def test_damaged_bytes_raise_one_error_or_are_read(properties, body, data):
    written = bytearray(theirs((60, 60), "sLbss", ("consumer", 1, False, "", "celery"), properties, body))
    for _ in range(data.draw(st.integers(1, 4))):
        written[data.draw(st.integers(0, len(written) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DecodeError):
        list(FrameReader(FRAME_MAX).feed(bytes(written)))


@given(st.binary(max_size=300), st.sampled_from([b"\x01", b"\x02", b"\x03", b"\x08"]))
def test_any_bytes_raise_one_error_or_are_read(payload, kind):
    frame = kind + b"\x00\x07" + len(payload).to_bytes(4, "big") + payload + b"\xce"
    begun = theirs((60, 60), "sLbss", ("consumer", 1, False, "", "celery"))
    for data in (frame, begun + frame):
        with suppress(DecodeError):
            list(FrameReader(FRAME_MAX).feed(data))


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"application_headers": {"at": object()}}, "header 'at': AMQP has no type for object"),
        ({"application_headers": {"n": 2**64}}, "header 'n': AMQP's integers have 64 bits; got one of 65"),
        ({"application_headers": {"deep": nested(5000)}}, "header 'deep': more than 64 levels"),
        ({"application_headers": {"k" * 300: 1}}, "the name of a header has 300 bytes"),
        ({"application_headers": {"d": Decimal("NaN")}}, "header 'd': AMQP has no type for Decimal"),
        ({"application_headers": {"s": {1, 2}}}, "header 's': AMQP has no type for set"),
        ({"application_headers": {"large": "x" * 5000}}, "put large values into its arguments"),
        ({"correlation_id": "x" * 300}, "the correlation_id of a message has 300 bytes"),
        ({"correlation_id": 5}, "the property correlation_id of a message must be text"),
        ({"priority": 256}, "the property priority of a message cannot be 256"),
        ({"colour": "red"}, "AMQP has no property 'colour'"),
    ],
)
def test_what_amqp_cannot_carry_is_refused_by_name(properties, said):
    with pytest.raises(EncodeError, match=said):
        publish(1, "", "celery", Content(properties, b""), frame_max=FRAME_MAX)


def test_a_message_with_a_table_nested_without_end_is_no_task():
    inner = b""
    for _ in range(500):
        inner = b"A" + len(inner).to_bytes(4, "big") + inner
    table = b"\x01k" + inner
    payload = b"\x00\x3c" + bytes(10) + b"\x20\x00" + len(table).to_bytes(4, "big") + table
    frame = b"\x02\x00\x07" + len(payload).to_bytes(4, "big") + payload + b"\xce"
    begun = theirs((60, 60), "sLbss", ("consumer", 1, False, "", "celery"))
    (delivered,) = FrameReader().feed(begun + frame)
    assert delivered.content.properties == {"type": frames.RAW}


def test_not_a_number_survives():
    written = theirs((60, 60), "sLbss", ("c", 1, False, "", "q"), {"application_headers": {"n": math.nan}}, b"")
    (delivered,) = FrameReader().feed(written)
    assert math.isnan(delivered.content.properties["application_headers"]["n"])


def test_a_real_broker_takes_and_gives_them(rabbitmq):
    """Over a connection that py-amqp made: publish, deliver, ack and commit in one transaction, and a return."""
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", virtual_host=rabbitmq.new_vhost(), heartbeat=0) as connection:
        channel = connection.channel()
        channel.queue_declare("celery", auto_delete=False)
        channel.tx_select()
        channel.basic_consume("celery", consumer_tag="me")
        sock, number, reader = connection.sock, channel.channel_id, FrameReader(connection.frame_max)
        sock.settimeout(10)
        content = Content({"delivery_mode": 2, "application_headers": {"id": "a", "retries": 0}}, b"x" * 200_000)
        lost = Content({"correlation_id": "b"}, b"y")
        both = publish(number, "", "celery", content, frame_max=connection.frame_max)
        sock.sendall(both + publish(number, "", "missing", lost) + commit(number))
        found = []
        while len(found) < 3:
            found += reader.feed(sock.recv(65_536))
        delivery = Delivered(number, "me", 1, False, "", "celery", content)
        assert sorted(found, key=lambda event: type(event).__name__) == [
            Committed(number), delivery, Returned(number, 312, "NO_ROUTE", "", "missing", lost)
        ]  # fmt: skip
        sock.sendall(ack(number, 1) + commit(number))
        found = []
        while not found:
            found += reader.feed(sock.recv(65_536))
        assert found == [Committed(number)]
        sock.settimeout(None)
        assert channel.queue_declare("celery", passive=True).message_count == 0


@pytest.mark.parametrize(("method", "arguments"), [
    ((60, 60), b""), ((60, 60), b"\x09short"), ((60, 60), b"\x01c" + b"\x00" * 8), ((60, 50), b"\x01"),
    ((60, 50), b"\x01\x38\x04NO"), ((60, 80), b"\x00"),
])  # fmt: skip
def test_a_method_that_is_cut_raises_one_error(method, arguments):
    """Its content comes whole."""
    number = method[0].to_bytes(2, "big") + method[1].to_bytes(2, "big")
    header = b"\x00\x3c" + b"\x00" * 10 + b"\x00\x00"
    data = b"".join(
        bytes([kind]) + b"\x00\x07" + len(payload).to_bytes(4, "big") + payload + b"\xce"
        for kind, payload in ((1, number + arguments), (2, header))
    )
    with pytest.raises(DecodeError):
        list(FrameReader(FRAME_MAX).feed(data))
