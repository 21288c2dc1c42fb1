"""The options of this driver, as ``open_amqp`` takes them."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from canvas.errors import ConfigurationError

_ANSWERS_WITHIN: Final = 30.0
_CONSUMER_TIMEOUT: Final = 1800.0
"""Seconds, RabbitMQ's default: a client cannot read it."""


class InboxQueue(NamedTuple):
    """How a queue for broadcasts or replies is declared."""

    ttl: float | None
    """Seconds after which a message in it expires; ``None``: without an end."""
    expires: float | None
    """Seconds without use after which it is deleted; ``None``: without an end."""
    exclusive: bool = True
    """Whether it belongs to one connection, and ends with it."""
    durable: bool = False
    """Whether it outlives its reader and a restart of RabbitMQ."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of its declaration."""
        given = {"x-message-ttl": self.ttl, "x-expires": self.expires}
        return {name: int(seconds * 1000) for name, seconds in given.items() if seconds}

    @classmethod
    def of(cls, what: str, given: Any, default: "InboxQueue") -> "InboxQueue":
        """The queue of options under InboxQueue's names. Raises ConfigurationError for options that exclude each
        other."""
        found = default._replace(**(given or {}))
        if found.exclusive and found.durable:
            raise ConfigurationError(
                f"{what}_queue_exclusive and {what}_queue_durable: a queue cannot be both, for RabbitMQ deletes "
                "an exclusive queue with its connection. Turn one of the settings off"
            )
        return found


class AmqpOptions(NamedTuple):
    """Time limits, and the declarations of queues that are not for tasks."""

    answer_within: float = _ANSWERS_WITHIN
    """Seconds in which the broker answers, unless it blocks publishing."""
    consumer_timeout: float = _CONSUMER_TIMEOUT
    """Seconds for which RabbitMQ lets a worker hold a message."""
    delayed_queue_type: str = "quorum"
    """Of the queues of Celery's native delayed delivery."""
    control: InboxQueue = InboxQueue(300.0, 10.0)
    """For broadcasts of remote control, and replies to them."""
    events: InboxQueue = InboxQueue(5.0, 60.0)
    events_prefix: str = "celeryev"
    """The prefix of the names of queues for events."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "AmqpOptions":
        """The options of RabbitMQ among a driver's options. Raises ConfigurationError."""
        kind = options.get("delayed_queue_type") or cls().delayed_queue_type
        if kind not in ("classic", "quorum"):
            raise ConfigurationError(
                f"broker_native_delayed_delivery_queue_type: expected 'classic' or 'quorum'; got {kind!r:.80}"
            )
        return cls(
            float(options.get("socket_timeout") or _ANSWERS_WITHIN),
            float(options.get("consumer_timeout") or _CONSUMER_TIMEOUT),
            kind,
            InboxQueue.of("control", options.get("control_queue"), cls().control),
            InboxQueue.of("event", options.get("event_queue"), cls().events),
            options.get("event_queue_prefix") or cls().events_prefix,
        )
