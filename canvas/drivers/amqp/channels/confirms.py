"""Publisher confirms of one channel: which publications the broker has not confirmed yet."""

from canvas.drivers.amqp.channels.link import Link
from canvas.drivers.amqp.protocol.frames import Confirmed, Event, Returned
from canvas.errors import OperationalError


class Confirms:
    """Counts the publications of a channel as the broker does."""

    def __init__(self) -> None:
        self._number = 0

    def wait(self, link: Link, count: int) -> list[Returned]:
        """Wait until the broker has confirmed ``count`` publications that were sent just now; those of them that no
        queue took. Raises OperationalError when the broker refuses one."""
        missing = set(range(self._number + 1, self._number + count + 1))
        self._number += count
        returned: list[Returned] = []
        refused = False

        def take(event: Event) -> bool:
            nonlocal refused
            if isinstance(event, Returned):
                returned.append(event)
            elif isinstance(event, Confirmed):
                refused = refused or not event.accepted
                missing.difference_update([n for n in missing if n <= event.tag] if event.multiple else (event.tag,))
            else:
                return False
            return True

        link.take_until(take, lambda: not missing)
        if refused:
            raise OperationalError(
                "RabbitMQ did not take a message: its queue is full, or the node of the queue is away"
            )
        return returned
