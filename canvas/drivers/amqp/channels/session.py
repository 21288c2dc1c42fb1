"""A worker's channel: it takes messages from queues, and commits publications and acks."""

import time
from collections.abc import Sequence
from typing import Final

from canvas.drivers.amqp.channels.consumer_channel import Arrived, ConsumerChannel, Held
from canvas.drivers.amqp.channels.link import CHANNEL, Link
from canvas.drivers.amqp.protocol import methods
from canvas.drivers.amqp.protocol.frames import Committed, Event, Got, OtherMethod, Returned, ack, commit, nack
from canvas.errors import OperationalError

_AT_ONCE = 256
"""Messages that one write asks for."""
REJECTED: Final = frozenset({"reject", "dead_letter"})
"""The disposals of settlements whose messages are rejected."""


class Session(ConsumerChannel):
    """The channel of one worker."""

    def exchange(
        self,
        publications: Sequence[bytes],
        acks: Sequence[Held],
        nacks: Sequence[Held],
        queues: Sequence[str],
        limit: int,
        rejects: Sequence[Held] = (),
    ) -> tuple[list[Returned], list[Arrived]]:  # fmt: skip
        """Commit publications, acks, nacks and rejects, and take up to ``limit`` messages from the queues in their
        order. It may take fewer than there are. Returns the publications that no queue took, and the messages. Raises
        OperationalError.

        RabbitMQ returns nacked messages to their queues, and sends rejected ones to the dead-letter exchange of theirs.

        In a transaction, all is committed or nothing. Without one, RabbitMQ confirms the publications before the acks.
        """
        with self.lock:
            try:
                link = self._ready()
                ours = [[held.number for held in some if held.link is link] for some in (acks, nacks, rejects)]
                return self._exchange(link, publications, ours, queues, limit)
            except OperationalError:
                self.lose(self._link)
                raise

    def _exchange(
        self, link: Link, publications: Sequence[bytes], ends: Sequence[Sequence[int]], queues: Sequence[str],
        limit: int,
    ) -> tuple[list[Returned], list[Arrived]]:  # fmt: skip
        acks, nacks, rejects = ends
        frames = [*publications, *(ack(CHANNEL, number) for number in acks)]
        frames += [nack(CHANNEL, number) for number in nacks]
        frames += [nack(CHANNEL, number, requeue=False) for number in rejects]
        returned: list[Returned] = []
        arrived = [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]
        missing = limit - len(arrived)
        # RabbitMQ refuses to have messages got from a queue with one active consumer, or gives them out of their order.
        queues = [queue for queue in queues if missing and not self._kinds.has_one_active_consumer(queue)]
        for queue in queues:
            self._make_sure(queue)
        if frames:
            first = queues[0] if queues else ""
            asked = min(missing, self._left.get(first, 0), _AT_ONCE)
            if not self._transactional and publications:
                sent = self._confirms.expect(len(publications))
                link.send(b"".join(publications))
                returned += self._confirms.wait(link, sent)
                frames = frames[len(publications) :]
            # RabbitMQ takes nothing on a channel between a commit and its answer.
            end = [commit(CHANNEL)] if self._transactional else []
            link.send(b"".join([*frames, methods.get(CHANNEL, first) * asked, *end]))
            arrived += self._receive(link, self._transactional, first, asked, returned)
            for number in (*acks, *nacks, *rejects):
                self._pushed.pop(number, None)
        if not arrived:
            arrived = self._get(link, queues, missing)
        return returned, arrived

    def _get(self, link: Link, queues: Sequence[str], missing: int) -> list[Arrived]:
        """Up to ``missing`` messages of the queues in their order."""
        arrived: list[Arrived] = []
        for queue in queues:
            while missing > len(arrived):
                asked = min(missing - len(arrived), max(1, self._left.get(queue, 0)), _AT_ONCE)
                link.send(methods.get(CHANNEL, queue) * asked)
                got = self._receive(link, False, queue, asked, [])
                arrived += got
                if len(got) < asked or not self._left.get(queue):
                    break
        return arrived

    def _receive(self, link: Link, committing: bool, queue: str, asked: int, returned: list[Returned]) -> list[Arrived]:
        """The answers to a commit and to requests for messages of a queue."""
        got: list[Arrived] = []
        now = time.monotonic()
        answers, committed = 0, not committing

        def take(event: Event) -> bool:
            nonlocal answers, committed
            match event:
                case Got(_, left, number, redelivered, exchange, routing_key, content):
                    self._left[queue] = left
                    got.append(Arrived(link, queue, number, redelivered, exchange, routing_key, content, now))
                    answers += 1
                case OtherMethod(number=methods.GET_EMPTY):
                    self._left[queue] = 0
                    answers += 1
                case Committed():
                    committed = True
                case Returned():
                    returned.append(event)
                case _:
                    return self._take_other(link, event)
            return True

        link.take_until(take, lambda: committed and answers >= asked)
        return got

    def return_held(self, tags: Sequence[str]) -> None:
        """Return the messages of these leases to their queues, as far as they are held on this channel."""
        with self.lock:
            held = [self.held.pop(tag) for tag in tags if tag in self.held]
            if held:
                try:
                    self.exchange((), (), held, (), 0)
                except OperationalError:
                    return  # the broker returns them itself

    def return_all(self) -> None:
        """Return everything that this channel holds."""
        with self.lock:
            try:
                self.return_buffered()
            except OperationalError:
                return  # the broker returns them itself
            self.return_held(list(self.held))

    def return_buffered(self) -> int:
        """Stop the consumers, and return messages that they got and that were not leased. Returns how many.

        A consumer that has to stay keeps its messages.
        """
        with self.lock:
            if self._link is None or not (self._consumers or self._buffer):
                return 0
            try:
                for queue in [queue for queue in self._consumers if not self._stays(queue)]:
                    self._stop_consumer(self._link, queue)
                kept = [one for one in self._buffer if one.queue in self._consumers]
                numbers = [one.number for one in self._buffer if one.queue not in self._consumers]
                self._buffer.clear()
                self._buffer.extend(kept)
                if numbers:
                    self._exchange(self._link, (), ((), numbers, ()), (), 0)
                return len(numbers)
            except OperationalError:
                self.lose(self._link)
                raise
