"""Messages in RabbitMQ, over AMQP 0-9-1; the state that RabbitMQ does not keep is on a state server. Needs the extra
``amqp``."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.amqp.options import AmqpOptions
from canvas.drivers.amqp.url import parse
from canvas.drivers.ports import Driver, StoreParts
from canvas.drivers.ports.message_state import StateParts
from canvas.errors import ConfigurationError
from canvas.text import pip_install


def open_amqp(
    url: str, options: Mapping[str, Any], state: StateParts | None, store: StoreParts | None,
    rpc: Mapping[str, Any] | None = None,
) -> Driver:  # fmt: skip
    """The driver of the RabbitMQ broker at a URL, or at one of several with ``;`` between them.

    ``options``: those of ``url.parse``; ``socket_timeout``, the seconds in which the broker answers;
    ``consumer_timeout``, the seconds for which it lets a worker hold a message, by default RabbitMQ's 1800;
    ``delayed_queue_type``, ``control_queue``, ``event_queue`` and ``event_queue_prefix`` as ``AmqpOptions`` has them.
    ``state``: ``None`` without a state server. ``rpc``: for results that are messages, instead of ``store``, the fields
    of RpcOptions. Raises ConfigurationError for a URL or an option that cannot be used, and when py-amqp is missing.
    """
    addresses = parse(url, options)
    try:
        from canvas.drivers.amqp.opening import opened
    except ModuleNotFoundError as exc:
        raise ConfigurationError(f"RabbitMQ as a broker needs {exc.name}: {pip_install('amqp')}") from exc
    return opened(addresses, AmqpOptions.of(options), state, store, rpc)
