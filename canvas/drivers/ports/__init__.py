"""The seam between canvas and the servers it talks to: what a driver is.

A driver has three faces. :class:`Broker` keeps messages, :class:`Results` keeps records and chords,
:class:`Settler` commits settlements across both. Everything here speaks in bytes and in the words of
``canvas.model``; no driver knows what a task is. Every driver passes ``canvas.testing.contract``.

Threads: every method may be called from any thread. Methods named ``a…`` are coroutines with the same
contract. Errors: an unreachable server raises :class:`canvas.errors.OperationalError`, after the driver's own
retries; a refused request raises :class:`canvas.errors.BrokerError`.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from canvas.drivers.ports.broker import Broker
    from canvas.drivers.ports.results import Results
    from canvas.drivers.ports.settler import Settler


@dataclass(slots=True)
class Driver:
    """What an app holds: the three faces, opened from its URLs."""

    broker: "Broker"
    results: "Results | None"
    """``None`` when the app has no result backend."""
    settler: "Settler"
    scheme: str = field(default="")
