"""The list of chords that are ready, one value in Memcached, changed by compare-and-set.

The worker that adds a chord returns it to be ended; the sweep of every worker finds it in the list.
"""

import json
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from canvas.drivers.keyvalue.memcached import Memcached
from canvas.drivers.keyvalue.values import KeyNames

_DONE_FOR = 300
"""Seconds for which late parts of a chord that has ended are still known to be late."""
_DAY = 86_400

Kind = Literal["ready", "lost", "unsure"]
"""``lost``: to end in failure. ``unsure``: not ready yet; it has no size, or a Celery worker may be ending it."""


class Listed(NamedTuple):
    """A chord in the list."""

    group_id: str
    since: float
    """Unix time, seconds."""
    kind: Kind


class ReadyChords:
    """The list, the callbacks of its chords, and marks of the chords that have ended."""

    def __init__(self, values: Memcached, names: KeyNames) -> None:
        self._values = values
        self._names = names

    def add(self, group_id: str, kind: Kind, callback: bytes) -> bool:
        """Add a chord to the list, unless it is there already or has ended. Returns whether it was added. A chord that
        is listed as unsure may be added again when it is ready."""
        values, now = self._values, time.time()
        values.set(self._callback(group_id), callback, _DAY)

        def added(known: list[Listed]) -> list[Listed] | None:
            if any(one.group_id == group_id and (one.kind != "unsure" or kind == "unsure") for one in known):
                return None
            if self.has_ended(group_id):
                return None
            return [*_without(known, group_id), Listed(group_id, now, kind)]

        return self._change(added)

    def has_ended(self, group_id: str) -> bool:
        """Whether a chord has ended in the last minutes, and was not started again."""
        return self.mark(group_id) in self._values.get([self.mark(group_id)])

    def mark(self, group_id: str) -> str:
        """The key of a chord that has ended."""
        return self._names.own("done", group_id)

    def _callback(self, group_id: str) -> str:
        return self._names.own("callback", group_id)

    def callback(self, group_id: str) -> bytes:
        """The data with which a chord of the list is ended."""
        return self._values.get([self._callback(group_id)]).get(self._callback(group_id), b"")

    def end(self, group_id: str) -> None:
        """Mark a chord as ended, and take it off the list."""
        self._values.set(self.mark(group_id), b"1", _DONE_FOR)
        self._change(lambda known: _without(known, group_id))
        self._values.delete([self._callback(group_id)])

    def drop_unsure(self, group_id: str) -> None:
        """Take a chord off the list that is not ready."""
        self._change(lambda known: [one for one in known if one[::2] != (group_id, "unsure")])

    def all(self) -> list[Listed]:
        """The chords in the list."""
        key = self._names.own("ready")
        return _read(self._values.get([key]).get(key))

    def _change(self, change: Callable[[list[Listed]], list[Listed] | None]) -> bool:
        def changed(known: bytes | None) -> bytes | None:
            found = change(_read(known))
            return None if found is None else json.dumps(found).encode()

        return self._values.change(self._names.own("ready"), changed, None)


def _read(written: bytes | None) -> list[Listed]:
    return [Listed(*one) for one in json.loads(written)] if written else []


def _without(known: list[Listed], group_id: str) -> list[Listed]:
    return [one for one in known if one.group_id != group_id]
