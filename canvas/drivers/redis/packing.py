"""Settlements as the scripts take them: keys in place, packed as msgpack.

Bytes are packed in msgpack's old raw form, the only one that Redis' Lua reads.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import msgpack

from canvas.drivers.priority import priority_of, step_of
from canvas.drivers.redis.keys import BrokerKeys, ResultKeys
from canvas.errors import RefusedError
from canvas.model.message import Publish
from canvas.model.settlement import Deferral, Firing, Join, Part, Settlement, Store
from canvas.wire.message import redelivered

DEAD_LETTERS_KEPT = 10_000
T = TypeVar("T")
Packed: TypeAlias = tuple[bytes, dict[int, str]]
"""What ``pack_each`` gives."""
NOTHING: Packed = (b"\x90", {})


def pack(value: Any) -> bytes:
    """msgpack, as the scripts read it. Raises RefusedError for what cannot be written."""
    try:
        return msgpack.packb(value, use_bin_type=False)  # type: ignore[no-any-return]
    except (ValueError, TypeError, OverflowError) as exc:
        raise RefusedError(f"cannot be told to Redis: {exc}") from exc


def pack_each(items: Sequence[T], words: Callable[[T], list[Any]]) -> Packed:
    """Items, each in its ``words``, as the scripts read a list; but for those that cannot be written: by place, why
    not. Raises BrokerError when the words cannot be looked up."""
    try:
        return pack([words(item) for item in items]), {}
    except (RefusedError, TypeError, ValueError, LookupError, AttributeError):
        good, bad = [], {}
    for place, item in enumerate(items):
        try:
            written = words(item)
            pack(written)
        except (RefusedError, TypeError, ValueError, LookupError, AttributeError) as exc:
            bad[place] = f"{type(exc).__name__}: {exc}"
        else:
            good.append(written)
    return pack(good), bad


class Packing:
    """Turns the words of settlements into script arguments, for one pair of key spaces."""

    def __init__(self, broker: BrokerKeys, results: ResultKeys | None, lists_of: Any) -> None:
        self._broker = broker
        self._results = results
        self._lists_of = lists_of

    def settlement(self, settlement: Settlement) -> list[Any]:
        """What settle.lua takes per settlement."""
        delivery, keys = settlement.delivery, self._broker
        publishes, dead = self.publishes(settlement.publishes), False
        if delivery is not None and settlement.disposal == "requeue":
            payload = redelivered(delivery.payload)
            publishes.append([self.list_of(delivery.queue, payload), payload])
        elif delivery is not None and settlement.disposal == "dead":
            dead = self._letter(settlement)  # type: ignore[assignment]
        return [
            delivery.tag if delivery is not None else False,
            settlement.fence,
            self.stores(settlement.stores),
            self.joins(settlement.joins),
            [self._group(group_id) for group_id in settlement.grow],
            self.parts(settlement.parts),
            publishes,
            self.deferrals(settlement.deferrals),
            dead,
            settlement.begins,
            [
                [keys.places(key), keys.parked(key), keys.parked_keys, key, keys.begun_prefix]
                for key in settlement.frees
            ],
            [[keys.unique(lock.key), lock.owner] for lock in settlement.unlocks],
            keys.begun(worker_of_tag(delivery.tag)) if delivery is not None else "",
        ]

    def _letter(self, settlement: Settlement) -> list[Any]:
        delivery = settlement.delivery
        assert delivery is not None
        key = self._broker.dead(delivery.queue)
        return [key, delivery.payload, settlement.reason, delivery.queue, DEAD_LETTERS_KEPT]

    def firing(self, firing: Firing) -> list[Any]:
        """What fire.lua takes."""
        return [
            firing.group_id,
            self._group(firing.group_id),
            firing.failed,
            self.stores(firing.stores),
            self.joins(firing.joins),
            self.parts(firing.parts),
            self.publishes(firing.publishes),
            self.deferrals(firing.deferrals),
        ]

    def stores(self, stores: list[Store]) -> list[Any]:
        assert self._results is not None or not stores
        return [[self._results.task(s.task_id), s.payload, s.expires or 0] for s in stores]  # type: ignore[union-attr]

    def joins(self, joins: list[Join]) -> list[Any]:
        return [[self._group(j.group_id), j.size, j.expires, j.structure or False] for j in joins]

    def parts(self, parts: list[Part]) -> list[Any]:
        return [self._part(part) for part in parts]

    def _part(self, part: Part) -> list[Any]:
        score = "+inf" if part.position is None else str(part.position)
        member = f"{part.task_id}:{score}"
        return [self._group(part.group_id), part.group_id, member, score, part.value, part.fire, part.expires,
                part.size or False]  # fmt: skip

    def publishes(self, publishes: list[Publish]) -> list[Any]:
        return [[key, p.payload] for p in publishes for key in self._lists_of(p)]

    def deferrals(self, deferrals: list[Deferral]) -> list[Any]:
        return [
            [uuid4().hex, repr(d.due), key, d.publish.payload] for d in deferrals for key in self._lists_of(d.publish)
        ]

    def list_of(self, queue: str, payload: bytes) -> str:
        """The list that a payload belongs into, by its own priority."""
        return self._broker.queue_list(queue, step_of(priority_of(payload)))

    def _group(self, group_id: str) -> str:
        assert self._results is not None
        return self._results.group(group_id)


def worker_of_tag(tag: str) -> str:
    """The worker that leased under this tag."""
    return tag.removeprefix("canvas:").rpartition(":")[0]
