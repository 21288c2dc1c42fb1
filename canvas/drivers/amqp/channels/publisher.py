"""Publishes messages with confirms, on a connection of its own that has no heartbeats and needs no thread."""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from canvas.drivers.amqp.channels.confirms import Confirms, NotTaken
from canvas.drivers.amqp.channels.link import CHANNEL, ChannelClosed, Link
from canvas.drivers.amqp.protocol import frames, methods
from canvas.drivers.amqp.protocol.frames import Content, Returned
from canvas.drivers.retry_policy import Delays, tried
from canvas.errors import OperationalError

_AT_ONCE = 500
"""Messages that are written before their confirms are waited for."""


class Publication(NamedTuple):
    """A message on its way to an exchange."""

    exchange: str
    routing_key: str
    content: Content
    mandatory: bool = True
    """Whether its queue is made, if there is none."""


class Places(Protocol):
    """The parts of the broker that know which queues and exchanges exist."""

    def remade(self, returned: Iterable[Returned]) -> list[Publication]:
        """Make the queues that returned messages were sent to; these messages."""

    def existing(self, messages: Sequence[Publication]) -> list[Publication]:
        """The messages whose exchanges exist, after the broker has closed a channel: those of delays are made again."""

    def elsewhere(self, refused: Sequence[Publication]) -> list[Publication]:
        """Messages that the broker does not take: those that were to be delayed go to other queues of delays."""


class Publisher:
    """The publishing connection of a process. One thread at a time sends; any number wait for their confirms."""

    def __init__(self, connect: Callable[[], Link], places: Places) -> None:
        self._connect = connect
        self._places = places
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._confirms = Confirms()

    @property
    def blocked(self) -> str:
        """Why the broker has taken no messages from this connection since the last one was sent; empty if it does."""
        link = self._link
        return "" if link is None else link.blocked

    def publish(self, messages: Sequence[Publication], delays: Delays = None) -> None:
        """Return when the broker has the messages. One that was lost on the way is sent again under the same id.

        Raises OperationalError.
        """
        for start in range(0, len(messages), _AT_ONCE):
            self._publish_again(messages[start : start + _AT_ONCE], (), delays)

    def offer(self, messages: Sequence[Publication]) -> set[str]:
        """Like ``publish``, for messages that may be sent later; the ids of those that the broker does not take now."""
        left: list[Publication] = []
        for start in range(0, len(messages), _AT_ONCE):
            self._publish_again(messages[start : start + _AT_ONCE], (), None, left)
        return {one.content.properties.get("message_id", "") for one in left}

    def publish_returned(self, returned: Sequence[Returned]) -> None:
        """Make the queues that these messages were sent to, and publish them there. Raises OperationalError."""
        self._publish_again((), returned, None)

    def _publish_again(
        self, messages: Sequence[Publication], returned: Sequence[Returned], delays: Delays,
        refused: list[Publication] | None = None,
    ) -> None:  # fmt: skip
        """``refused`` gets the messages that the broker does not take; without it they are tried again as well."""
        channel_closed = False

        def publish_rest() -> None:
            nonlocal messages, returned, channel_closed
            while messages or returned:
                if channel_closed:
                    messages, channel_closed = self._places.existing(messages), False
                if returned:
                    messages, returned = [*messages, *self._places.remade(returned)], ()
                if not messages:
                    return
                try:
                    messages, returned = (), self._publish(messages)
                except NotTaken as exc:
                    left = self._places.elsewhere([messages[place] for place in exc.places])
                    returned = exc.returned
                    if refused is None:
                        messages = left
                        raise
                    messages = ()
                    refused.extend(left)
                except ChannelClosed:
                    channel_closed = True
                    raise

        tried(publish_rest, delays)

    def _publish(self, messages: Sequence[Publication]) -> list[Returned]:
        """The messages that no queue took. Raises OperationalError."""
        with self._lock:
            link = self._ready()
            data = b"".join(frames_of(messages, link.frame_max))
            ids = {one.content.properties.get("message_id", "") for one in messages if one.mandatory}
            confirms = self._confirms
            try:
                sent = confirms.expect(len(messages), ids)
                link.send(data)
            except OperationalError as exc:
                confirms.lose(exc)
                self._link = None
                raise
            except BaseException:
                self._link = None  # a signal's handler has raised: not all of it may have been sent
                raise
        try:
            return confirms.wait(link, sent)
        except NotTaken:
            raise
        except BaseException:  # of the link, or of a signal's handler: a confirm may be lost
            self._drop(link)
            raise

    def _drop(self, link: Link) -> None:
        """Use another connection from now on; the threads that wait for confirms on this one send again, too."""
        with self._lock:
            if self._link is link:
                self._link = None

    def _ready(self) -> Link:
        if self._link is None or self._link.is_cut():
            link = self._connect()
            link.call(methods.select_confirms(CHANNEL), methods.CONFIRM_SELECT_OK)
            self._confirms = Confirms()
            self._link = link
        return self._link

    def close(self) -> None:
        """Close the connection. Using the object again opens another."""
        with self._lock:
            link, self._link = self._link, None
            if link is not None:
                link.close()

    def forget(self) -> None:
        """In a forked process: close the copy of the parent's socket."""
        link, self._link, self._lock = self._link, None, threading.Lock()
        if link is not None:
            link.drop()


def frames_of(messages: Iterable[Publication], frame_max: int = frames.FRAME_MAX) -> list[bytes]:
    """The frames that publish these messages, those of each as bytes."""
    return [
        frames.publish(CHANNEL, exchange, routing_key, content, mandatory, frame_max)
        for exchange, routing_key, content, mandatory in messages
    ]
