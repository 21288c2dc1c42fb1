"""Dead letters in RabbitMQ: in the queue ``canvas.dead.<queue>``, each with its reason in a header."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from canvas.drivers.amqp.broker import AmqpBroker
from canvas.drivers.amqp.channels.connecting import channel_of
from canvas.drivers.amqp.channels.publisher import Publication
from canvas.drivers.amqp.contents import DEAD, Outgoing, from_amqp, to_content, to_payload
from canvas.drivers.kombu_envelope import new_delivery_tag
from canvas.drivers.ports.values import DeadLetter
from canvas.model.message import Delivery

_PREFIX: Final = "canvas.dead."


def _queue_of(queue: str) -> str:
    return f"{_PREFIX}{queue}"


def queue_of_letters(name: str) -> str:
    """The queue whose dead letters are in the queue ``name``; ``""`` if that has no dead letters."""
    return name.removeprefix(_PREFIX) if name.startswith(_PREFIX) else ""


def dead_letter(delivery: Delivery, reason: str) -> Outgoing:
    """A message on its way to the dead letters of its queue."""
    about = [reason, time.time()]
    return Outgoing(new_delivery_tag(), "", _queue_of(delivery.queue), delivery.payload, headers={DEAD: about})


class DeadLetters:
    """The dead letters of a broker, by the methods of Admin."""

    def __init__(self, broker: AmqpBroker) -> None:
        self._broker = broker

    def dead_letter_count(self, queue: str) -> int:
        return self._broker.topology.length(_queue_of(queue)) or 0

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        with self._read(queue) as letters:
            return [letter for letter, _ in letters]

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        return self._take(queue, letter, lambda: None)

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        content = to_content(payload, new_delivery_tag())
        return self._take(queue, letter, lambda: self._broker.publisher.publish([Publication("", queue, content)]))

    def _take(self, queue: str, wanted: DeadLetter, do: Callable[[], None]) -> bool:
        with self._read(queue) as letters:
            for letter, ack in letters:
                if letter.token == wanted.token:
                    do()
                    ack()
                    return True
        return False

    @contextmanager
    def _read(self, queue: str) -> Iterator[Iterator[tuple[DeadLetter, Callable[[], None]]]]:
        """The dead letters of a queue, each with the function that deletes it. They stay in their queue."""
        count = self.dead_letter_count(queue)
        with channel_of(self._broker.addresses, self._broker.timeout) as channel:
            yield self._letters(channel, queue, count)

    def _letters(self, channel: Any, queue: str, count: int) -> Iterator[tuple[DeadLetter, Callable[[], None]]]:
        for _ in range(count):
            message = channel.basic_get(_queue_of(queue))
            if message is None:
                return
            content = from_amqp(message)
            about = (content.properties.get("application_headers") or {}).get(DEAD)
            reason, at = about if isinstance(about, list) and len(about) == 2 else ("", 0.0)
            payload, message_id, _ = to_payload(content, "", queue)
            letter = DeadLetter(payload, str(reason), queue, float(at), message_id.encode())
            yield letter, partial(channel.basic_ack, message.delivery_tag)
