"""The form of messages: what a codec keeps, marks and refuses."""

from typing import Any

import pytest

from canvas.errors import DecodeError, EncodeError
from canvas.model.message import EncodedMessage
from canvas.testing.contract.support import ContractSupport

_HEADERS: dict[str, Any] = {
    "task": "t.add", "id": "one", "eta": None, "retries": 2, "timelimit": [None, 1.5], "stamps": {"team": ["a", "ü"]},
}  # fmt: skip
_PROPERTIES: dict[str, Any] = {"correlation_id": "one", "reply_to": "back", "delivery_mode": 2, "priority": 4}


def _message(body: bytes = b"\x00\xff{}", **headers: Any) -> EncodedMessage:
    return EncodedMessage(body, "application/x-test", "binary", {**_HEADERS, **headers}, dict(_PROPERTIES))


class CodecContract(ContractSupport):
    """The contract of a broker's MessageCodec."""

    def test_a_message_comes_back_as_it_was(self) -> None:
        for body in (b"", b"[]", bytes(range(256)), b"x" * 100_000):
            found = self.codec.decode(self.codec.encode(_message(body), "ex", "key"))
            assert (found.body, found.content_type, found.content_encoding) == (body, "application/x-test", "binary")
            assert found.headers == _HEADERS
            assert {name: found.properties[name] for name in _PROPERTIES} == _PROPERTIES
            info = found.properties["delivery_info"]
            assert (info["exchange"], info["routing_key"]) == ("ex", "key")

    def test_headers_and_priority_are_read_alone(self) -> None:
        payload = self.codec.encode(_message(), "", "q")
        assert (self.codec.headers_of(payload), self.codec.priority_of(payload)) == (_HEADERS, 4)
        assert self.codec.priority_of(self.codec.encode(_message()._replace(properties={}), "", "q")) == 0

    def test_headers_are_added_to_a_message(self) -> None:
        payload = self.codec.with_headers(
            self.codec.encode(_message(), "", "q"), {"retries": 3, "canvas_received": True}
        )
        found = self.codec.decode(payload)
        assert found.headers == {**_HEADERS, "retries": 3, "canvas_received": True}
        assert found.body == _message().body
        marked = self.codec.decode(self.codec.with_headers(payload, {"canvas_delivery_count": 2}, redelivered=True))
        assert (marked.headers["redelivered"], marked.headers["canvas_delivery_count"]) == (True, 2)

    def test_bytes_that_are_no_message(self) -> None:
        for strange in (b"", b"\xff\x00 not json", b"[1, 2]", b"nothing"):
            with pytest.raises(DecodeError):
                self.codec.decode(strange)
            assert self.codec.with_headers(strange, {"a": 1}, redelivered=True) == strange
            assert (self.codec.headers_of(strange), self.codec.priority_of(strange)) == ({}, 0)

    def test_headers_that_cannot_be_written_are_refused(self) -> None:
        with pytest.raises(EncodeError):
            self.codec.encode(_message(strange=object()), "", "q")
