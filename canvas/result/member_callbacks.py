"""Callbacks for the members of a set of results, each called as its value arrives."""

from collections.abc import Callable
from typing import Any


class MemberCallbacks:
    """Calls ``callback`` for each member of a set once all that is in it has arrived; without one, nothing."""

    def __init__(
        self, results: list[Any], callback: Callable[[str, Any], Any] | None, value_of: Callable[[Any], Any]
    ) -> None:
        """``value_of`` gives the value of a member that has arrived."""
        self._callback = callback
        self._value_of = value_of
        self._waiting: dict[str, list[tuple[Any, set[str]]]] = {}
        for member in results if callback is not None else ():
            ids = {leaf.id for leaf in member.leaves() if not leaf.ignored}
            for task_id in ids:
                self._waiting.setdefault(task_id, []).append((member, ids))
            if not ids:
                self._call(member)

    def arrived(self, task_id: str) -> None:
        """The result of this task is there."""
        for member, ids in self._waiting.pop(task_id, ()):
            ids.discard(task_id)
            if not ids:
                self._call(member)

    def _call(self, member: Any) -> None:
        assert self._callback is not None
        self._callback(getattr(member, "id", None) or "", self._value_of(member))
