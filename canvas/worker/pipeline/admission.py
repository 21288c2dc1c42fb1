"""Decode a delivery, and decide whether its message runs now, later or never. The clock is an argument."""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from canvas.app.application import Canvas
from canvas.errors import InvalidTaskError, WireError
from canvas.model.message import LINKS_HEADER, NO_EMBED, EncodedMessage, Message
from canvas.task.task import Task
from canvas.wire import task_message as wire
from canvas.wire import typed_json
from canvas.wire.moments import instant


@dataclass(frozen=True, slots=True)
class Proceed:
    """Now."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Not before unix time ``due``."""

    due: float


@dataclass(frozen=True, slots=True)
class Discard:
    """Its time is over; ``reason`` as Celery names it."""

    reason: str


Admission: TypeAlias = Proceed | Defer | Discard
RUN = Proceed()
UNLIMITED = [None, None]
"""The header of a call that was sent without time limits."""
_LONGEST = 10 * 366 * 86_400
"""Seconds."""
_DECODED_AHEAD = 256
"""Messages decoded before their turn that are kept at most."""


class MessageDecoder:
    """Decodes the messages of one app. One that was decoded before its turn is not decoded again."""

    def __init__(self, app: Canvas) -> None:
        self._app = app
        self._conf = app.conf
        self._accept = app.accept_content
        self._codec = app.driver.broker.codec
        self._kept: dict[bytes, Message] = {}
        self._expected: tuple[bytes, Message] | None = None

    def decode(self, payload: bytes) -> Message:
        """Raises WireError and InvalidTaskError."""
        expected = self._expected
        if expected is not None and expected[0] is payload:
            self._expected = None
            return expected[1]
        if self._kept:
            decoded = self._kept.pop(payload, None)
            if decoded is not None:
                return decoded
        conf = self._conf
        return wire.decode(
            self._codec.decode(payload, conf.task_message_max_depth),
            accept=self._accept,
            max_bytes=conf.task_message_max_bytes,
            max_depth=conf.task_message_max_depth,
            signer=self._app.signer,
        )

    def decode_partial(self, payload: bytes) -> Message | None:
        """A message for which ``decode`` or ``admit`` raises InvalidTaskError, without its arguments and without the
        links that make no sense; ``None`` if it names no task. Raises WireError."""
        conf, encoded = self._conf, self._codec.decode(payload, self._conf.task_message_max_depth)
        body = wire.read_body(
            encoded, self._accept, conf.task_message_max_bytes, conf.task_message_max_depth, self._app.signer
        )
        if isinstance(body, dict):
            sound: Any = {**body, "args": (), "kwargs": {}, **_sound_links(body)}
        else:
            sound = [(), {}, _sound_links(body[2])]
        return _if_named(encoded, sound)

    def decode_headers(self, payload: bytes) -> Message | None:
        """A message whose body is refused or cannot be read, without arguments, if its headers name its task and its
        links. Raises WireError."""
        conf, encoded = self._conf, self._codec.decode(payload, self._conf.task_message_max_depth)
        text = encoded.headers.get(LINKS_HEADER)
        # A signature covers the body, too: headers alone may be forged.
        if not isinstance(text, str) or self._app.signer.signs:
            return None
        links = typed_json.loads(text.encode(), max_depth=conf.task_message_max_depth)
        return _if_named(encoded, [(), {}, _sound_links(links)])

    def expect(self, payload: bytes) -> None:
        """Decode a message that is likely to be the next one: the process waits for the broker meanwhile. An error is
        raised when its turn comes."""
        self._expected = None
        with suppress(WireError, InvalidTaskError):
            self._expected = payload, self.decode(payload)

    def keep(self, payload: bytes, message: Message) -> None:
        """Keep a message for its turn."""
        if len(self._kept) >= _DECODED_AHEAD:
            self._kept.clear()
        self._kept[payload] = message


def _if_named(encoded: EncodedMessage, body: Any) -> Message | None:
    """The message with this body; ``None`` if it names no task."""
    try:
        found = wire.message_of(encoded.headers, body)
    except InvalidTaskError:
        return None
    found.properties, found.content_type = encoded.properties, encoded.content_type
    return found


def _sound_links(links: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict(NO_EMBED)
    if isinstance(links, dict):
        for name in NO_EMBED:
            with suppress(InvalidTaskError):
                found[name] = wire.embed_from({name: links.get(name)})[name]
    return found


def admit(message: Message, now: float) -> Admission:
    """Decide by ``expires`` and ``eta`` (protocol.md §2.4). Raises InvalidTaskError for text that is not a time."""
    headers = message.headers
    expires, eta = headers.get("expires"), headers.get("eta")
    if expires is None and eta is None:
        return RUN
    if expires is not None and unix_time(expires, "expires") <= now:
        return Discard("expired")
    if eta is not None:
        due = unix_time(eta, "eta")
        if due > now:
            return Defer(due)
    return RUN


def time_limits(given: Any) -> tuple[float | None, float | None]:
    """The hard and soft limit that a call was sent with, seconds, of its header ``timelimit``. Raises InvalidTaskError
    for a header of another form."""
    if given is None or given == UNLIMITED:
        return None, None
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise InvalidTaskError(f"timelimit: expected [hard, soft] in seconds; got {given!r:.100}")
    hard, soft = (_seconds(value) for value in given)
    return hard, soft


def acks_late(task: Task[Any], message: Message) -> bool:
    """The call's own ``acks_late``, which travels as a property, or the task's."""
    asked = message.properties.get("acks_late")
    return bool(task.acks_late if asked is None else asked)


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidTaskError(f"timelimit: expected seconds, 0 or more; got {type(value).__name__} {value!r:.100}")
    return min(value, _LONGEST)


def unix_time(value: Any, name: str) -> float:
    """ISO 8601 text as unix time; without an offset it is UTC."""
    if not isinstance(value, str):
        raise InvalidTaskError(f"{name}: expected ISO 8601 text; got {type(value).__name__} {value!r:.100}")
    return instant(value, name).timestamp()
