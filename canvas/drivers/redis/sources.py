"""What one call of settle.lua leases from, and the messages it sends there itself."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Sources(NamedTuple):
    """The lists that a lease takes from, in their order."""

    lists: Sequence[str] = ()
    names: Sequence[str] = ()
    """The queue that each belongs to."""
    tails: Mapping[str, bytes] = {}
    """By list, but for inboxes: what stands after a payload in the record of its lease."""


def sources(inbox: Sequence[tuple[str, str]], pairs: Sequence[tuple[str, str]]) -> Sources:
    """``inbox`` and ``pairs``: lists and their queues; the inbox comes first."""
    lists, names = zip(*inbox, *pairs, strict=True)
    return Sources(lists, names, {key: f',"",{json.dumps(queue)}]'.encode() for key, queue in pairs})


class Carried:
    """Messages of one call that go into lists it leases from: where nothing waits there, the script leases them as they
    come, and they need not be handed to it as list elements, nor be sent back."""

    def __init__(self, tails: Mapping[str, bytes]) -> None:
        self._tails = tails
        self.payloads: list[bytes] = []
        self.records: list[bytes] = []
        """Each as it stands in ``unacked``."""

    def words(self, key: str, payload: bytes) -> list[Any]:
        """What the script is told of a message for a list."""
        tail = self._tails.get(key)
        # What is no JSON object is put into a string by the script.
        if tail is None or not payload.startswith(b"{"):
            return [key, payload]
        self.payloads.append(payload)
        self.records.append(b"[" + payload + tail)
        return [key, len(self.records), len(tail)]
