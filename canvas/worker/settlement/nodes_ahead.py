"""Nodes of runs that are read before their tasks end, so that the settlement of these tasks need not wait for them."""

import re
from collections.abc import Sequence
from contextlib import suppress

from canvas.drivers.ports.codec import MessageCodec
from canvas.errors import RunLost
from canvas.model.message import Delivery
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.wire.run_compression import NODES_PER_CHUNK
from canvas.workflows.store import RunStore

_OUTS = 64
"""Nodes after one node that are read, at most."""
_HEADER = RUN_HEADER.encode()
_PLACE = re.compile(rb'"%b": ?\["([ -!#-\[\]-~]+)", ?(\d{1,9}), ?(\d{1,9})[],]' % _HEADER)
"""The header as JSON that needs no decoding; a text that only looks like it has unneeded nodes read."""


def prefetch_nodes(runs: RunStore, place: NodeRef) -> None:
    """Read the nodes that the end of a node will need. A lost run is reported when that node ends."""
    with suppress(RunLost):
        for out in runs.node(place.run, place.attempt, place.node).outs[:_OUTS]:
            runs.node(place.run, place.attempt, out.node)


def read_nodes_ahead(runs: RunStore, codec: MessageCodec, deliveries: Sequence[Delivery]) -> None:
    """Read the nodes whose messages were leased together, in one call for several runs. The messages are not decoded:
    as long as they wait for their turn, no objects stand for them."""
    places = [place for one in deliveries if _HEADER in one.payload and (place := _place(one.payload, codec))]
    if len(places) > 1:
        runs.read_ahead({(run.decode(), int(attempt), chunk) for run, attempt, chunk in set(places)})


def _place(payload: bytes, codec: MessageCodec) -> tuple[bytes, bytes, int] | None:
    """Run, attempt and chunk of the node that a message is for; ``None`` if its header says none."""
    found = _PLACE.search(payload)
    if found is not None:
        run, attempt, number = found.groups()
        return run, attempt, int(number) // NODES_PER_CHUNK
    place = NodeRef.of(codec.headers_of(payload).get(RUN_HEADER))
    return None if place is None else (place.run.encode(), b"%d" % place.attempt, place.node // NODES_PER_CHUNK)
