"""kombu's envelope: a JSON object that holds a message where the broker stores nothing but bytes (protocol.md §1.3)."""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from hashlib import sha1
from operator import itemgetter
from random import Random
from typing import Any

import msgspec

from canvas.drivers.ports.codec import FilledIn
from canvas.errors import DecodeError, EncodeError
from canvas.forks import in_forks
from canvas.model.message import EncodedMessage
from canvas.wire import typed_json
from canvas.wire.depth import LONG_TEXT, MAX_DEPTH, check_depth


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The form that Celery and canvas write: no other fields, and a body in base64."""

    body: bytes
    headers: dict[str, Any]
    properties: dict[str, Any]
    content_type: str = msgspec.field(name="content-type")
    content_encoding: Any = msgspec.field(name="content-encoding")


_MARK = "\x01tag\x01"
"""Stands for the body and the delivery tag in a message that is to be filled in."""
_BODY = b'"body":'
_new = tuple.__new__
_decode_plain = msgspec.json.Decoder(_Envelope).decode
_RANDOM = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62
"""The bits of a UUID that are not random: its version, and its variant."""
_random = Random()
"""Not Python's own generator, which a task may seed: its messages would repeat the tags of earlier ones."""
in_forks(_random.seed)


def new_delivery_tag() -> str:
    """A delivery tag, as Celery writes it: unique, but predictable. Random bytes of the system cost a system call
    each."""
    digits = f"{_random.getrandbits(128) & _RANDOM | _VERSION_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class EnvelopeCodec:
    """The codec of brokers that are kombu's virtual transports."""

    def encode(
        self, message: EncodedMessage, exchange: str, routing_key: str, max_depth: int = MAX_DEPTH,
        delivery_tag: str = "",
    ) -> bytes:  # fmt: skip
        """Like ``MessageCodec``; ``delivery_tag``: instead of a new one."""
        payload = typed_json.dumps(
            {
                "body": msgspec.Raw(b'"%b"' % b2a_base64(message.body, newline=False)),
                "content-encoding": message.content_encoding,
                "content-type": message.content_type,
                "headers": message.headers,
                "properties": {
                    **message.properties,
                    "delivery_info": {"exchange": exchange, "routing_key": routing_key},
                    "body_encoding": "base64",
                    "delivery_tag": delivery_tag or new_delivery_tag(),
                },
            }
        )
        check_depth(payload, max_depth, EncodeError)
        return payload

    def prepared(self, message: EncodedMessage, exchange: str, routing_key: str, marks: Sequence[str]) -> FilledIn:
        payload = self.encode(message._replace(body=_MARK.encode()), exchange, routing_key, delivery_tag=_MARK)
        written = [b2a_base64(_MARK.encode(), newline=False), typed_json.dumps(_MARK), *map(typed_json.dumps, marks)]
        places = {text: place for place, text in enumerate(written)}
        found = re.split(b"(%b)" % b"|".join(map(re.escape, written)), payload)
        form = b"%b".join(piece.replace(b"%", b"%%") for piece in found[::2])
        pick = itemgetter(*(places[text] for text in found[1::2]))

        def fill(body: bytes, values: Sequence[Any]) -> bytes:
            words = [
                b2a_base64(body, newline=False),
                b'"%b"' % new_delivery_tag().encode(),
                *typed_json.dumps_each(values),
            ]
            payload: bytes = form % pick(words)
            return payload

        return fill

    def decode(self, payload: bytes, max_depth: int = MAX_DEPTH) -> EncodedMessage:
        # Brackets are counted first: msgspec recurses.
        around = payload if len(payload) < LONG_TEXT else _without_body(payload)
        if b"__type__" not in around and around.count(b"[") + around.count(b"{") <= max_depth:
            try:
                plain = _decode_plain(payload)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
                pass  # _decode_any reports the error, and reads forms that msgspec does not
            else:
                if plain.properties.get("body_encoding") == "base64":
                    encoding = str(plain.content_encoding)
                    return _new(
                        EncodedMessage,
                        (plain.body, plain.content_type, encoding, plain.headers, plain.properties),
                    )
        return self._decode_any(payload, max_depth)

    def _decode_any(self, payload: bytes, max_depth: int) -> EncodedMessage:
        """An envelope of any form. Raises DecodeError with the reason."""
        outer = typed_json.loads(payload, max_depth=max_depth)
        if not isinstance(outer, dict):
            raise DecodeError(f"envelope: expected a JSON object; got {type(outer).__name__}")
        headers, properties, content_type = outer.get("headers"), outer.get("properties"), outer.get("content-type")
        if not isinstance(headers, dict) or not isinstance(properties, dict):
            headers, properties = _mapping(outer, "headers"), _mapping(outer, "properties")
        if not isinstance(content_type, str):
            raise DecodeError(f"content-type: expected text; got {content_type!r:.100}")
        body = outer.get("body")
        try:
            # Three times as fast as binascii, whose errors are clearer.
            body = msgspec.convert(body, bytes) if properties["body_encoding"] == "base64" else _body(body, properties)
        except (msgspec.ValidationError, UnicodeEncodeError, LookupError):
            body = _body(body, properties)
        return EncodedMessage(body, content_type, str(outer.get("content-encoding")), headers, properties)

    def with_headers(self, payload: bytes, headers: Mapping[str, Any], redelivered: bool = False) -> bytes:
        try:
            outer = typed_json.loads(payload)
        except DecodeError:
            return payload
        if not isinstance(outer, dict) or not isinstance(outer.get("headers") or {}, dict):
            return payload
        marked = {"redelivered": True} if redelivered else {}
        outer["headers"] = {**(outer.get("headers") or {}), **marked, **headers}
        properties = outer.get("properties")
        if redelivered and isinstance(properties, dict) and isinstance(properties.get("delivery_info"), dict):
            properties["delivery_info"]["redelivered"] = True
        return typed_json.dumps(outer)

    def headers_of(self, payload: bytes) -> dict[str, Any]:
        return _part(payload, "headers")

    def priority_of(self, payload: bytes) -> Any:
        return _part(payload, "properties").get("priority") or 0


