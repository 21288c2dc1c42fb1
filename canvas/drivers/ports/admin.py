"""Queries and changes of a broker for its operators: dead letters, lengths of queues, delayed messages."""

from typing import Protocol

from canvas.drivers.ports.values import DeadLetter, InFlight, Scheduled


class Admin(Protocol):
    """Queues and dead letters, as commands and monitoring see them."""

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        """The dead letters of a queue, oldest first."""

    def dead_letter_count(self, queue: str) -> int:
        """How many dead letters a queue has."""

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        """Delete a dead letter. Returns whether it was still there."""

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        """Put ``payload``, a dead letter's message, back into its queue, once. Returns whether the letter was still
        there."""

    def queue_length(self, queue: str, retry: bool = True) -> int:
        """Messages waiting in the queue, all priorities. Without ``retry`` an unreachable server is asked once."""

    def find_queues(self) -> list[str]:
        """Names of queues that hold messages of tasks or dead letters, also of those that no program of this app knows.
        Each call looks at a part of the server's keys, and the next call at another. None where the broker does not
        list queues."""

    def next_messages(self, queue: str) -> list[bytes]:
        """The messages that workers take next from the queue, one of each priority that has any; none where the broker
        does not show messages without delivering them."""

    def refusal(self) -> str | None:
        """The server's words if it stores no messages now, such as a Redis without memory; ``None`` if it does."""

    def in_flight(self) -> InFlight:
        """How many messages of all queues are in none of them now."""

    def purge(self, queue: str) -> int:
        """Delete the waiting messages of a queue. Returns how many there were."""

    def enqueue_delayed(self, queue: str, limit: int) -> int:
        """Move delayed messages of a queue into it, due or not. A worker that leases one too early delays it again.
        Returns how many were moved."""

    def scheduled(self, limit: int) -> list[Scheduled]:
        """The delayed messages that are due first."""
