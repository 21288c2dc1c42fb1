"""Giving leases back: by their holder, for a dead worker, and for Celery's dead workers (PROTOCOL.md §1.4, §1.5)."""

import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec

from canvas.drivers.redis.keys import BrokerKeys, step_of
from canvas.drivers.redis.link import Link
from canvas.drivers.redis.packing import pack, priority_of
from canvas.wire.message import headers_of, redelivered

_AT_ONCE = 500
_REAPER_TTL = 10_000
_VISIBILITY_SWEEP_EVERY = 60.0
_MUTEX_TTL = 300_000
_BEGUN_FOR = 86_400
STARTED_FOR = 7 * 86_400
"""Seconds for which it is known that a message had started."""


class Restore:
    """Moves messages from ``unacked`` back to the heads of their lists."""

    def __init__(self, link: Link, keys: BrokerKeys, visibility_timeout: float) -> None:
        self._link = link
        self._keys = keys
        self._visibility_timeout = visibility_timeout
        self._next_sweep = time.monotonic() + _VISIBILITY_SWEEP_EVERY

    def give(self, worker: str, given: Sequence[list[Any]]) -> int:
        """Give back ``[tag, list, payload]`` leases; how many were still held."""
        keys = self._keys
        return int(
            self._link.call("restore", [keys.unacked, keys.unacked_index, keys.leases(worker)], [pack(list(given))])
        )

    def tags(self, worker: str, tags: Sequence[str], count_delivery: bool = False) -> int:
        """Give back leases by tag, in order, marked as delivered before."""
        total = 0
        started = {tag.decode() for tag in self._link.command("SMEMBERS", self._keys.started(worker))}
        for start in range(0, len(tags), _AT_ONCE):
            some = tags[start : start + _AT_ONCE]
            stored = self._link.command("HMGET", self._keys.unacked, *some)
            given = []
            for tag, value in zip(some, stored, strict=True):
                if value is not None:
                    given += [[tag, key, payload] for key, payload in self._home(value, count_delivery, tag in started)]
            if given:
                total += self.give(worker, given)
        return total

    def worker(self, worker: str, count_delivery: bool) -> int:
        """Give back all that one worker held, and forget it."""
        keys = self._keys
        tags = sorted((tag.decode() for tag in self._link.command("SMEMBERS", keys.leases(worker))), key=_number)
        total = self.tags(worker, tags, count_delivery)
        registered = self._link.command("HGET", keys.workers, worker)
        for key in json.loads(registered) if registered else ():
            while self._link.command("LMOVE", keys.inbox(worker, key), key, "LEFT", "RIGHT") is not None:
                total += 1
        # A worker that was only out of reach settles what it has acked when it is back: nobody else runs that.
        forget = ("EXPIRE", keys.begun(worker), _BEGUN_FOR) if count_delivery else ("DEL", keys.begun(worker))
        self._link.pipeline(
            [
                ("DEL", keys.worker(worker), keys.leases(worker), keys.started(worker)),
                ("HDEL", keys.workers, worker),
                forget,
            ],
            transaction=True,
        )
        return total

    def dead_workers(self) -> int:
        """Give back what workers without a heartbeat held; one caller at a time."""
        keys = self._keys
        token = uuid4().hex
        if not self._link.command("SET", keys.reaper, token, "NX", "PX", _REAPER_TTL):
            return 0
        total = 0
        workers = [name.decode() for name in self._link.command("HKEYS", keys.workers)]
        if workers:
            alive = self._link.pipeline([("EXISTS", keys.worker(name)) for name in workers])
            for name, lives in zip(workers, alive, strict=True):
                if not lives:
                    total += self.worker(name, count_delivery=True)
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _VISIBILITY_SWEEP_EVERY
            total += self._beyond_visibility()
        self._link.command("DEL", keys.reaper)
        return total

    def _beyond_visibility(self) -> int:
        """What Celery's workers took and never acked; leases of canvas' own workers are not touched."""
        keys = self._keys
        token = uuid4().hex
        if not self._link.command("SET", keys.unacked_mutex, token, "NX", "PX", _MUTEX_TTL):
            return 0
        limit = self._link.time() - self._visibility_timeout
        old = self._link.command("ZRANGE", keys.unacked_index, 0, limit, "BYSCORE")
        tags = [tag.decode() for tag in old if not tag.startswith(b"canvas:")]
        total = self.tags("", tags)
        self._link.command("DEL", keys.unacked_mutex)
        return total

    def _home(self, value: bytes, count_delivery: bool, started: bool) -> list[tuple[str, bytes]]:
        """Where an ``unacked`` record's message belongs, and its envelope, marked as delivered before."""
        try:
            raw = [bytes(item) for item in msgspec.json.decode(value, type=list[msgspec.Raw])]
            envelope, queue = raw[0], json.loads(raw[2])
        except (msgspec.MsgspecError, ValueError, IndexError):
            return []
        if not envelope.startswith(b"{"):
            envelope = json.loads(envelope).encode()
        extra: dict[str, Any] = {}
        if count_delivery:
            before = int(headers_of(envelope).get("canvas_deliveries") or 1)
            extra["canvas_deliveries"] = before + 1 if started or before == 1 else before
        return [(self._keys.queue_list(queue, step_of(priority_of(envelope))), redelivered(envelope, **extra))]


def _number(tag: str) -> int:
    last = tag.rpartition(":")[2]
    return int(last) if last.isdigit() else 0
