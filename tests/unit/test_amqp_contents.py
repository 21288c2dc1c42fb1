"""Messages that any program has put into a queue: each is read, whatever its properties and headers."""

import math
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from canvas.drivers.amqp.channels.publisher import frames_of
from canvas.drivers.amqp.contents import Outgoing, deliveries_of, due_of, to_payload
from canvas.drivers.amqp.delays.delay_queue import DelayQueue, step_of
from canvas.drivers.amqp.outboxes import Destinations
from canvas.drivers.amqp.protocol.frames import FRAME_MAX, RAW, Content, FrameReader
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.model.message import Publish
from tests.unit.test_amqp_frames import PROPERTIES, VALUES

pytestmark = pytest.mark.random
OWN = st.sampled_from(
    ["x-death", "canvas_due", "canvas_dead", "x-delivery-count", "x-first-death-queue", "id", "retries"]
)
HEADERS = st.dictionaries(OWN, VALUES | st.floats(), max_size=5)


@example({}, {"canvas_due": math.inf}, b"")
@example({}, {"canvas_due": 1e308}, b"")
@example({"message_id": "m"}, {"id": [math.nan]}, b"")
@example({"message_id": "m"}, {"id": "x" * (FRAME_MAX - 200)}, b"")
@settings(max_examples=40)
@given(PROPERTIES, HEADERS, st.binary(max_size=200))
def test_any_content_is_read(properties, headers, body):
    content = Content({**properties, "application_headers": headers}, body)
    payload, message_id, _ = to_payload(content, "exchange", "key")
    assert isinstance(message_id, str)
    assert isinstance(due_of(content), float)
    returned = Outgoing.unpacked(Outgoing.of(Publish("", "q", 0, payload), due_of(content)).packed())
    assert frames_of(Destinations(None, None, time.time).copies([returned._replace(due=0.0)]))
    assert DelayQueue(step_of(due_of(content))).arguments
    assert deliveries_of(content, True) >= 1
    if payload != body:
        found = ENVELOPE.decode(payload)
        assert found.body == body
        assert "canvas_due" not in found.headers


@pytest.mark.parametrize("damage", [b"\x00\x00\x00\x05\x01aQ\x00\x00", b"\x00\x00\xff\xff", b""])
def test_headers_that_cannot_be_read_leave_the_connection_whole(damage):
    properties = b"\x20\x00" + damage
    size = 12 + len(properties)
    header = (
        b"\x02\x00\x01" + size.to_bytes(4, "big") + b"\x00\x3c\x00\x00" + (4).to_bytes(8, "big") + properties + b"\xce"
    )
    body = b"\x03\x00\x01\x00\x00\x00\x04body\xce"
    deliver = b"\x01\x00\x01\x00\x00\x00\x12\x00\x3c\x00\x3c\x01c" + (7).to_bytes(8, "big") + b"\x00\x00\x01q\xce"
    (found,) = FrameReader().feed(deliver + header + body)
    assert (found.tag, found.content) == (7, Content({"type": RAW}, b"body"))
