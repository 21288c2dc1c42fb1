"""The state that a broker which only carries messages needs of another server.

RabbitMQ holds a message until it is acked, and knows nothing else about it. The state server knows which worker has
leased the message, and keeps the messages that a settlement sends until the broker has them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from canvas.drivers.ports.values import DeadLetter, InFlight, LeaseReply
from canvas.model.message import Delivery

if TYPE_CHECKING:
    from canvas.drivers.ports.coordination import Coordination
    from canvas.drivers.ports.recovery import Recovery
    from canvas.drivers.ports.results import TableStore
    from canvas.drivers.ports.schedules import ScheduleStore
    from canvas.drivers.ports.settler import Settler


class Arrival(NamedTuple):
    """A message that the broker has delivered to a worker, and that the worker has not leased yet."""

    delivery: Delivery
    message_id: str
    """Names one publication of a message: its copies that the broker delivers again have the same id."""
    deliveries: int
    """How often the broker has delivered it before; 1 also if the broker does not count."""
    own_id: bool
    """Whether its sender gave the id, so that two messages with the id are one message that was sent twice."""


class MessageState(Protocol):
    """Leases on messages of another broker, and the outboxes from which messages go to that broker."""

    durable: bool
    """Whether it outlives its process. If not, a settlement has taken effect only when the broker has its messages, and
    the headers of a message have to count its deliveries."""

    def register(self, worker: str, arrivals: Sequence[Arrival]) -> LeaseReply:
        """Lease messages. Messages that are not among the deliveries of the reply are settled already, or are copies of
        leased messages: they are to be acked at the broker.

        A redelivered message is taken over from the worker that had leased it, and its headers count the delivery. A
        message that the broker has not marked as redelivered, though it is leased, is a copy, or the broker has lost
        its deliveries: the lease stays with its worker, and is detached.
        """

    def renew(self, message_ids: Sequence[str]) -> None:
        """Remember for longer that these messages are leased, or are settled."""

    def detach(self, worker: str, tags: Sequence[str]) -> None:
        """The broker is about to lose the messages of these leases, which the worker still has. If the worker dies,
        they go into the outbox of all workers."""

    def attach(self, worker: str, tags: Sequence[str]) -> None:
        """These leases have ended: delete their marks as detached."""

    def release(self, deliveries: Sequence[Delivery]) -> int:
        """End leases, except detached ones, before the broker delivers their messages again. Returns how many were
        held."""

    def take_acked(self, delivery: Delivery, entry: bytes) -> bool:
        """Put ``entry``, the message of a lease that the broker does not have any more, into the outbox of all workers,
        and end the lease. Returns whether it was held."""

    def note_delay_queue(self, name: str) -> None:
        """Remember that the broker has a queue of this name, in which messages wait until they are due."""

    def delay_queues(self) -> list[str]:
        """The queues that were noted."""

    def forget_delay_queues(self, names: Sequence[str]) -> None:
        """The broker does not have these queues any more."""

    def outbox(self, worker: str) -> str:
        """The queue, of the state, that holds the messages which a worker has to send to the broker; ``""``: the outbox
        of all workers, into which the content of a dead worker's outbox is moved."""

    def unsent(self, worker: str, limit: int) -> list[bytes]:
        """The messages in a worker's outbox, the first to be sent first."""

    def sent(self, worker: str, count: int, refused: Sequence[bytes] = ()) -> None:
        """Delete the first messages of a worker's outbox: the broker has them, except those it ``refused``, which
        are put at the end of the outbox of all workers. If this raises OperationalError, it is done, once, before the
        outbox is read, or filled by ``claim``, the next time."""

    def claim(self, worker: str, limit: int) -> list[bytes]:
        """Fill this worker's outbox, up to ``limit`` messages, from that of all workers. Returns the messages in it,
        the first to be sent first."""

    def shared_count(self) -> int:
        """How many messages are in the outbox of all workers."""


class MessageAdmin(Protocol):
    """The messages that the state keeps, for commands and monitoring; each method as in ``Admin``."""

    def dead_letters(self, queue: str) -> list[DeadLetter]: ...

    def dead_letter_count(self, queue: str) -> int: ...

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool: ...

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool: ...

    def in_flight(self) -> InFlight: ...


class StateParts(NamedTuple):
    """The parts that a state server's URL opens, for a broker that carries messages and keeps no other state.

    They are those of a broker on that server, except that messages which they would put into a queue go into an outbox.
    """

    messages: MessageState
    check: Callable[[], None]
    """Returns when the server answers. Raises OperationalError or RefusedError when it does not."""
    close: Callable[[], None]
    admin: MessageAdmin | None
    """``None`` where the broker keeps dead letters."""
    coordination: "Coordination"
    recovery: "Recovery"
    schedules: "ScheduleStore | None"
    settler: "Settler | None"
    """``None`` where the broker commits all of a settlement itself."""
    connect: Callable[[Callable[[str], None], Callable[[str, bytes], bytes]], None]
    """Takes two functions of the broker: one that is called with a worker whose leases have ended, and one that makes
    the entry of an outbox of a queue and a message."""
    tables: "TableStore | None" = None
    """The tables that have to be made, where the results' do not include them."""
