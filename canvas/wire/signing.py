"""Signatures of messages, and of what workers keep for each other in Redis: HMAC-SHA256 under a shared key.

A signature says that somebody who has the key wrote this, for this place. It says nothing of when, so that a message
that was seen can be sent again; docs/explanation/security.md says what that leaves.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from canvas.errors import ConfigurationError, SignatureError
from canvas.wire import typed_json

HEADER = "canvas_signature"
SHORTEST_KEY = 32
"""Characters."""
_CHANGED_ON_THE_WAY = frozenset(
    {
        HEADER,
        "redelivered",
        "canvas_delivery_count",
        "canvas_worker_lost",
        "canvas_rate_reserved",
        "canvas_received",
        "canvas_unregistered_retries",
        "compression",
    }
)
"""Headers that brokers and workers add to a message."""
_MARK = b"#"
_DIGITS = 64


class Signer:
    """Signs with the first of its keys; accepts what any of them signed."""

    signs = True
    """Whether messages are signed, and signatures checked."""

    def __init__(self, keys: Sequence[str], required: bool = True) -> None:
        """``required``: what has no signature at all is refused too. Raises ConfigurationError for a key that is too
        short."""
        for key in keys:
            if not isinstance(key, str) or len(key) < SHORTEST_KEY:
                raise ConfigurationError(
                    f"message_signing_keys: expected text of {SHORTEST_KEY} characters or more; got one of "
                    f"{len(key) if isinstance(key, str) else type(key).__name__}; make one with "
                    "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
        self._keys = [key.encode() for key in keys]
        self._required = required

    def sign_message(
        self, headers: Mapping[str, Any], content_type: str, content_encoding: str, data: bytes
    ) -> dict[str, Any]:
        """The headers, with the signature of a message among them; ``data`` is its serialised body."""
        # The values as their reader will decode them: a tuple becomes a list.
        headers = typed_json.loads(typed_json.dumps(headers))
        return {**headers, HEADER: self._sign(_message(headers, content_type, content_encoding, data))}

    def check_message(self, headers: Mapping[str, Any], content_type: Any, content_encoding: Any, data: bytes) -> None:
        """Raises SignatureError."""
        given = headers.get(HEADER)
        if given is None and not self._required:
            return
        if not isinstance(given, str):
            raise SignatureError("the message is not signed, and message_signing_keys is set")
        self._check(_message(headers, str(content_type), str(content_encoding), data), given, "the message")

    def seal(self, place: str, data: bytes) -> bytes:
        """``data`` with its signature for a place behind it."""
        return data + _MARK + self._sign(_placed(place, data)).encode()

    def open(self, place: str, sealed: bytes) -> bytes:
        """The value that was sealed for that place. Raises SignatureError."""
        # The script that collects parts distinguishes equal parts by spaces.
        whole = sealed.rstrip(b" ")
        data, mark, signature = whole[: -_DIGITS - 1], whole[-_DIGITS - 1 : -_DIGITS], whole[-_DIGITS:]
        if mark != _MARK:
            if not self._required:
                return sealed
            raise SignatureError(f"{place} is not signed, and message_signing_keys is set")
        self._check(_placed(place, data), signature.decode("ascii", "replace"), place)
        return data

    def _sign(self, what: bytes) -> str:
        return _digest(self._keys[0], what)

    def _check(self, what: bytes, given: str, name: str) -> None:
        from hmac import compare_digest

        for key in self._keys:
            if compare_digest(_digest(key, what).encode(), given.encode("utf-8", "replace")):
                return
        raise SignatureError(f"{name} has a signature that none of message_signing_keys made")


class Unsigned(Signer):
    """Where no key is set: nothing is signed, and no signature is checked."""

    signs = False

    def __init__(self) -> None:
        super().__init__(())

    def seal(self, place: str, data: bytes) -> bytes:
        return data

    def open(self, place: str, sealed: bytes) -> bytes:
        return sealed


UNSIGNED = Unsigned()


def signer(keys: str | Sequence[str] | None, required: bool = True) -> Signer:
    """The signer of the setting ``message_signing_keys``. Raises ConfigurationError."""
    given = [keys] if isinstance(keys, str) else list(keys or ())
    return Signer(given, required) if given else UNSIGNED


def part_of(group_id: str) -> str:
    """The place of a chord's parts."""
    return f"a part of {group_id}"


def mail_of(run: str, mailbox: str) -> str:
    """The place of the values of a run's mailbox."""
    return f"mail {mailbox!r} of run {run}"


def end_of(group_id: str) -> str:
    """The place of what ending a chord needs."""
    return f"the end of {group_id}"


def _digest(key: bytes, what: bytes) -> str:
    # Imported late: few programs sign; the others need not load this.
    import hmac

    return hmac.new(key, what, "sha256").hexdigest()


def _message(headers: Mapping[str, Any], content_type: str, content_encoding: str, data: bytes) -> bytes:
    signed = {key: value for key, value in headers.items() if key not in _CHANGED_ON_THE_WAY}
    text = json.dumps(signed, sort_keys=True, separators=(",", ":"), default=repr)
    return b"\n".join([b"canvas message 1", text.encode(), content_type.encode(), content_encoding.encode(), data])


def _placed(place: str, data: bytes) -> bytes:
    return b"\n".join([b"canvas value 1", place.encode("utf-8", "surrogatepass"), data])
