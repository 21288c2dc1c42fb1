"""Queues in which messages wait: one for each delay, from which RabbitMQ sends them on when it has passed.

A delay has a fanout exchange and a queue of the same name. The queue's messages expire after the delay, and go to the
exchange that they are meant for with the routing key that they came with. RabbitMQ deletes a queue that has not been
used for twice its delay and a minute, so that it holds no more queues than delays that are in use.
"""

import re
from typing import Any, Final, NamedTuple

PREFIX: Final = "canvas.delay."
_NAME = re.compile(r"canvas\.delay\.(quorum\.)?(\d+)(?::(.*))?", re.DOTALL)
_FINE: Final = 50
"""Milliseconds between the delays of less than a second."""
_WHOLE_SECONDS_UNTIL: Final = 60_000
"""Milliseconds up to which delays are whole seconds."""
_STEPS: Final = 4
"""Binary logarithm of the number of delays from one power of two to the next, beyond that."""
_LONGEST: Final = 14 * 86_400_000
"""Milliseconds; RabbitMQ's limit for the life of an unused queue is 49 days."""
_UNUSED: Final = 60_000
"""Milliseconds without use, beyond twice its delay, after which a queue is deleted."""


class DelayQueue(NamedTuple):
    """A queue for one delay."""

    milliseconds: int
    exchange: str = ""
    """The exchange that its messages are meant for."""
    quorum: bool = False

    @property
    def name(self) -> str:
        """The name of the queue, and of the exchange that leads to it."""
        kind, to = "quorum." if self.quorum else "", f":{self.exchange}" if self.exchange else ""
        return f"{PREFIX}{kind}{self.milliseconds}{to}"

    @classmethod
    def named(cls, name: str) -> "DelayQueue | None":
        """The queue of this name; ``None`` when it is another kind of queue."""
        found = _NAME.fullmatch(name)
        return cls(int(found[2]), found[3] or "", bool(found[1])) if found else None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of its declaration."""
        found: dict[str, Any] = {
            "x-message-ttl": self.milliseconds,
            "x-dead-letter-exchange": self.exchange,
            "x-expires": 2 * self.milliseconds + _UNUSED,
        }
        if self.quorum:
            return found | {
                "x-queue-type": "quorum", "x-overflow": "reject-publish", "x-dead-letter-strategy": "at-least-once",
            }  # fmt: skip
        return found | {"x-queue-mode": "lazy"}

    @property
    def renewed_after(self) -> float:
        """Seconds after its declaration from which it is declared again before it gets a message, so that it outlives
        the message."""
        return (self.milliseconds + _UNUSED) / 2000


def step_of(seconds: float) -> int:
    """The delay, in milliseconds, of the queue for a delay of ``seconds``. Below one second it is longer by at most
    50 ms; else it is equal or shorter, and the rest is another delay."""
    exact = int(min(seconds * 1000, _LONGEST))
    if exact < 1000:
        return (exact // _FINE + 1) * _FINE
    if exact < _WHOLE_SECONDS_UNTIL:
        return exact // 1000 * 1000
    bits = exact.bit_length() - 1 - _STEPS
    return exact >> bits << bits if exact < _LONGEST else _LONGEST
