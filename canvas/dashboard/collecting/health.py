"""Which sources of the dashboard's data answer, and since when one does not."""

import threading
import time
from typing import NamedTuple


class SourceHealth(NamedTuple):
    """One source, such as the broker's queues."""

    ok: bool
    since: float
    """Unix time, seconds: since when it answers, or does not."""
    looked: float
    """When it answered last, unix time; 0: never."""
    error: str | None


class Health:
    """The state of each source by its name."""

    def __init__(self) -> None:
        self._sources: dict[str, SourceHealth] = {}
        self._lock = threading.Lock()

    def good(self, source: str) -> None:
        """A source has answered."""
        with self._lock:
            now, known = time.time(), self._sources.get(source)
            since = known.since if known is not None and known.ok else now
            self._sources[source] = SourceHealth(True, since, now, None)

    def bad(self, source: str, error: Exception) -> None:
        """A source has not answered."""
        with self._lock:
            now, known = time.time(), self._sources.get(source)
            since = known.since if known is not None and not known.ok else now
            looked = known.looked if known is not None else 0.0
            self._sources[source] = SourceHealth(False, since, looked, str(error)[:500])

    def as_dict(self) -> dict[str, dict[str, object]]:
        with self._lock:
            return {name: source._asdict() for name, source in self._sources.items()}

    def answers(self, source: str) -> bool:
        """Whether a source has answered when it was asked last."""
        with self._lock:
            return source in self._sources and self._sources[source].ok

    @property
    def ok(self) -> bool:
        """Whether all sources answer."""
        with self._lock:
            return all(source.ok for source in self._sources.values())
