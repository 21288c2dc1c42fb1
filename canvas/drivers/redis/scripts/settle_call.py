"""Calls of settle.lua, which settles tasks and leases the next messages in one step.

A message that a call sends into a list that it leases from may be passed to the script apart, and be leased there.
"""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from canvas.drivers.ports.values import CLOCKS_AGREE_WITHIN, Lease, LeaseReply, clock_offset
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.queue_wait import QueueWait
from canvas.drivers.redis.scripts.arguments import NOTHING, Packed
from canvas.drivers.redis.scripts.replies import with_refused
from canvas.model.message import Delivery
from canvas.model.settlement import ChordDispatch, Settlement

_ORDERS_KEPT = 256
"""Orders of queues whose lists are kept: a worker that takes turns has as many as it has queues."""
_new = tuple.__new__


class LeaseSources(NamedTuple):
    """The lists that a lease takes from, in their order."""

    lists: Sequence[str] = ()
    names: Sequence[str] = ()
    """The queue that each belongs to."""


_NO_SOURCES = LeaseSources()


class SourceOrder:
    """The order in which leases read their lists."""

    def __init__(self, keys: BrokerKeys, waiting: QueueWait, by_name: bool) -> None:
        """``by_name``: queues in the order of their names, whatever the order of the lease."""
        self._keys = keys
        self._waiting = waiting
        self._by_name = by_name
        self._known: dict[tuple[str, ...], LeaseSources] = {}

    def of(self, lease: Lease | None) -> LeaseSources:
        """The lists to lease from, prefetched lists first."""
        if lease is None:
            return _NO_SOURCES
        queues = tuple(lease.queues)
        own, waiting = self._known.get(queues) or self._lists(queues), self._waiting
        blocked = waiting.blocked(lease.worker) if waiting.arrived or waiting.outstanding else ()
        if not blocked and not lease.node:
            return own
        keys, pairs = self._keys, list(zip(own.lists, own.names, strict=True))
        prefetched = [(keys.prefetched(lease.worker, key), queue) for key, queue in pairs if key in blocked]
        if lease.node:
            prefetched = [(keys.prefetched(lease.node, key), queue) for key, queue in pairs] + prefetched
        lists, names = zip(*[*prefetched, *pairs], strict=True)
        return LeaseSources(lists, names)

    def _lists(self, queues: tuple[str, ...]) -> LeaseSources:
        if len(self._known) >= _ORDERS_KEPT:
            self._known.clear()
        ordered = sorted(queues) if self._by_name else queues
        pairs = [(self._keys.queue_list(queue, step), queue) for step in self._keys.steps for queue in ordered]
        found = self._known[queues] = LeaseSources([key for key, _ in pairs], [queue for _, queue in pairs])
        return found


class PassThrough(NamedTuple):
    """The only message of a call, into a list that the call leases from: if nothing waits there, the script leases it
    at once, without a list, and does not send it back."""

    key: str
    """The list."""
    payload: bytes
    queue: str
    tail: bytes
    """The end of the record of its lease, after the payload."""

    @property
    def record(self) -> bytes:
        """Its record in ``unacked``."""
        return b"[" + self.payload + self.tail

    @property
    def fields(self) -> list[Any]:
        """The script's arguments for it."""
        return [self.key, False, len(self.tail), self.queue]


class ResultSide(NamedTuple):
    """Where settle.lua writes results: on the broker's own server."""

    db: str
    ready: tuple[str, str]
    """The hash and the sorted set of chords that are ready."""


class SettleBatch(NamedTuple):
    """The settlements and chords of one call, packed for the script."""

    worker: str
    settlements: Packed = NOTHING
    chords: Packed = NOTHING
    """The chords to end."""
    carried: PassThrough | None = None
    """The message of the only settlement, where it is passed to the script outside of the settlement."""
    records: Sequence[bytes] = ()
    """Long records that are passed to the script outside of their settlements."""


class SettleAnswer(NamedTuple):
    """The script's verdicts, and the messages that it has leased."""

    verdicts: list[Any]
    chords: list[Any]
    """The verdicts on the chords."""
    leased: LeaseReply


