"""The options of a dashboard."""

import ipaddress
from dataclasses import dataclass
from typing import Any

from canvas.errors import ConfigurationError

MASKS = ("arguments", "results")


@dataclass(frozen=True)
class DashboardOptions:
    """The options of a dashboard. Raises ConfigurationError where they contradict each other."""

    read_only: bool = False
    """Refuse every action."""
    basic_auth: tuple[str, ...] = ()
    """Users and passwords, each as ``user:password``, for HTTP basic authentication."""
    user_header: str | None = None
    """The header in which a reverse proxy names the user whom it has authenticated."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of the proxies whose ``user_header`` is believed."""
    host_auth: bool = False
    """The application in which the dashboard is mounted authenticates its users: everyone who gets here may use it."""
    mask: tuple[str, ...] = ()
    """Parts that are never shown: ``arguments`` of tasks, their ``results``."""
    max_tasks: int = 20_000
    """Tasks that are kept in memory; the oldest are forgotten."""
    max_workers: int = 1_000
    """Workers that are kept in memory."""
    store: str | None = None
    """The database in which history is kept, such as ``sqlite:///history.db``; in memory only without it."""
    store_age: float = 7 * 86_400.0
    """Seconds that history is kept in the store."""
    store_tasks: int = 1_000_000
    """Tasks that are kept in the store."""
    store_bytes: int | None = None
    """Bytes that history may take in the store; the oldest tasks are deleted first. No limit without it."""
    enable_events: bool = True
    """Ask workers regularly to send events of their tasks."""
    auto_refresh: bool = True
    """Pages load their data again every two seconds."""
    purge_offline: float | None = None
    """Seconds after its last heartbeat at which a worker is forgotten; without it, it is shown as offline."""
    runtime_buckets: tuple[float, ...] = ()
    """Upper bounds of the buckets of runtimes in the metrics, in seconds; some usual ones without it."""
    inspect_timeout: float = 1.0
    """Seconds to wait for the answers of workers."""
    broker_api: str | None = None
    """RabbitMQ's management API, such as ``http://user:password@host:15672/api/``: it lists queues that no worker
    consumes and no event names. Has no effect with other brokers."""

    def __post_init__(self) -> None:
        for pair in self.basic_auth:
            if not pair.partition(":")[0] or ":" not in pair:
                raise ConfigurationError("basic_auth: expected user:password; got text without a user or a colon")
        if bool(self.user_header) != bool(self.trusted_proxies):
            raise ConfigurationError(
                "user_header and trusted_proxies belong together: a header is only believed from a proxy that is named"
            )
        self.networks()
        for what in self.mask:
            if what not in MASKS:
                raise ConfigurationError(f"mask: expected {' or '.join(MASKS)}; got {what!r}")
        for name in ("max_tasks", "max_workers", "store_age", "store_tasks", "store_bytes", "inspect_timeout"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ConfigurationError(f"{name}: expected a number above 0; got {getattr(self, name)!r}")

    @property
    def authenticates(self) -> bool:
        """Whether it is known who uses the dashboard."""
        return bool(self.basic_auth or self.user_header or self.host_auth)

    def networks(self) -> list[Any]:
        """The networks of trusted proxies."""
        try:
            return [ipaddress.ip_network(one, strict=False) for one in self.trusted_proxies]
        except ValueError as exc:
            raise ConfigurationError(f"trusted_proxies: expected addresses or networks; {exc}") from exc
