"""Publisher confirms of one channel: which publications the broker has not confirmed yet."""

import threading
from collections.abc import Collection, Sequence

from canvas.drivers.amqp.channels.link import Link
from canvas.drivers.amqp.protocol.frames import Confirmed, Event, Returned
from canvas.errors import OperationalError


class NotTaken(OperationalError):
    """The broker does not take some publications now. ``places``: which, among those that were sent together.
    ``returned``: those that no queue took."""

    def __init__(self, places: Sequence[int], returned: Sequence[Returned]) -> None:
        super().__init__("RabbitMQ did not take a message: its queue is full, or the node of the queue is unreachable")
        self.places, self.returned = places, returned


class Unconfirmed:
    """Publications that were sent together."""

    def __init__(self, numbers: range, message_ids: Collection[str]) -> None:
        self.missing = set(numbers)
        self.first = numbers.start
        self.message_ids = message_ids
        self.returned: list[Returned] = []
        """The publications that no queue took."""
        self.refused: set[int] = set()
        self.lost: OperationalError | None = None

    def done(self) -> bool:
        """Whether the broker has answered to all of them, or the connection is lost."""
        return not self.missing or self.lost is not None


class Confirms:
    """Counts the publications of a channel as the broker does. Threads may wait for theirs at the same time: one of
    them reads the connection for all."""

    def __init__(self) -> None:
        self._number = 0
        self._waiting: list[Unconfirmed] = []
        self._reading = threading.Lock()

    def expect(self, count: int, message_ids: Collection[str] = ()) -> Unconfirmed:
        """The next ``count`` publications of the channel, those that may be returned with these ids. One thread at a
        time calls this, and then sends them."""
        found = Unconfirmed(range(self._number + 1, self._number + count + 1), message_ids)
        self._number += count
        self._waiting.append(found)
        return found

    def wait(self, link: Link, mine: Unconfirmed) -> list[Returned]:
        """Wait until the broker has confirmed publications that were sent. Returns those of them that no queue took.
        Raises OperationalError when the connection is lost, NotTaken when the broker refuses some."""
        while not mine.done():
            with self._reading:
                if not mine.done():
                    self._read(link, mine)
        if mine.lost is not None:
            raise mine.lost
        if mine.refused:
            raise NotTaken([number - mine.first for number in sorted(mine.refused)], mine.returned)
        return mine.returned

    def _read(self, link: Link, mine: Unconfirmed) -> None:
        try:
            link.take_until(self._take, mine.done)
        except OperationalError as exc:
            self.lose(exc)

    def lose(self, error: OperationalError) -> None:
        """The connection is lost: no further confirm comes."""
        for one in self._waiting:
            one.lost = error
        self._waiting = []

    def _take(self, event: Event) -> bool:
        if isinstance(event, Returned):
            # It comes before the confirm of the same publication, which therefore is still missing.
            owner = [one for one in self._waiting if event.content.properties.get("message_id") in one.message_ids]
            (owner or self._waiting)[0].returned.append(event)
        elif isinstance(event, Confirmed):
            for one in self._waiting:
                found = {number for number in one.missing if number <= event.tag} if event.multiple else {event.tag}
                if not event.accepted:
                    one.refused |= found & one.missing
                one.missing -= found
            self._waiting = [one for one in self._waiting if one.missing]
        else:
            return False
        return True