class SettleCall:
    """Makes these calls, and numbers the leases of each worker.

    A lease call that failed may have taken messages. Their tags are kept, and before the worker's next call their
    messages return to their queues.
    """

    def __init__(
        self, link: RedisClient, keys: BrokerKeys, sources: SourceOrder, waiting: QueueWait,
        return_leases: Callable[[str, list[str]], object], numbers: dict[str, int],
    ) -> None:  # fmt: skip
        """``return_leases`` returns the messages of a worker's tags, as far as they are leased. ``numbers``: how many
        tags each worker has had."""
        self._link = link
        self._keys = keys
        self.sources = sources
        self._waiting = waiting
        self._return_leases = return_leases
        self._db = str(link.address.db)
        self._numbers = numbers
        self._uncertain: dict[str, list[str]] = {}
        self._keys_of: dict[tuple[str, ResultSide], tuple[str, ...]] = {}

    def make(
        self, batch: SettleBatch, lease: Lease | None, results: ResultSide, sources: LeaseSources | None = None
    ) -> SettleAnswer:
        """Settle a batch and lease messages; ``sources``: those of ``lease``, where the caller knows them."""
        worker, (packed, bad), (chords, bad_chords), carried, records = batch
        if worker in self._uncertain:
            self._return_leases(worker, self._uncertain[worker])
            del self._uncertain[worker]
        lists, names = sources or self.sources.of(lease)
        limit = lease.limit if lease is not None else 0
        number, prefix = self._numbers.get(worker, 0), f"canvas:{worker}:"
        self._numbers[worker] = number + limit
        arguments = [self._db, results.db, packed, limit, prefix, number, chords, *names, *records]
        if carried is not None:
            arguments.append(carried.record)
        keys, asked, begun = (*self._script_keys(worker, results), *lists), time.time(), time.monotonic()
        meanwhile = None
        if carried is not None and lease is not None and lease.expect is not None:
            meanwhile = partial(lease.expect, carried.payload)
        try:
            verdicts, taken, version, ended, seconds, micros = self._link.call(
                "settle", keys, arguments, once=True, meanwhile=meanwhile
            )
        except Exception:
            if limit:
                tags = [f"{prefix}{n}" for n in range(number, number + limit)]
                self._uncertain.setdefault(worker, []).extend(tags)
            raise
        deliveries = _deliveries(taken, prefix, number, carried.payload if carried is not None else b"", begun)
        if self._waiting.arrived and len(deliveries) < limit:
            self._waiting.cleared(lists)
        if bad or bad_chords:
            verdicts, ended = with_refused(verdicts, bad), with_refused(ended, bad_chords)
        passed = int(carried is not None and len(taken) == 1 and taken[0][0] is None)
        clock = int(seconds) + int(micros) / 1e6
        offset = clock_offset(clock, asked) if abs(clock - time.time()) > CLOCKS_AGREE_WITHIN else 0.0
        return SettleAnswer(verdicts, ended, LeaseReply(deliveries, int(version), offset, passed))

    def _script_keys(self, worker: str, results: ResultSide) -> tuple[str, ...]:
        """The keys of settle.lua before its lists."""
        found = self._keys_of.get((worker, results))
        if found is None:
            keys = self._keys
            found = self._keys_of[worker, results] = (
                keys.unacked, keys.unacked_index, keys.leases(worker), keys.delayed, keys.delayed_messages,
                *results.ready, keys.revoked_version, keys.orphan_reasons, keys.alive, keys.workers,
            )  # fmt: skip
        return found


def _deliveries(taken: Sequence[Sequence[Any]], prefix: str, number: int, carried: bytes, at: float) -> list[Delivery]:
    """The messages of a reply, whose tags are numbered from ``number`` on; ``carried`` is not sent back. ``at``: when
    the call was made."""
    found: list[Delivery] = []
    for *payloads, name in taken:
        queue, first = name.decode(), number + len(found)
        found += [
            _new(Delivery, (f"{prefix}{n}", queue, carried if payload is None else payload, at))
            for n, payload in enumerate(payloads, first)
        ]
    return found


def may_carry(settlements: Sequence[Settlement], chord_dispatches: Sequence[ChordDispatch]) -> bool:
    """Whether the only message of a call may be passed apart: nothing else in the call puts messages into a list, so
    that there is no order to keep."""
    if len(settlements) != 1 or chord_dispatches:
        return False
    (one,) = settlements
    return len(one.publishes) == 1 and not (
        one.speculative or one.releases_permits or one.disposal in ("requeue", "redeliver")
    )


def carry(payload: bytes, lists: Sequence[str], sources: LeaseSources) -> PassThrough | None:
    """A message that goes into ``lists``, if the call may lease it."""
    # The script puts a payload that is not a JSON object into a string.
    if len(lists) != 1 or lists[0] not in sources.lists or not payload.startswith(b"{"):
        return None
    queue = sources.names[sources.lists.index(lists[0])]
    return PassThrough(lists[0], payload, queue, f',"",{json.dumps(queue)}]'.encode())
