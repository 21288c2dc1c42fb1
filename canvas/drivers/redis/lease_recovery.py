"""Returns leased messages: for their holder, for a dead worker, and for Celery's dead workers (protocol.md §1.4,
§1.5)."""

import json
import time
from collections.abc import Callable, Collection, Sequence
from math import inf
from typing import Any
from uuid import uuid4

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import FORGOTTEN_AFTER, MAY_COME_BACK, MISSED_FOR, ORPHANS_AGAIN, HeartbeatReply
from canvas.drivers.redis.bindings import Bindings
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.queue_wait import QueueWait
from canvas.drivers.redis.recovered_workers import FIRST_LOOK, LOOKED_FOR, Recovered, RecoveredWorkers
from canvas.drivers.redis.scripts.arguments import pack
from canvas.drivers.stored_messages import loss_headers, opened, redelivered
from canvas.drivers.tags import number_of_tag, tag_of, worker_of_tag
from canvas.model.message import Delivery
from canvas.model.settlement import Orphan

_AT_ONCE = 500
_REAPER_TTL = 1_000
"""Milliseconds. A process that was killed keeps the others from recovering for this time; two at once do the work
twice."""
_VISIBILITY_SWEEP_EVERY = 60.0
_MUTEX_TTL = 300_000
_ORPHANS_FOR = 86_400
_STARTED_FOR = 7 * 86_400
"""Seconds for which it is known that a message had started."""


