"""Joins of runs that one process completes alone: the next node's message goes along with the last part, instead
of a call later.

Whether a part is the last, and whether the others are those that this process knows, the broker sees as it takes the
settlement; otherwise the join is handed out like any chord.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from canvas.model.settlement import ChordDispatch, Part, ReadyChord, SpeculativeDispatch
from canvas.workflows.steps.attempt import AT_ONCE

_LARGEST = 1_000
"""Parts of a join that is watched, at most."""
_KEPT = 4 * 1024 * 1024
"""Bytes of parts that are kept at once, at most."""
_OVERHEAD = 500
"""Bytes that a part takes beside its value."""


class SpeculativeJoins:
    """The parts that one process has returned to joins that were not complete by then. Safe from any thread."""

    def __init__(self, complete: Callable[[ReadyChord], ChordDispatch | None]) -> None:
        """``complete`` makes a join's end of what it takes, or ``None`` where that has to wait."""
        self._complete = complete
        self._lock = threading.Lock()
        self._joins: OrderedDict[str, dict[int, bytes]] = OrderedDict()
        self._sizes: dict[str, int] = {}
        """The bytes of each join's parts."""
        self._bytes = 0

    def ends_of(self, parts: Sequence[Part]) -> list[SpeculativeDispatch]:
        """The ends of the joins that the ``parts`` of one settlement complete."""
        ends: list[SpeculativeDispatch] = []
        for part in parts:
            values = self._completed(part)
            if values is None or len(ends) >= AT_ONCE:
                continue
            chord_dispatch = self._complete(ReadyChord(part.group_id, part.callback, values, None))
            if chord_dispatch is not None:
                ends.append(SpeculativeDispatch.of(chord_dispatch, values))
        return ends

    def _completed(self, part: Part) -> list[bytes] | None:
        """The values of its join, in order, if ``part`` is the last."""
        if part.size is None or part.position is None or not 1 < part.size <= _LARGEST:
            return None
        with self._lock:
            known = self._joins.setdefault(part.group_id, {})
            more = len(part.value) + _OVERHEAD
            if part.position in known:
                more -= len(known[part.position]) + _OVERHEAD
            known[part.position] = part.value
            self._bytes += more
            self._sizes[part.group_id] = self._sizes.get(part.group_id, 0) + more
            if len(known) == part.size:
                self._forget(part.group_id)
                return [known[position] for position in sorted(known)]
            while self._bytes > _KEPT:
                self._forget(next(iter(self._joins)))
        return None

    def _forget(self, group_id: str) -> None:
        del self._joins[group_id]
        self._bytes -= self._sizes.pop(group_id)
