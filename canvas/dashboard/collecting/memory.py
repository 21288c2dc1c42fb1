"""How the memory of workers' processes grows."""

import threading
from collections import deque
from typing import Any

_EVERY = 60.0
"""Seconds between two samples that are kept."""
_SAMPLES = 60
_WORKERS = 1_000
_MUCH = 256 * 1024
"""KiB by which a process must have grown, and to twice its size, to be named."""


class MemoryGrowth:
    """Compares the largest process of each worker with its smallest size in the last hour."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, int]]] = {}
        self._latest: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def take(self, worker: str, stats: Any, now: float) -> None:
        """Take a worker's answer to ``stats``; only workers of canvas name the memory of their processes, in KiB."""
        memory = stats.get("memory") if isinstance(stats, dict) else None
        sizes = [size for size in memory.values() if isinstance(size, int)] if isinstance(memory, dict) else []
        if not sizes or (worker not in self._samples and len(self._samples) >= _WORKERS):
            return
        with self._lock:
            samples = self._samples.setdefault(worker, deque(maxlen=_SAMPLES))
            if not samples or now - samples[-1][0] >= _EVERY:
                samples.append((now, max(sizes)))
            self._latest[worker] = now, max(sizes)

    def grown(self) -> dict[str, tuple[int, int, float]]:
        """KiB now, KiB at the smallest, and the seconds in between, of each worker that has grown much."""
        found = {}
        with self._lock:
            for worker, (now, size) in self._latest.items():
                at, before = min(self._samples[worker], key=lambda sample: sample[1])
                if size >= max(2 * before, before + _MUCH):
                    found[worker] = size, before, now - at
        return found

    def forget(self, worker: str) -> None:
        """Forget a worker that is gone."""
        with self._lock:
            self._samples.pop(worker, None)
            self._latest.pop(worker, None)
