"""Messages in RabbitMQ, over AMQP 0-9-1; what RabbitMQ does not keep is on a state server. Needs the extra ``amqp``."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.amqp.options import AmqpOptions
from canvas.drivers.amqp.url import parse
from canvas.drivers.ports import Driver, StoreParts
from canvas.drivers.ports.capabilities import BROKER_OF_ALL, Capability
from canvas.drivers.ports.message_state import StateParts
from canvas.errors import ConfigurationError


def open_amqp(url: str, options: Mapping[str, Any], state: StateParts, store: StoreParts | None) -> Driver:
    """The driver of the RabbitMQ broker at a URL, or at one of several with ``;`` between them.

    ``options``: those of ``url.parse``; ``socket_timeout``, the seconds in which the broker answers;
    ``consumer_timeout``, the seconds for which it lets a worker hold a message, by default RabbitMQ's 1800;
    ``delayed_queue_type``, ``control_queue``, ``event_queue`` and ``event_queue_prefix`` as ``AmqpOptions`` has them.
    Raises ConfigurationError for a URL or an option that cannot be used, and when py-amqp is missing.
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
    broker = AmqpBroker(addresses, AmqpOptions.of(options), state)
    results, chords, runs, found = store if store is not None else (None, None, None, frozenset[Capability]())
    return Driver(
        broker, AmqpBus(broker), AmqpAdmin(broker), AmqpCoordination(broker), AmqpRecovery(broker), results, chords,
        runs, AmqpSettler(broker, state.settler), BROKER_OF_ALL | found, "amqp",
        AmqpSchedules(broker) if state.schedules is not None else None,
    )  # fmt: skip
