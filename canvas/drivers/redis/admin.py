"""The queues as commands and monitoring see and change them."""

import re

import msgpack

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import DeadLetter, InFlight, Scheduled
from canvas.drivers.redis.bindings import Bindings
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.connection.refusals import refusal_of
from canvas.drivers.redis.idempotent_calls import IdempotentCalls
from canvas.drivers.redis.keys import BrokerKeys
from canvas.drivers.redis.scripts.arguments import ScriptArguments
from canvas.drivers.redis.scripts.replies import text
from canvas.drivers.stored_messages import task_id_of
from canvas.model.queue import OWN_QUEUE

_KEYS_AT_ONCE = 2_000
"""Keys that one search for queues goes through; Redis takes less than a millisecond for them."""
_LOOKED_AT = 1_000
"""Delayed messages that one call reads."""


class RedisAdmin:
    """The Admin of ``canvas.drivers.ports``."""

    def __init__(
        self, link: RedisClient, keys: BrokerKeys, packing: ScriptArguments, guards: IdempotentCalls, bindings: Bindings
    ) -> None:  # fmt: skip
        self._bindings = bindings
        self._guards = guards
        self.link = link
        self.keys = keys
        self.packing = packing
        self._cursor = b"0"

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        found = self.link.command("LRANGE", self.keys.dead_letters(queue), 0, -1)
        letters = []
        for packed in reversed(found):
            fields = {text(key): value for key, value in msgpack.unpackb(packed, raw=True).items()}
            at = float(fields["time"])
            letters.append(DeadLetter(fields["payload"], text(fields["reason"]), text(fields["queue"]), at, packed))
        return letters

    def delete_dead_letter(self, queue: str, letter: DeadLetter) -> bool:
        return self.requeue_dead_letter(queue, letter, b"")

    def requeue_dead_letter(self, queue: str, letter: DeadLetter, payload: bytes) -> bool:
        keys = [self.keys.dead_letters(queue), self.packing.list_of(queue, payload or letter.payload)]
        return bool(self._guards.call("requeue_dead_letter", keys, [letter.token, payload], None))

    def dead_letter_count(self, queue: str) -> int:
        return int(self.link.command("LLEN", self.keys.dead_letters(queue)))

    def queue_length(self, queue: str, retry: bool = True) -> int:
        return sum(self.link.pipeline([("LLEN", key) for key in self.keys.queue_lists(queue)], retry=retry))

    def find_queues(self) -> list[str]:
        pattern = f"{_literally(self.keys.prefix)}*"
        scan = "SCAN", self._cursor, "MATCH", pattern, "COUNT", _KEYS_AT_ONCE, "TYPE", "list"
        self._cursor, lists = self.link.command(*scan)
        payloads = self.link.pipeline([("LINDEX", key, -1) for key in lists]) if lists else []
        found, dead = set(), self.keys.dead_letters("")
        for key, payload in zip(map(text, lists), payloads, strict=True):
            if key.startswith(dead):
                found.add(key.removeprefix(dead))
            elif payload is not None and task_id_of(ENVELOPE, payload) is not None:
                found.add(self.keys.queue_of(key))
        return sorted(found)

    def next_messages(self, queue: str) -> list[bytes]:
        found = self.link.pipeline([("LINDEX", key, -1) for key in self.keys.queue_lists(queue)])
        return [message for message in found if message is not None]

    def refusal(self) -> str | None:
        return refusal_of(self.link, self.keys.write_check)

    def in_flight(self) -> InFlight:
        keys = self.keys
        looks = [("HLEN", keys.unacked), ("ZCARD", keys.delayed), ("HKEYS", keys.concurrency_limits)]
        leased, deferred, waiting = self.link.pipeline(looks)
        blocked = (
            self.link.pipeline([("LLEN", keys.waiting_for_permit(key.decode())) for key in waiting]) if waiting else []
        )
        return InFlight(leased, deferred, sum(blocked))

    def purge(self, queue: str) -> int:
        lists = self.keys.queue_lists(queue)
        # Redis frees the messages on a thread of its own: a long queue would block it.
        answers = self.link.pipeline([*(("LLEN", key) for key in lists), ("UNLINK", *lists)], transaction=True)
        if queue.startswith(OWN_QUEUE):
            self._bindings.delete_own([queue])
        return sum(answers[: len(lists)])

    def enqueue_delayed(self, queue: str, limit: int) -> int:
        keys, moved, first = [self.keys.delayed, self.keys.delayed_messages], 0, 0
        while moved < limit:
            arguments = [limit - moved, first, _LOOKED_AT, *self.keys.queue_lists(queue)]
            found, looked = self.link.call("enqueue_delayed", keys, arguments)
            moved, first = moved + found, first + looked - found
            if looked < _LOOKED_AT:
                break
        return moved

    def scheduled(self, limit: int) -> list[Scheduled]:
        keys = self.keys
        found = self.link.pipeline([("ZRANGE", keys.delayed, 0, limit - 1, "WITHSCORES")])[0] if limit > 0 else []
        pairs = (
            [tuple(one) for one in found]
            if found and isinstance(found[0], list | tuple)
            else list(zip(found[::2], found[1::2], strict=True))
        )
        packed = self.link.command("HMGET", keys.delayed_messages, *(name for name, _ in pairs)) if pairs else []
        scheduled = []
        for (_, due), message in zip(pairs, packed, strict=True):
            if message is not None:
                key, payload = msgpack.unpackb(message, raw=True)[:2]
                scheduled.append(Scheduled(float(due), keys.queue_of(text(key)), payload))
        return scheduled


def _literally(name: str) -> str:
    """Text as a pattern of Redis that only this text matches."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", name)
