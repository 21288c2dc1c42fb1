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


def memory_by_process(stats: Any) -> dict[str, int]:
    """KiB by process id in a worker's answer to ``stats``. Only workers of canvas name them; those of Celery have the
    peak of their main process alone."""
    found = stats.get("memory") if isinstance(stats, dict) else None
    return {pid: size for pid, size in found.items() if isinstance(size, int)} if isinstance(found, dict) else {}


class MemoryGrowth:
    """Compares the size of each process of a worker with its smallest size in the last hour."""

    def __init__(self) -> None:
        self._samples: dict[str, dict[str, deque[tuple[float, int]]]] = {}
        self._latest: dict[str, tuple[float, dict[str, int]]] = {}
        self._lock = threading.Lock()

    def take(self, worker: str, stats: Any, now: float) -> None:
        """Take a worker's answer to ``stats``."""
        sizes = memory_by_process(stats)
        if not sizes or (worker not in self._samples and len(self._samples) >= _WORKERS):
            return
        with self._lock:
            known = self._samples.get(worker, {})
            self._samples[worker] = {pid: known.get(pid) or deque(maxlen=_SAMPLES) for pid in sizes}
            for pid, samples in self._samples[worker].items():
                if not samples or now - samples[-1][0] >= _EVERY:
                    samples.append((now, sizes[pid]))
            self._latest[worker] = now, sizes

    def grown(self) -> dict[str, tuple[int, int, float]]:
        """KiB now, KiB at the smallest, and the seconds in between, of the process of each worker that has grown most,
        if it has grown much."""
        found = {}
        with self._lock:
            for worker, (now, sizes) in self._latest.items():
                smallest = {pid: min(self._samples[worker][pid], key=lambda sample: sample[1]) for pid in sizes}
                pid = max(sizes, key=lambda pid: sizes[pid] - smallest[pid][1])
                at, before = smallest[pid]
                if sizes[pid] >= max(2 * before, before + _MUCH):
                    found[worker] = sizes[pid], before, now - at
        return found

    def forget(self, worker: str) -> None:
        """Delete the samples of a worker that is gone."""
        with self._lock:
            self._samples.pop(worker, None)
            self._latest.pop(worker, None)
