"""Messages that any program has put into a queue: each is read, whatever its properties and headers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas.drivers.amqp.contents import deliveries_of, due_of, to_payload
from canvas.drivers.amqp.protocol.frames import RAW, Content, FrameReader
from canvas.drivers.kombu_envelope import ENVELOPE
from tests.unit.test_amqp_frames import PROPERTIES, VALUES

pytestmark = pytest.mark.random
OWN = st.sampled_from(
    ["x-death", "canvas_due", "canvas_dead", "x-delivery-count", "x-first-death-queue", "id", "retries"]
)
HEADERS = st.dictionaries(OWN, VALUES, max_size=5)


@settings(max_examples=40)
@given(PROPERTIES, HEADERS, st.binary(max_size=200))
def test_any_content_is_read(properties, headers, body):
    content = Content({**properties, "application_headers": headers}, body)
    payload, message_id, _ = to_payload(content, "exchange", "key")
    assert isinstance(message_id, str)
    assert isinstance(due_of(content), float)
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
