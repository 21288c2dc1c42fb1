"""The queues of all partitions as commands and monitoring see and change them."""

from canvas.drivers.ports.admin import Admin
from canvas.drivers.ports.values import DeadLetter, InFlight, Scheduled
from canvas.drivers.redis.partitions.partition import Partitions


class PartitionedAdmin:
    """The Admin of ``canvas.drivers.ports``."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions

    def _of(self, queue: str) -> Admin:
        return self._partitions.of_queue(queue).admin

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        return self._of(queue).dead_letters(queue)

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        return self._of(queue).delete_dead_letter(queue, letter)

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        return self._of(queue).requeue_dead_letter(queue, letter, payload)

    def dead_letter_count(self, queue: str) -> int:
        return self._of(queue).dead_letter_count(queue)

    def queue_length(self, queue: str, retry: bool = True) -> int:
        return self._of(queue).queue_length(queue, retry)

    def find_queues(self) -> list[str]:
        return sorted({queue for one in self._partitions.every for queue in one.admin.find_queues()})

    def next_messages(self, queue: str) -> list[bytes]:
        return self._of(queue).next_messages(queue)

    def refusal(self) -> str | None:
        return next((found for one in self._partitions.every if (found := one.admin.refusal()) is not None), None)

    def in_flight(self) -> InFlight:
        return InFlight(*map(sum, zip(*(one.admin.in_flight() for one in self._partitions.every), strict=True)))

    def purge(self, queue: str) -> int:
        return self._of(queue).purge(queue)

    def enqueue_delayed(self, queue: str, limit: int) -> int:
        return self._of(queue).enqueue_delayed(queue, limit)

    def scheduled(self, limit: int) -> list[Scheduled]:
        every = [entry for one in self._partitions.every for entry in one.admin.scheduled(limit)]
        return sorted(every, key=lambda entry: entry.due)[:limit]
