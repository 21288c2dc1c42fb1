"""The parts of a server, or a folder, that keeps values by key, as a store of records needs them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol


class KeyValues(Protocol):
    """Values by key.

    Errors: OperationalError while the server is unreachable, after tries of its own; RefusedError for a key or a value
    that is not taken, however often it is sent.
    """

    deletes_expired: bool
    """Whether values are deleted automatically when they expire."""

    def get(self, keys: Sequence[str], retry: bool = True) -> Mapping[str, bytes]:
        """The values of those keys that have one. ``retry``: whether to try again while the server is unreachable."""

    def set(self, key: str, value: bytes, seconds: int | None) -> None:
        """Keep a value for ``seconds``; ``None``: without an end."""

    def change(self, key: str, change: Callable[[bytes | None], bytes | None], seconds: int | None) -> bool:
        """Set the value that ``change`` returns for the present one; ``False``, and nothing is set, when that is
        ``None``.

        Atomic as far as the store can; ``change`` may be called several times.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the values of these keys, as far as there are any."""

    def cleanup(self, prefixes: Sequence[str], seconds: float) -> int:
        """Delete values that are older than ``seconds``, of keys with one of these prefixes. Returns how many: 0 where
        they are deleted automatically."""

    def close(self) -> None:
        """Release connections. Using the store again connects."""


class KeyNames:
    """The names of keys, as Celery's stores have them. Keys that only canvas has begin with another prefix."""

    def __init__(self, prefix: str) -> None:
        """``prefix``: Celery's ``global_keyprefix``."""
        if prefix and prefix[-1] not in ":_-.":
            prefix += "_"
        self.tasks, self.groups = f"{prefix}celery-task-meta-", f"{prefix}celery-taskset-meta-"
        self.counters = f"{prefix}chord-unlock-"
        self._own = f"{prefix}canvas-"

    def task(self, task_id: str) -> str:
        """The key of a task's record."""
        return self.tasks + task_id

    def success(self, task_id: str) -> str:
        """The key that marks a record as a success, if its bytes do not show it."""
        return f"{self._own}success-{task_id}"

    def group(self, group_id: str) -> str:
        """The key of a saved group."""
        return self.groups + group_id

    def counter(self, group_id: str) -> str:
        """The key of Celery's counter of a chord's parts."""
        return self.counters + group_id

    def own(self, kind: str, name: str = "") -> str:
        """A key of canvas'."""
        return f"{self._own}{kind}-{name}" if name else f"{self._own}{kind}"
