"""Messages and releases that go from one partition into another, each exactly once.

A step that changes one partition cannot send a message to a queue of another. It appends a *crossing* to a list of its
own partition, in the same step. Then the process brings the crossing into its partition, and removes it from the list.
When the process dies in between, a worker that looks through the lists (``sweep``) does so.

Each crossing names a guard, which is a key of the partition that it goes to, and a token of its own. It is taken there
unless the guard holds the token. A guard serves one crossing after the other, so that there are only as many guards as
crossings go on at once. One that took longer than ``_OWN_FOR`` is not used again: its crossing may be in a sweep.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from canvas.drivers.redis.idempotent_calls import GuardPool
from canvas.drivers.redis.partitions.partition import Partition, Partitions
from canvas.drivers.redis.scripts.arguments import DEAD_LETTERS_KEPT, pack
from canvas.errors import OperationalError
from canvas.model.ids import new_id
from canvas.model.message import Publish
from canvas.model.settlement import DelayedPublish, UniqueLock

_OWN_FOR = 5.0
"""Seconds after which a crossing may be seen by a sweep as one whose process has died, less a margin."""
_LEFT_AFTER = 10.0
"""Seconds for which a sweep sees a crossing before it brings it: its own process does so within ``_OWN_FOR``."""
_KEPT_FOR = 7 * 86_400
"""Seconds for which a partition remembers the last token of a guard."""
_AT_ONCE = 1_000


class Effects(NamedTuple):
    """The changes that one step makes in another partition."""

    publishes: Sequence[Publish] = ()
    """Each addressed to a queue directly."""
    deferrals: Sequence[DelayedPublish] = ()
    locks: Sequence[UniqueLock] = ()
    """Locks to release."""


class Crossing(NamedTuple):
    """Effects of one step on their way into another partition."""

    home: Partition
    """The partition whose list has it."""
    target: Partition
    guard: str
    token: str
    words: bytes
    """The effects, as ``receive.lua`` takes them."""
    since: float
    """When it was written, by the monotonic clock."""

    @property
    def entry(self) -> bytes:
        """Its form in the list."""
        return pack([self.token, self.guard, self.target.name, self.words])

    @property
    def message(self) -> Publish:
        """The message with which a step of its home appends it to the list."""
        return Publish("", self.home.keys.crossings, 0, self.entry)


class Crossings:
    """The crossings of one process."""

    def __init__(self, partitions: Partitions) -> None:
        self._partitions = partitions
        self._guards = GuardPool(new_id)
        self._seen: dict[bytes, float] = {}
        """Entries of lists, by when this process has first seen them."""

    def write(self, home: Partition, target: Partition, effects: Effects) -> Crossing:
        """A crossing, for a step of ``home`` to append. Raises RefusedError for values that cannot be written."""
        words: dict[str, Any] = target.broker.packing.sent(effects.publishes, effects.deferrals)
        if effects.locks:
            words["locks"] = [[target.keys.unique(lock.key), lock.owner] for lock in effects.locks]
        packed = pack(words)
        return Crossing(home, target, self._guards.take(), new_id(), packed, time.monotonic())

    def bring(self, crossings: Sequence[Crossing]) -> None:
        """Deliver crossings that a step has appended. One whose partition is unreachable stays in its list for a
        sweep."""
        for one in crossings:
            if self._partitions.away.tried(one.target, lambda one=one: self._bring(one, once=True)) is None:  # type: ignore[misc]
                continue
            if time.monotonic() - one.since < _OWN_FOR:
                self._guards.give_back(one.guard)

    def dropped(self, crossings: Sequence[Crossing]) -> None:
        """The step that was to append these was not made."""
        for one in crossings:
            if time.monotonic() - one.since < _OWN_FOR:
                self._guards.give_back(one.guard)

    def _bring(self, one: Crossing, once: bool = False) -> bool:
        """Deliver a crossing to its partition, and delete it from its list. ``once``: without trying again."""
        keys, link = one.target.keys, one.target.link
        arguments = [one.token, _KEPT_FOR, one.words, keys.prefix, keys.dead_letters(""), DEAD_LETTERS_KEPT]
        link.call("receive", [keys.received(one.guard), keys.delayed, keys.delayed_messages], arguments, once)
        one.home.link.command("LREM", one.home.keys.crossings, -1, one.entry, retry=not once)
        return True

    def sweep(self, homes: Sequence[Partition]) -> int:
        """Deliver the crossings that dead processes have left in the lists of these partitions. Returns how many.
        Raises OperationalError when a partition is unreachable, after those that can be reached."""
        brought, away = 0, None
        seen: dict[bytes, float] = {}
        for home in homes:
            if home in self._partitions.away:
                continue
            try:
                brought += self._sweep(home, seen)
            except OperationalError as exc:
                away = exc
        self._seen = seen
        if away is not None:
            raise away
        return brought

    def _sweep(self, home: Partition, seen: dict[bytes, float]) -> int:
        entries: list[bytes] = home.link.command("LRANGE", home.keys.crossings, -_AT_ONCE, -1)
        now, brought = time.monotonic(), 0
        for entry in reversed(entries):
            seen[entry] = self._seen.get(entry, now)
            crossing = self._read(home, entry) if now - seen[entry] >= _LEFT_AFTER else None
            if crossing is not None and crossing.target not in self._partitions.away:
                self._bring(crossing)
                brought += 1
        return brought

    def _read(self, home: Partition, entry: bytes) -> Crossing | None:
        """The crossing of an entry; ``None`` when its partition is not among those of the settings."""
        token, guard, name, words = msgpack.unpackb(entry, raw=True)
        target = self._partitions.named(name.decode())
        if target is None:
            return None
        return Crossing(home, target, guard.decode(), token.decode(), words, time.monotonic())
