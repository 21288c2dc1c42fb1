"""The only room that talks to servers. ``open_driver`` picks the driver that a URL's scheme names."""

from collections.abc import Mapping
from typing import Any

from canvas.drivers.base import Driver
from canvas.drivers.fallback import Stepwise
from canvas.errors import ConfigurationError

_REDIS = frozenset({"redis", "rediss", "redis+socket", "unix", "sentinel"})


def open_driver(
    broker_url: str,
    result_url: str | None,
    *,
    broker_options: Mapping[str, Any] | None = None,
    result_options: Mapping[str, Any] | None = None,
) -> Driver:
    """Broker and results at these URLs. Nothing is connected before its first use.

    Raises ConfigurationError for a scheme that no driver serves.
    """
    scheme, result_scheme = _scheme(broker_url), _scheme(result_url)
    broker_options, result_options = broker_options or {}, result_options or {}
    if scheme == result_scheme == "memory" and broker_url == result_url:
        from canvas.drivers.memory import open_memory

        return open_memory(broker_url)
    if scheme in _REDIS and result_scheme in _REDIS:
        from canvas.drivers.redis import open_redis

        return open_redis(broker_url, str(result_url), broker_options=broker_options, result_options=result_options)
    broker = _opened(scheme, broker_url, broker_options, "broker")
    results = None
    if result_scheme != "disabled":
        results = _opened(result_scheme, str(result_url), result_options, "results")
    return Driver(broker, results, Stepwise(broker, results), scheme)


def _opened(scheme: str, url: str, options: Mapping[str, Any], part: str) -> Any:
    if scheme == "memory":
        from canvas.drivers.memory import open_memory

        opened = open_memory(url)
        return opened.broker if part == "broker" else opened.results
    if scheme in _REDIS:
        from canvas.drivers.redis import open_broker, open_results

        return open_broker(url, options) if part == "broker" else open_results(url, options)
    # importlib.metadata is slow to import, and few programs have a driver of their own.
    from importlib.metadata import entry_points

    others = {entry.name: entry for entry in entry_points(group="canvas.drivers")}
    if scheme in others:
        return getattr(others[scheme].load(), f"open_{part}")(url, options)
    known = ", ".join(sorted({*_REDIS, "memory", *others}))
    raise ConfigurationError(f"{part} URL: no driver for scheme {scheme!r}; expected one of {known}")


def _scheme(url: str | None) -> str:
    if url is None or url in ("disabled", "disabled://"):
        return "disabled"
    return url.partition("://")[0]
