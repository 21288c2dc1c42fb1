"""Chords that a process completes all by itself: their ends go along with the last part, instead of a call later.

Only a part that says how many there are can be the last one foreseeably, as those of a workflow's run do. Whether it
is the last, and whether the parts are those that this process knows, the broker sees as it takes the settlement;
otherwise the chord is handed out like any other.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

from canvas.model.settlement import Firing, Foreseen, Part, Ready, Settlement
from canvas.workflows.advance import AT_ONCE

_LARGEST = 1_000
"""Parts of a chord that is watched, at most."""
_KEPT = 4 * 1024 * 1024
"""Bytes of parts that are kept at once, at most."""


class Foresight:
    """The parts that one process has returned to chords that were not complete by then. Safe from any thread."""

    def __init__(self, fire: Callable[[Ready], Firing]) -> None:
        """``fire`` makes a chord's end of what it takes."""
        self._fire = fire
        self._lock = threading.Lock()
        self._chords: OrderedDict[str, dict[int, bytes]] = OrderedDict()
        self._bytes = 0

    def add_to(self, settlement: Settlement) -> None:
        """Add the ends of the chords that ``settlement`` completes, and of those that these ends complete."""
        parts, sent = list(settlement.parts), len(settlement.publishes)
        for part in parts:
            values = self._completed(part) if sent < AT_ONCE else None
            if values is None:
                continue
            firing = self._fire(Ready(part.group_id, part.fire, values, None))
            settlement.foreseen.append(Foreseen.of(firing, values))
            parts.extend(firing.parts)
            sent += len(firing.publishes)

    def _completed(self, part: Part) -> list[bytes] | None:
        """The values of its chord, in order, if ``part`` is the last."""
        if part.size is None or part.position is None or not 1 < part.size <= _LARGEST:
            return None
        with self._lock:
            known = self._chords.setdefault(part.group_id, {})
            self._bytes += len(part.value) - len(known.get(part.position, b""))
            known[part.position] = part.value
            if len(known) == part.size:
                self._forget(part.group_id)
                return [known[position] for position in sorted(known)]
            while self._bytes > _KEPT:
                self._forget(next(iter(self._chords)))
        return None

    def _forget(self, group_id: str) -> None:
        self._bytes -= sum(map(len, self._chords.pop(group_id).values()))
