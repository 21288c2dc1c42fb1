"""Nodes of runs that are read before their tasks end, so that the settlement of these tasks need not wait for them."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from canvas.errors import InvalidTaskError, RunLost, WireError
from canvas.model.message import Delivery, Message
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.workflows.store import RunStore

_OUTS = 64
"""Nodes after one node that are read, at most."""
_HEADER = RUN_HEADER.encode()


class Decoder(Protocol):
    """Decodes messages, and keeps those that it is given for their turn."""

    def decode(self, payload: bytes) -> Message: ...
    def keep(self, payload: bytes, message: Message) -> None: ...


def prefetch_nodes(runs: RunStore, place: NodeRef) -> None:
    """Read the nodes that the end of a node will need. A lost run is reported when that node ends."""
    with suppress(RunLost):
        for out in runs.node(place.run, place.attempt, place.node).outs[:_OUTS]:
            runs.node(place.run, place.attempt, out.node)


def read_nodes_ahead(runs: RunStore, decoder: Decoder, deliveries: Sequence[Delivery]) -> None:
    """Read the nodes whose messages were leased together, in one call for several runs. A message that cannot be
    decoded is reported when its turn comes."""
    places: list[NodeRef] = []
    for delivery in deliveries:
        if _HEADER not in delivery.payload:
            continue
        with suppress(WireError, InvalidTaskError):
            message = decoder.decode(delivery.payload)
            decoder.keep(delivery.payload, message)
            place = NodeRef.of(message.headers.get(RUN_HEADER))
            if place is not None:
                places.append(place)
    if len(places) > 1:
        runs.read_ahead(places)
