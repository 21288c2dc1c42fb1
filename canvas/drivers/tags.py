"""Tags of leases: ``canvas:<worker>:<number>``."""

from collections.abc import Iterable

from canvas.drivers.ports.values import Lease
from canvas.model.settlement import Settlement


def tag_of(worker: str, number: int) -> str:
    """The tag of a worker's lease."""
    return f"canvas:{worker}:{number}"


def worker_of_tag(tag: str) -> str:
    """The worker that leased under this tag."""
    return tag.removeprefix("canvas:").rpartition(":")[0]


def number_of_tag(tag: str) -> int:
    """The number of the lease among its worker's; 0 where the tag is another program's."""
    last = tag.rpartition(":")[2]
    return int(last) if last.isdigit() else 0


def worker_of(settlements: Iterable[Settlement], lease: Lease | None) -> str:
    """The worker that settles, and leases more; empty where nothing is leased."""
    if lease is not None:
        return lease.worker
    return next((worker_of_tag(s.delivery.tag) for s in settlements if s.delivery is not None), "")
