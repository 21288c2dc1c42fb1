"""The data of queues in this process, under one lock."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import count

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.memory.bus import MemoryInbox
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.schedules import StoredEntry
from canvas.drivers.ports.values import DeadLetter
from canvas.drivers.priority import step_of
from canvas.drivers.stored_messages import loss_headers, redelivered
from canvas.drivers.unroutable import UnroutableMessages
from canvas.model.message import Publish
from canvas.model.queue import Binding, Queue
from canvas.model.settlement import UniqueLock

Clock = Callable[[], float]
BindingKey = tuple[str, str, str]
"""Exchange type, routing key, queue."""


class MemoryQueues:
    """Queues, leases, and the state that workers share, with one lock and one clock."""

    def __init__(self, clock: Clock = time.time, codec: MessageCodec = ENVELOPE) -> None:
        self.clock = clock
        self.codec = codec
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.queues: dict[tuple[str, int], deque[bytes]] = defaultdict(deque)
        self._unroutable = UnroutableMessages()
        self.bindings: dict[str, dict[BindingKey, Binding]] = defaultdict(dict)
        self.unacked: dict[str, tuple[str, bytes]] = {}
        self.early_acked: dict[str, tuple[str, bytes]] = {}
        self.orphaned: dict[str, tuple[float, str]] = {}
        self.started: set[str] = set()
        self.revoked: dict[str, float] = {}
        self.revocations_version = 0
        self.inboxes: dict[tuple[str, str], list[MemoryInbox]] = defaultdict(list)
        self.workers: dict[str, float] = {}
        self.deferred: list[tuple[float, int, Publish]] = []
        self.dead: dict[str, list[DeadLetter]] = defaultdict(list)
        self.guards: set[str] = set()
        self.rate_limits: dict[str, float] = {}
        self.permits: dict[str, set[str]] = defaultdict(set)
        self.blocked: dict[str, tuple[int, deque[tuple[str, bytes]]]] = {}
        self.locks: dict[str, tuple[str, float]] = {}
        self.schedules: dict[str, dict[str, StoredEntry]] = {}
        self.numbers = count()
        self.interrupts = 0

    def push(self, message: Publish) -> None:
        """Append a message to every queue it goes to."""
        step = step_of(message.priority)
        queues = self.route(message)
        for queue in queues:
            self.queues[queue, step].append(message.payload)
        if not queues:
            headers = self.codec.decode(message.payload).headers
            self._unroutable.report_unbound(message.exchange, message.routing_key, headers)
        self.changed.notify_all()

    def bind(self, queue: Queue) -> None:
        """Bind a queue to its exchange."""
        for way in queue.ways():
            self.bindings[way.exchange.name][way.exchange.type, way.routing_key, queue.name] = way

    def route(self, message: Publish) -> list[str]:
        if not message.exchange:
            return [message.routing_key]
        queue, exchange, routing_key = message.queue, message.exchange, message.routing_key
        bindable = queue is not None and not queue.declaration.is_broadcast
        if queue is not None and bindable and any(way.exchange.name == exchange for way in queue.ways()):
            self.bind(queue)
        bound = sorted(self.bindings[exchange].items(), key=lambda one: one[0])
        return list(dict.fromkeys(name for (*_, name), way in bound if way.takes(routing_key)))

    def release(self, tag: str, *, mark: bool = False, count_delivery: bool = False) -> bool:
        """Return a lease to the head of its queue. Returns whether it was held."""
        held = self.unacked.pop(tag, None) or self.early_acked.pop(tag, None)
        if held is None:
            return False
        queue, payload = held
        if mark:
            payload = redelivered(
                self.codec,
                payload,
                **(loss_headers(self.codec, payload, tag in self.started) if count_delivery else {}),
            )
        self._to_head(queue, payload)
        return True

    def _to_head(self, queue: str, payload: bytes) -> None:
        """The message is the next of its queue and priority."""
        self.queues[queue, step_of(self.codec.priority_of(payload))].appendleft(payload)
        self.changed.notify_all()

    def taken(self, key: str) -> int:
        """How many of a key's permits are taken by messages that a worker still holds."""
        self.permits[key] = {tag for tag in self.permits[key] if tag in self.unacked or tag in self.early_acked}
        return len(self.permits[key])

    def enqueue_blocked(self, key: str, many: int) -> int:
        """Return up to ``many`` messages that wait for a permit to their queues."""
        given, (_, waiting) = 0, self.blocked[key]
        while waiting and given < many:
            self._to_head(*waiting.popleft())
            given += 1
        if not waiting:
            del self.blocked[key]
        return given

    def free(self, key: str, tag: str) -> None:
        """Free a permit: the message that has waited longest may be leased."""
        self.permits[key].discard(tag)
        left = self.taken(key)
        if key in self.blocked:
            self.enqueue_blocked(key, self.blocked[key][0] - left)

    def unlock(self, lock: UniqueLock) -> None:
        if self.locks.get(lock.key, ("", 0))[0] == lock.owner:
            del self.locks[lock.key]