class LeaseRecovery:
    """The Recovery of ``canvas.drivers.ports``: moves messages from ``unacked`` back to the heads of their lists."""

    retries_heartbeats = True
    """Whether a heartbeat is sent again while the server is away for a moment."""
    silence = inf

    def __init__(
        self, link: RedisClient, keys: BrokerKeys, bindings: Bindings, waiting: QueueWait, visibility_timeout: float
    ) -> None:
        self._link = link
        self._bindings = bindings
        self._waiting = waiting
        self._keys = keys
        self._recovered = RecoveredWorkers(link, keys)
        self._visibility_timeout = visibility_timeout
        self._next_sweep = time.monotonic() + _VISIBILITY_SWEEP_EVERY

    def heartbeat(self, worker: str, queues: Sequence[str], ttl: float) -> HeartbeatReply:
        keys = self._keys
        lists = json.dumps([keys.queue_list(queue, step) for step in keys.steps for queue in queues])
        alive = [keys.heartbeat(worker), keys.workers, keys.silent_since]
        held = [keys.leases(worker), keys.unacked_index, keys.early_acked(worker), keys.orphans, keys.live_until]
        self._link.absence.beat(ttl)
        arguments = [worker, int(ttl * 1000), lists]
        workers, known = self._link.call("heartbeat", [*alive, *held], arguments, once=not self.retries_heartbeats)
        return HeartbeatReply(int(workers), bool(known))

    def rest(self, worker: str) -> bool:
        keys = self._keys
        held = [keys.leases(worker), keys.early_acked(worker)]
        gone = [keys.heartbeat(worker), keys.redelivered_running(worker)]
        gone += [keys.workers, keys.silent_since, keys.live_until]
        return bool(self._link.call("unregister_idle", [*held, *gone], [worker]))

    def unregister(self, worker: str) -> None:
        self._waiting.close(worker)
        self.recover(worker, count_delivery=False)

    def recover_worker(self, worker: str) -> int:
        return self.recover(worker, count_delivery=True)

    def mark_started(self, delivery: Delivery) -> None:
        key = self._keys.redelivered_running(worker_of_tag(delivery.tag))
        self._link.pipeline([("SADD", key, delivery.tag), ("EXPIRE", key, _STARTED_FOR)], transaction=True)

    def lease_number(self, tag: str) -> int:
        return number_of_tag(tag)

    def lease_tag(self, worker: str, number: int) -> str:
        return tag_of(worker, number)

    def give_back(self, worker: str, given: Sequence[list[Any]], silent: bool = False) -> int:
        """Return the messages of ``[tag, payload, list, …]`` leases; ``silent``: only if the worker sends no
        heartbeats. Returns how many were still held."""
        keys = self._keys
        held = [keys.unacked, keys.unacked_index, keys.leases(worker), keys.early_acked(worker)]
        held += [keys.heartbeat(worker)] if silent else []
        return int(self._link.call("release_leases", held, [pack(list(given))]))

    def give_back_tags(
        self, worker: str, tags: Sequence[str], count_delivery: bool = False, silent: bool = False
    ) -> int:
        """Return the messages of leases by tag, in order, marked as delivered before; ``silent`` as above."""
        total = 0
        started = {tag.decode() for tag in self._link.command("SMEMBERS", self._keys.redelivered_running(worker))}
        for start in range(0, len(tags), _AT_ONCE):
            some = tags[start : start + _AT_ONCE]
            stored = self._link.command("HMGET", self._keys.unacked, *some)
            given = []
            for tag, value in zip(some, stored, strict=True):
                home = None if value is None else self._home(value, count_delivery, tag in started)
                if home is not None:
                    given.append([tag, *home])
            if given:
                total += self.give_back(worker, given, silent)
        return total

    def release_unknown(self, worker: str, held: Collection[str]) -> int:
        leased = {tag.decode() for tag in self._link.command("SMEMBERS", self._keys.leases(worker))}
        return self.give_back_tags(worker, sorted(leased.difference(held), key=number_of_tag))

    def recover(
        self,
        worker: str,
        count_delivery: bool,
        orphans_in: float = 0.0,
        silent: bool = False,
        lists: Sequence[str] = (),
    ) -> int:
        """Return all messages that one worker held to their queues, and unregister the worker. Other workers may settle
        its orphans ``orphans_in`` seconds from now. ``silent``: only if it still sends no heartbeats. ``lists``: those
        that it consumed, if it is not registered."""
        tags = sorted(
            (tag.decode() for tag in self._link.command("SMEMBERS", self._keys.leases(worker))), key=number_of_tag
        )
        total = self.give_back_tags(worker, tags, count_delivery, silent)
        registered = self._link.command("HGET", self._keys.workers, worker)
        lists = json.loads(registered) if registered else lists
        total += self._return_prefetched(worker, lists)
        entry = Recovered(worker, self._link.time(), lists).entry if count_delivery else ""
        if self._forget(worker, tags, orphans_in, silent, entry):
            self._delete_abandoned([key for key in lists if self._keys.is_own(key)])
        return total

    def _forget(self, worker: str, tags: Sequence[str], orphans_in: float, silent: bool, entry: str) -> bool:
        """Unregister a worker whose leases with these tags were returned. False where ``silent`` is true and it sends
        heartbeats."""
        keys = self._keys
        of_it = [keys.heartbeat(worker), keys.workers, keys.silent_since, keys.leases(worker), keys.early_acked(worker)]
        of_all = [keys.orphans, keys.recovered, keys.live_until]
        arguments = [worker, int(silent), pack(list(tags)), orphans_in, _ORPHANS_FOR, entry, FIRST_LOOK, 2 * LOOKED_FOR]
        return bool(self._link.call("forget_worker", [*of_it, *of_all, *self._goes_with(worker)], arguments))

    def _goes_with(self, worker: str) -> list[str]:
        """Further keys that are deleted with a worker."""
        return [self._keys.redelivered_running(worker)]

    def _delete_abandoned(self, own: Sequence[str]) -> None:
        """Delete queues of one node that none of its workers consumes any more."""
        served = self._link.command("HVALS", self._keys.workers) if own else []
        abandoned = set(own).difference(key for lists in served for key in json.loads(lists))
        self._bindings.delete_own({self._keys.queue_of(key) for key in abandoned})

    def _return_prefetched(self, worker: str, lists: Sequence[str]) -> int:
        """Return the messages that the waits of a worker moved aside from these lists. Returns how many."""
        total = 0
        for key in lists:
            while self._link.command("LMOVE", self._keys.prefetched(worker, key), key, "LEFT", "RIGHT") is not None:
                total += 1
        return total

    def has_orphans(self) -> bool:
        return bool(self._link.command("EXISTS", self._keys.orphans))

    def claim_orphans(self) -> list[Orphan]:
        keys = self._keys
        found = self._link.call(
            "claim_orphans", [keys.orphans, keys.early_acked_prefix, keys.orphan_reasons], [ORPHANS_AGAIN]
        )
        orphans = []
        for tag, record, reason in zip(found[::3], found[1::3], found[2::3], strict=True):
            found = opened(record)
            if found is not None:
                orphans.append(Orphan(Delivery(tag.decode(), *found[1:]), reason.decode()))
        return orphans

    def leases(self, worker: str) -> list[Delivery]:
        keys = self._keys
        tags = sorted((tag.decode() for tag in self._link.command("SMEMBERS", keys.leases(worker))), key=number_of_tag)
        records = self._link.command("HMGET", keys.unacked, *tags) if tags else []
        found = [(tag, opened(record)) for tag, record in zip(tags, records, strict=True) if record is not None]
        return [Delivery(tag, *lease[1:]) for tag, lease in found if lease is not None]

    def on_broken(self, call: Callable[[], object]) -> None:
        """Nothing: leases do not end with a connection."""

    def still_leased(self, delivery: Delivery, early_acked: bool) -> bool:
        held = self._keys.early_acked(worker_of_tag(delivery.tag)) if early_acked else self._keys.unacked
        return bool(self._link.command("HEXISTS", held, delivery.tag))

    def leased_message(self, tag: str) -> bytes | None:
        keys = self._keys
        leased, early_acked = self._link.pipeline(
            [("HGET", keys.unacked, tag), ("HGET", keys.early_acked(worker_of_tag(tag)), tag)]
        )
        found = opened(leased or early_acked) if leased or early_acked else None
        return found[2] if found is not None else None

    def orphan_lease(self, tag: str, reason: str) -> bool:
        keys, worker = self._keys, worker_of_tag(tag)
        held = [keys.unacked, keys.unacked_index, keys.leases(worker), keys.early_acked(worker)]
        return bool(self._link.call("orphan_lease", [*held, keys.orphans, keys.orphan_reasons], [tag, worker, reason]))

    def recover_dead_workers(self) -> int:
        keys = self._keys
        if time.monotonic() < self._next_sweep and self._all_live():
            return 0
        token = uuid4().hex
        if not self._link.command("SET", keys.recovery_lock, token, "NX", "PX", _REAPER_TTL):
            return 0
        total = 0
        workers = [name.decode() for name in self._link.command("HKEYS", keys.workers)]
        if workers:
            alive = self._link.pipeline([("EXISTS", keys.heartbeat(name)) for name in workers])
            for name in self._missed([name for name, lives in zip(workers, alive, strict=True) if not lives]):
                # The recovery of another may have taken long, or been repeated while the server was unreachable to all.
                if self._link.command("EXISTS", keys.heartbeat(name)) or not self._link.absence.over_for(MISSED_FOR):
                    continue
                # It may only be unreachable, and settle its tasks when it is back.
                total += self.recover(name, count_delivery=True, orphans_in=MAY_COME_BACK, silent=True)
        for one in self._recovered.holding():
            total += self.recover(one.worker, True, MAY_COME_BACK, silent=True, lists=one.lists)
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _VISIBILITY_SWEEP_EVERY
            total += self._beyond_visibility()
        self._link.command("DEL", keys.recovery_lock)
        return total

    def _all_live(self) -> bool:
        """Whether all workers send heartbeats, and no check of a recovered worker is due."""
        keys = self._keys
        names, recovered = self._link.pipeline([("HKEYS", keys.workers), ("EXISTS", keys.recovered)])
        if recovered and self._recovered.any_due():
            return False
        workers = [name.decode() for name in names]
        lives = [keys.heartbeat(name) for name in workers]
        return not lives or int(self._link.command("EXISTS", *lives)) == len(lives)

    def _missed(self, silent: list[str]) -> list[str]:
        """Workers that have been without a heartbeat for some time. After the server was unreachable no heartbeat is
        left, and the first worker that is back must not take the others for dead."""
        if not silent:
            return []
        keys, now = self._keys, self._link.time()
        since = dict(zip(silent, self._link.command("HMGET", keys.silent_since, *silent), strict=True))
        new = [name for name, first in since.items() if first is None]
        if new:
            note: list[Sequence[Any]] = [("HSETNX", keys.silent_since, name, now) for name in new]
            registered = self._link.pipeline([*note, *(("HEXISTS", keys.workers, name) for name in new)])[len(new) :]
            # Another process may have recovered a worker since the list was read: nothing else would delete this note.
            gone = [name for name, known in zip(new, registered, strict=True) if not known]
            if gone:
                self._link.command("HDEL", keys.silent_since, *gone)
        if not self._link.absence.over_for(MISSED_FOR):
            return []  # those that were noted as silent before it have had no chance to send a heartbeat
        return [name for name, first in since.items() if first is not None and now - float(first) >= MISSED_FOR]

    def _beyond_visibility(self) -> int:
        """Return messages that Celery's workers never acked, and messages leased by workers unknown to Redis."""
        keys = self._keys
        token = uuid4().hex
        if not self._link.command("SET", keys.unacked_mutex, token, "NX", "PX", _MUTEX_TTL):
            return 0
        now = self._link.time()
        old = self._link.command("ZRANGE", keys.unacked_index, 0, now - self._visibility_timeout, "BYSCORE")
        tags = [tag.decode() for tag in old if not tag.startswith(b"canvas:")]
        tags += self._unowned(now - FORGOTTEN_AFTER)
        total = self.give_back_tags("", tags)
        self._link.command("DEL", keys.unacked_mutex)
        return total

    def _unowned(self, limit: float) -> list[str]:
        """Leases whose worker is not registered: the server lost it, and it died before its next heartbeat."""
        keys = self._keys
        old = self._link.command("ZRANGE", keys.unacked_index, 0, limit, "BYSCORE")
        tags = [tag.decode() for tag in old if tag.startswith(b"canvas:")]
        if not tags:
            return []
        workers = {name.decode() for name in self._link.command("HKEYS", keys.workers)}
        return [tag for tag in tags if worker_of_tag(tag) not in workers]

    def _home(self, value: bytes, count_delivery: bool, started: bool) -> list[Any] | None:
        """An ``unacked`` record's envelope, marked as delivered before, and the lists it belongs into."""
        found = opened(value)
        if found is None:
            return None
        exchange, key, envelope = found
        # Celery's workers write where a message was sent to, canvas' the queue it came from.
        queues = self._bindings.queues(exchange, key) if exchange else [key]
        extra = loss_headers(ENVELOPE, envelope, started) if count_delivery else {}
        step = self._keys.step_of(ENVELOPE.priority_of(envelope))
        marked = redelivered(ENVELOPE, envelope, **extra)
        return [marked, *(self._keys.queue_list(queue, step) for queue in queues)] if queues else None
