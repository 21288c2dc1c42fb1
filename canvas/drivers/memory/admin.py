"""The view of the queues in this process for commands and monitoring."""

from canvas.drivers.memory.queues import MemoryQueues
from canvas.drivers.ports.values import DeadLetter, InFlight, Scheduled
from canvas.drivers.priority import STEPS
from canvas.model.message import Publish


class MemoryAdmin:
    """The Admin over :class:`MemoryQueues`."""

    def __init__(self, memory: MemoryQueues) -> None:
        self._memory = memory

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        with self._memory.lock:
            kept = self._memory.dead[queue]
            if letter not in kept:
                return False
            kept.remove(letter)
            return True

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        held = self.delete_dead_letter(queue, letter)
        if held:
            with self._memory.lock:
                self._memory.push(Publish("", queue, self._memory.codec.priority_of(payload), payload))
        return held

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        return list(self._memory.dead[queue])

    def dead_letter_count(self, queue: str) -> int:
        return len(self._memory.dead[queue])

    def queue_length(self, queue: str, retry: bool = True) -> int:
        return sum(len(self._memory.queues[queue, step]) for step in STEPS)

    def find_queues(self) -> list[str]:
        with self._memory.lock:
            dead = {queue for queue, letters in self._memory.dead.items() if letters}
            return sorted(dead | {queue for (queue, _), waiting in self._memory.queues.items() if waiting})

    def next_messages(self, queue: str) -> list[bytes]:
        lists = [self._memory.queues[queue, step] for step in STEPS]
        return [waiting[0] for waiting in lists if waiting]

    def refusal(self) -> str | None:
        return None

    def in_flight(self) -> InFlight:
        memory = self._memory
        return InFlight(len(memory.unacked), len(memory.deferred), sum(len(w) for _, w in memory.blocked.values()))

    def purge(self, queue: str) -> int:
        with self._memory.lock:
            length = self.queue_length(queue)
            for step in STEPS:
                self._memory.queues[queue, step].clear()
        return length

    def enqueue_delayed(self, queue: str, limit: int) -> int:
        memory = self._memory
        with memory.lock:
            moved, kept = 0, []
            for entry in sorted(memory.deferred):
                if moved < limit and queue in memory.route(entry[2]):
                    memory.push(entry[2])
                    moved += 1
                else:
                    kept.append(entry)
            memory.deferred = kept
        return moved

    def scheduled(self, limit: int) -> list[Scheduled]:
        with self._memory.lock:
            first = sorted(self._memory.deferred)[:limit]
        return [Scheduled(due, publish.routing_key, publish.payload) for due, _, publish in first]
