"""The nodes of a Redis Cluster, and the slots that each serves now."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from canvas.drivers.redis.cluster.slots import SLOTS
from canvas.drivers.redis.connection.client import RedisClient
from canvas.drivers.redis.url import Address
from canvas.errors import BrokerError, OperationalError

_NO_NAME = "?"
"""The host of a node that has no name, in a cluster whose nodes are to be called by their names."""
_FRESH_FOR = 0.05
"""Seconds for which the nodes are not asked again: many threads learn of one failure at the same moment."""


class Cluster:
    """The nodes of a cluster, each with connections of its own, and the slots that its masters serve.

    The slots are read from any node that answers: at the first call, when a node says that a slot has moved, and when a
    node cannot be reached.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        """``addresses``: of nodes through which the others are found, with how to log in to all of them."""
        self.addresses = tuple(addresses)
        self._lock = threading.Lock()
        self._nodes: dict[tuple[str, int], RedisClient] = {}
        self._owners: list[RedisClient | None] = []
        self._read_at = 0.0

    def disinherit(self) -> None:
        """In a forked process: take another lock."""
        self._lock = threading.Lock()

    def where(self) -> str:
        """The cluster, for messages."""
        return "cluster " + ", ".join(f"{one.host}:{one.port}" for one in self.addresses)

    def known(self, slot: int) -> RedisClient | None:
        """The node that served a slot when the slots were read; ``None`` where they were not."""
        return self._owners[slot] if self._owners else None

    def node(self, slot: int) -> RedisClient:
        """The node that serves a slot. Raises OperationalError when none does."""
        owner = self.known(slot)
        if owner is None:
            self.refresh()
            owner = self._owners[slot]
        if owner is None:
            raise OperationalError(
                f"Redis {self.where()}: no node serves slot {slot}; a part of the cluster is down, or not all of its "
                "slots are assigned (CLUSTER SLOTS)"
            )
        return owner

    def masters(self) -> list[RedisClient]:
        """The nodes that serve slots, each once. Raises OperationalError when none can be found."""
        if not self._owners:
            self.refresh()
        return list(dict.fromkeys(node for node in self._owners if node is not None))

    def moved(self, slot: int, target: str) -> None:
        """A node says that another one, ``host:port``, serves a slot now. The slots are read again where it does not
        say on which host."""
        if target.rpartition(":")[0] in ("", _NO_NAME):
            self.refresh()
        elif self._owners:
            self._owners[slot] = self.at(target)

    def at(self, target: str) -> RedisClient:
        """The node at ``host:port``; a host that is not named is that of the first address."""
        host, _, port = target.rpartition(":")
        return self._client_of(self.addresses[0].host if host in ("", _NO_NAME) else host, int(port))

    def _client_of(self, host: str, port: int) -> RedisClient:
        found = self._nodes.get((host, port))
        if found is None:
            address = replace(self.addresses[0], host=host, port=port)
            found = self._nodes.setdefault((host, port), RedisClient(address, f"a node of {self.where()}"))
        return found

    def refresh(self) -> None:
        """Read the slots again. Raises OperationalError when no node answers, BrokerError when one refuses."""
        asked_at = time.monotonic()
        with self._lock:
            if self._owners and asked_at - self._read_at < _FRESH_FOR:
                return
            self._owners = self._read()
            self._read_at = time.monotonic()

    def _read(self) -> list[RedisClient | None]:
        """By slot, its owner, from the first node that answers and knows any."""
        away: OperationalError | None = None
        for node in dict.fromkeys([*self._owners, *self._nodes.values(), *self._first_nodes()]):
            if node is None:
                continue
            try:
                owners = self._owners_in(node, node.command("CLUSTER", "SLOTS", retry=False))
            except OperationalError as exc:
                away = exc
            except BrokerError as exc:
                raise _explained(exc, node) from None
            else:
                if any(owners):
                    return owners
        raise away or OperationalError(
            f"Redis {self.where()}: no node knows which nodes serve the slots (CLUSTER SLOTS is empty)"
        )

    def _first_nodes(self) -> list[RedisClient]:
        return [self._client_of(one.host, one.port) for one in self.addresses]

    def _owners_in(self, asked: RedisClient, ranges: Sequence[Sequence[Any]]) -> list[RedisClient | None]:
        owners: list[RedisClient | None] = [None] * SLOTS
        for first, last, (host, port, *about), *_replicas in ranges:
            node = self._client_of(_host((host or b"").decode(), about) or asked.address.host, int(port))
            owners[int(first) : int(last) + 1] = [node] * (int(last) - int(first) + 1)
        return owners

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        for node in list(self._nodes.values()):
            node.close()


def _host(given: str, about: Sequence[Any]) -> str:
    """The host of a node in CLUSTER SLOTS. ``""``: the one that was asked, as of a node that does not know its address.

    ``about``: the node's id, and names and values of further facts about it.
    """
    if given != _NO_NAME:
        return given
    more: list[bytes] = list(about[1]) if len(about) > 1 else []
    return dict(zip(more[::2], more[1::2], strict=True)).get(b"ip", b"").decode()


def _explained(exc: BrokerError, node: RedisClient) -> BrokerError:
    """The error of a node that does not show its slots, with its cure."""
    text = str(exc)
    if "cluster support disabled" in text:
        return BrokerError(
            f"Redis at {node.where()} is not in cluster mode: write redis:// in place of redis+cluster://"
        )
    if "NOPERM" in text:
        return BrokerError(f"{text}; give the user the right to it: ACL SETUSER <user> +cluster|slots")
    return exc
