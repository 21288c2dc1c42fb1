"""The last hour in steps of some seconds: counts of events, distributions of times, and samples."""

import math
import threading
import time
from collections import Counter, deque
from typing import Any

STEP = 5
"""Seconds of a slot."""
SLOTS = 720
"""Slots that are kept: an hour."""
_BASE = math.log(1.2)
_SHORTEST = 1e-4
_SERIES = 64
"""Queues whose lengths are kept over time."""


class Slot:
    """The counts and samples of ``STEP`` seconds."""

    __slots__ = ("counts", "number", "runtimes", "samples", "waits")

    def __init__(self, number: int) -> None:
        self.number = number
        self.counts: Counter[str] = Counter()
        self.runtimes: Counter[int] = Counter()
        self.waits: Counter[int] = Counter()
        self.samples: dict[str, float] = {}

    def as_dict(self) -> dict[str, Any]:
        """As history keeps it."""
        return {
            "counts": dict(self.counts), "samples": self.samples,
            "runtimes": sorted(self.runtimes.items()), "waits": sorted(self.waits.items()),
        }  # fmt: skip

    @classmethod
    def of(cls, number: int, kept: dict[str, Any]) -> "Slot":
        """The slot that ``as_dict`` gave."""
        slot = cls(number)
        slot.counts.update(kept["counts"])
        slot.samples.update(kept["samples"])
        slot.runtimes.update(dict(kept["runtimes"]))
        slot.waits.update(dict(kept["waits"]))
        return slot


def bucket_of(seconds: float) -> int:
    """The bucket of a duration; each is a fifth longer than the one before."""
    return math.floor(math.log(max(seconds, _SHORTEST)) / _BASE)


def percentile(buckets: Counter[int], share: float) -> float | None:
    """The duration below which ``share`` of the counted ones are, with an error of a tenth; ``None`` without any."""
    total = buckets.total()
    if not total:
        return None
    left = share * total
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            break
    return math.exp((bucket + 0.5) * _BASE)


class Series:
    """The slots of the last hour."""

    def __init__(self) -> None:
        self._slots: deque[Slot] = deque(maxlen=SLOTS)
        self._lock = threading.Lock()

    def _slot(self) -> Slot:
        number = int(time.time() // STEP)
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(Slot(number))
        return self._slots[-1]

    def count(self, counts: Counter[str], runtimes: list[float], waits: list[float]) -> None:
        """Add to the slot of the current time."""
        with self._lock:
            slot = self._slot()
            slot.counts.update(counts)
            slot.runtimes.update(map(bucket_of, runtimes))
            slot.waits.update(map(bucket_of, waits))

    def sample(self, samples: dict[str, float]) -> None:
        """Set values of the slot of the current time. Lengths of queues are kept for a bounded number of them."""
        with self._lock:
            slot = self._slot()
            queues = [name for name in samples if name.startswith("queue:")]
            left_out = set(queues[_SERIES:])
            slot.samples.update({name: value for name, value in samples.items() if name not in left_out})

    def restore(self, slots: list[Slot]) -> None:
        """Put the slots of an earlier process before the present ones."""
        with self._lock:
            first = self._slots[0].number if self._slots else int(time.time() // STEP) + 1
            self._slots.extendleft(reversed([slot for slot in slots if slot.number < first][-SLOTS:]))

    def ended(self, after: int) -> list[Slot]:
        """The slots after that number whose time is over."""
        present = int(time.time() // STEP)
        with self._lock:
            return [slot for slot in self._slots if after < slot.number < present]

    def rates(self, seconds: int = 60) -> dict[str, float]:
        """How often each kind of event happened a second, on average over the last ``seconds``."""
        return {kind: count / seconds for kind, count in self.totals(seconds).items()}

    def totals(self, seconds: int = 3600) -> Counter[str]:
        """How often each kind of event happened in the last ``seconds``."""
        total: Counter[str] = Counter()
        for slot in self._last(seconds):
            total.update(slot.counts)
        return total

    def latency(self, seconds: int = 300) -> dict[str, dict[str, float | None]]:
        """Percentiles of runtimes, and of times from sending to the start, as far as events name these, in seconds."""
        runtimes: Counter[int] = Counter()
        waits: Counter[int] = Counter()
        for slot in self._last(seconds):
            runtimes.update(slot.runtimes)
            waits.update(slot.waits)
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        return {
            "runtime": {name: percentile(runtimes, share) for name, share in shares.items()},
            "wait": {name: percentile(waits, share) for name, share in shares.items()},
        }

    def columns(self) -> dict[str, list[float | None]]:
        """The last hour by column, for charts: ``time`` (unix seconds), counts a second, percentiles, samples."""
        with self._lock:
            slots = {slot.number: slot for slot in self._slots}
        last = int(time.time() // STEP)
        numbers = range(last - SLOTS + 1, last)
        found: dict[str, list[float | None]] = {"time": [float(number * STEP) for number in numbers]}
        for kind in ("received", "succeeded", "failed", "retried"):
            found[kind] = [slots[n].counts[kind] / STEP if n in slots else None for n in numbers]
        for name in ("p50", "p95"):
            share = {"p50": 0.5, "p95": 0.95}[name]
            found[name] = [percentile(slots[n].runtimes, share) if n in slots else None for n in numbers]
        names = sorted({name for slot in slots.values() for name in slot.samples})
        for name in names:
            found[name] = [slots[n].samples.get(name) if n in slots else None for n in numbers]
        return found

    def _last(self, seconds: int) -> list[Slot]:
        first = int(time.time() - seconds) // STEP
        with self._lock:
            return [slot for slot in self._slots if slot.number > first]
