"""Instants of a worker's life at which it can be killed: before or after a request to Redis, or inside, by an event."""

import os
import signal
from dataclasses import dataclass
from typing import Any

from tests.support.processes import members
from tests.support.proxy import Proxy

_EMPTY = b"\x90"
"""An empty list in msgpack: settle.lua was asked to settle, or to end, nothing."""


def _leases(request):
    return int(request.arguments[3]) > 0


def _settles(request):
    return request.arguments[2] != _EMPTY


def _fires(request):
    return request.arguments[6] != _EMPTY


def _any(request):
    return True


def _some(answer):
    return not answer.startswith((b":0\r", b"*0\r", b"$-1\r", b"-"))


def _delivered(answer):
    return b'"content-encoding"' in answer


@dataclass
class Instant:
    """``command`` ``None`` is any; ``count``: the how manieth such request it is."""

    name: str
    command: str
    when: str
    which: Any = _any
    answered: Any = _some
    count: int = 1

    def names(self, request):
        return self.command is None or request.name == self.command


LEASED = Instant("after lease", "settle", "after", _leases, _delivered)
ONE_SERVER = [
    LEASED,
    Instant("before settle", "settle", "before", _settles),
    Instant("settled, not answered", "settle", "after", _settles),
    Instant("before a later settle", "settle", "before", _settles, count=4),
    Instant("settled later, not answered", "settle", "after", _settles, count=6),
    Instant("before a chord's body", "settle", "before", _fires),
    Instant("after a chord's body", "settle", "after", _fires),
    Instant("before a second body", "settle", "before", _fires, count=2),
    Instant("before the heart beats", "heartbeat", "before", count=3),
    Instant("before promotion", "enqueue_due", "before"),
    Instant("after promotion", "enqueue_due", "after"),
]
TWO_SERVERS = [
    LEASED,
    Instant("between results and messages", "settle", "before", _settles),
    Instant("between messages and the next", "settle", "after", _settles),
    Instant("before results", "store_results", "before"),
    Instant("after results", "store_results", "after"),
    Instant("before the body, its chord joined", "publish_guarded", "before"),
    Instant("the body sent, its chord not forgotten", "publish_guarded", "after"),
    Instant("before a chord is forgotten", "delete_chord", "before"),
    Instant("after a chord is forgotten", "delete_chord", "after"),
]
INSIDE = [
    Instant("taken, before it runs", "task.received", "inside", count=3),
    Instant("as it starts", "task.started", "inside", count=5),
    Instant("run, before it is settled", "task.finished", "inside", count=9),
    Instant("a chord is ready, its body not sent", "chord.dispatched", "inside"),
    Instant("settled, before the next is handed out", "batch.settled", "inside", count=2),
]
REAPER = [
    Instant("before it looks", "HKEYS", "before"),
    Instant("before it gives back", "release_leases", "before"),
    Instant("given back, not answered", "release_leases", "after"),
    Instant("before the dead is forgotten", "forget_worker", "before"),
    Instant("after the dead is forgotten", "forget_worker", "after"),
]


class Executioner:
    """Watches what passes a worker's proxies, and kills the worker at an instant."""

    def __init__(self, instant):
        self._instant = instant
        self._left = instant.count
        self.victim = None
        """The worker's process id, once it is known; it leads a group of its own."""
        self.struck = False
        self.killed = set()
        """The worker's processes."""

    @property
    def settings(self):
        """What the worker must be started with."""
        instant = self._instant
        return {"die_at": f"{instant.command}:{instant.count}"} if instant.when == "inside" else {}

    def proxy(self, port):
        return Proxy(port, self._watch)

    def _watch(self, request):
        instant = self._instant
        if self.struck or self.victim is None or not instant.names(request) or not instant.which(request):
            return None
        if instant.when == "after":
            return lambda answer: instant.answered(answer) and self._count()
        return self._count()

    def _count(self):
        self._left -= 1
        if self._left == 0:
            self.struck = True
            self.killed.update(members(self.victim))
            os.killpg(self.victim, signal.SIGKILL)
            raise ConnectionAbortedError