ENVELOPE = EnvelopeCodec()


def message_id_of(payload: bytes) -> str:
    """The delivery tag in an envelope, which its sender chose for this publication; a digest of other bytes."""
    tag = _part(payload, "properties").get("delivery_tag")
    return tag if isinstance(tag, str) and tag else sha1(payload, usedforsecurity=False).hexdigest()


def _part(payload: bytes, name: str) -> dict[str, Any]:
    try:
        outer = typed_json.loads(payload)
    except DecodeError:
        return {}
    found = outer.get(name) if isinstance(outer, dict) else None
    return found if isinstance(found, dict) else {}


def _without_body(payload: bytes) -> bytes:
    """An envelope without the text of its body, up to a quotation mark in it. Brackets in a text do not nest, and to
    count those of a long body takes longer than to decode it."""
    key_end = payload.find(_BODY) + len(_BODY)
    start = payload.find(b'"', key_end) + 1
    end = payload.find(b'"', start)
    if key_end < len(_BODY) or not start or end < 0 or payload[key_end : start - 1].strip():
        return payload
    return payload[:start] + payload[end:]


def _mapping(outer: dict[str, Any], name: str) -> dict[str, Any]:
    value = outer.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DecodeError(f"{name}: expected an object; got {type(value).__name__}")
    return value


def _body(body: Any, properties: dict[str, Any]) -> bytes:
    if not isinstance(body, str):
        raise DecodeError(f"body: expected text; got {type(body).__name__}")
    if properties.get("body_encoding") != "base64":
        return body.encode("utf-8", "surrogatepass")
    try:
        return a2b_base64(body, strict_mode=True)
    except (Base64Error, ValueError) as exc:
        raise DecodeError(f"body: not base64: {exc}") from exc
