"""Messages in RabbitMQ, over AMQP 0-9-1; what RabbitMQ does not keep is on a state server. Needs the extra ``amqp``."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.amqp.url import parse
from canvas.drivers.ports import Driver, StoreParts
from canvas.drivers.ports.capabilities import BROKER_OF_ALL, Capability
from canvas.drivers.ports.message_state import StateParts
from canvas.errors import ConfigurationError

_ANSWERS_WITHIN = 30.0
_CONSUMER_TIMEOUT = 1800.0
"""Seconds, RabbitMQ's default: a client cannot read it."""


def open_amqp(url: str, options: Mapping[str, Any], state: StateParts, store: StoreParts | None) -> Driver:
    """The driver of the RabbitMQ broker at a URL, or at one of several with ``;`` between them.

    ``options``: those of ``url.parse``; ``socket_timeout``, the seconds in which the broker answers;
    ``consumer_timeout``, the seconds for which it lets a worker hold a message, by default RabbitMQ's 1800. Raises
    ConfigurationError for a URL that cannot be used, and when py-amqp is missing.
    """
    addresses = parse(url, options)
    try:
        from canvas.drivers.amqp.broker import AmqpBroker
        from canvas.drivers.amqp.bus import AmqpBus
        from canvas.drivers.amqp.parts import AmqpAdmin, AmqpCoordination, AmqpRecovery, AmqpSchedules
        from canvas.drivers.amqp.settler import AmqpSettler
    except ModuleNotFoundError as exc:
        remedy = "pip install 'canvas-workflows[amqp]'"
        raise ConfigurationError(f"RabbitMQ as a broker needs {exc.name}: {remedy}") from exc
    timeout = float(options.get("consumer_timeout") or _CONSUMER_TIMEOUT)
    broker = AmqpBroker(addresses, float(options.get("socket_timeout") or _ANSWERS_WITHIN), state, timeout)
    results, chords, runs, found = store if store is not None else (None, None, None, frozenset[Capability]())
    return Driver(
        broker, AmqpBus(broker), AmqpAdmin(broker), AmqpCoordination(broker), AmqpRecovery(broker), results, chords,
        runs, AmqpSettler(broker, state.settler), BROKER_OF_ALL | found, "amqp",
        AmqpSchedules(broker) if state.schedules is not None else None,
    )  # fmt: skip
