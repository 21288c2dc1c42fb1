"""Where an app's broker is, by its settings."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from canvas.config.config import Config
from canvas.errors import ConfigurationError
from canvas.masking import masked_url

DEFAULT_BROKER = "redis://localhost:6379/0"
"""The broker of an app without ``broker_url``."""


def broker_address(conf: Config) -> str:
    """The URL of the broker; of ``broker_shards`` that of the first, which carries broadcasts too.

    Raises ConfigurationError for a ``broker_url`` that is not among the shards, and for two brokers in
    ``broker_read_url`` and ``broker_write_url``.
    """
    shards: Mapping[str, Any] = conf.broker_shards or {}
    if not shards:
        return str(conf.broker_url or _of_either_way(conf) or DEFAULT_BROKER)
    if conf.broker_url and conf.broker_url not in shards:
        raise ConfigurationError(
            f"broker_url {masked_url(conf.broker_url)} is none of broker_shards: leave it out, or add it there with "
            "its queues"
        )
    return str(next(iter(shards)))


def _of_either_way(conf: Config) -> str | None:
    read, write = conf["broker_read_url"], conf["broker_write_url"]
    if read and write and read != write:
        raise ConfigurationError(
            f"broker_read_url {masked_url(read)} and broker_write_url {masked_url(write)} name two brokers, "
            "and an app of canvas has one: set broker_url"
        )
    found: str | None = read or write
    return found


def checked_shards(conf: Config) -> Mapping[str, Sequence[str]] | None:
    """The setting ``broker_shards``; ``None`` where it is empty.

    Raises ConfigurationError for a pattern that fits no queue, where ``task_queues`` names all there are.
    """
    shards: Mapping[str, Sequence[str]] = conf.broker_shards or {}
    queues = conf.task_queues
    if shards and queues and not conf.task_create_missing_queues:
        names = [str(getattr(queue, "name", queue)) for queue in queues]
        for url, patterns in shards.items():
            for pattern in patterns:
                if not any(fnmatchcase(name, str(pattern)) for name in names):
                    raise ConfigurationError(
                        f"broker_shards: {masked_url(url)}: {pattern!r:.100} matches none of task_queues "
                        f"({', '.join(names)}), and task_create_missing_queues is off: correct it, or leave it out"
                    )
    return shards or None
