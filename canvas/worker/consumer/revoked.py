"""The ids and stamps of tasks that were revoked, as this process knows them.

They are kept by the broker, so that they outlive every worker, and read again when the reply to a lease has
another version: a revocation before a message was leased is known before its task starts.
"""

from collections.abc import Collection

from canvas.drivers.ports.coordination import Coordination
from canvas.model.message import Message
from canvas.remote.revocation_entries import read_entry


class Revocations:
    """The revocations that were read last."""

    def __init__(self, coordination: Coordination) -> None:
        self._coordination = coordination
        self.version = 0
        """The version that was read."""
        self.any = False
        """Whether anything is revoked."""
        self._ids: frozenset[str] = frozenset()
        self._stamps: frozenset[tuple[str, str]] = frozenset()

    def read(self) -> None:
        """Read them. Raises BrokerError."""
        version, found = self._coordination.revoked()
        entries = [read_entry(text) for text in found]
        self._ids = frozenset(entry for entry in entries if isinstance(entry, str))
        self._stamps = frozenset(entry for entry in entries if not isinstance(entry, str))
        self.any = bool(entries)
        self.version = version

    def lists(self, task_id: str) -> bool:
        """Whether the id itself is revoked."""
        return task_id in self._ids

    def match(self, message: Message) -> bool:
        """Whether the message's id, or one of its stamps, is revoked."""
        return self.lists(message.id) or (bool(self._stamps) and has_stamp(message, self._stamps))


def has_stamp(message: Message, wanted: Collection[object]) -> bool:
    """Whether one of the message's stamps is among ``(name, value)`` pairs."""
    stamps, names = message.headers.get("stamps"), message.headers.get("stamped_headers")
    if not isinstance(stamps, dict) or not isinstance(names, list | tuple):
        return False
    named = [name for name in names if isinstance(name, str) and name in stamps]
    return any((name, str(value)) in wanted for name in named for value in _values(stamps[name]))


def _values(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple | set) else [value]
