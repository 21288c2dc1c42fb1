"""The server of celery-redbeat's keys, by RedBeat's settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from canvas.beat.configured_entries import SetupApp
from canvas.drivers.redis.url import Address, parse
from canvas.errors import ConfigurationError

_SENTINELS: Final = "redis-sentinel"
_SERVICE: Final = "master"
"""The name that sentinels have for their servers, where ``service_name`` gives no other."""


def server_of(app: SetupApp) -> Address:
    """Where ``redbeat_redis_url``, ``redbeat_redis_options`` and ``redbeat_redis_use_ssl`` lead; without them the
    broker's URL and options.

    Raises ConfigurationError for what is not one Redis server, or the servers behind sentinels.
    """
    conf = app.conf
    url, own = conf.get("redbeat_redis_url"), conf.get("redbeat_redis_options")
    options: Mapping[str, Any] = own or conf.broker_transport_options or {}
    given = str(url or conf.broker_url)
    _refuse_others(given, options)
    secured = conf.get("redbeat_redis_use_ssl", conf.broker_use_ssl)
    tls = dict(secured) if isinstance(secured, Mapping) else {}
    scheme = given.partition("://")[0]
    if scheme == _SENTINELS:
        return _watched(options, tls)
    if not url:
        return _with_login(parse(given, {"ssl": conf.broker_use_ssl, **options}), given, own or {})
    if scheme != "rediss":
        return _with_login(parse(given, own or {}), given, own or {})
    tls |= {name: value for name, value in (own or {}).items() if name.startswith("ssl_")}
    return _with_login(parse(given, {"ssl": tls or True, **(own or {})}), given, own or {})


def _watched(options: Mapping[str, Any], tls: dict[str, Any]) -> Address:
    """The servers that RedBeat's sentinels watch. RedBeat takes nothing from a ``redis-sentinel://`` URL but its
    scheme."""
    try:
        sentinels = tuple((str(host), int(port)) for host, port in options["sentinels"])
    except (KeyError, TypeError, ValueError):
        sentinels = ()
    if not sentinels:
        raise ConfigurationError(
            "redis-sentinel:// URL of RedBeat: set redbeat_redis_options to {'sentinels': [('host', 26379), …], "
            f"'service_name': '…'}}; got sentinels={options.get('sentinels')!r:.100}"
        )
    # The sentinels are in the options: the URL of the driver only says of which kind the server is.
    named = {**options, "master_name": options.get("service_name", _SERVICE), "ssl": tls}
    return replace(_with_login(parse("sentinel://", named), "sentinel://", options), sentinels=sentinels)


def _with_login(address: Address, url: str, options: Mapping[str, Any]) -> Address:
    """The address with ``username``, ``password`` and ``db`` of ``options`` where the URL has none, as in redis-py."""
    if options.get("credential_provider") is not None:
        raise ConfigurationError("redbeat_redis_options: set username and password instead of a credential_provider")
    parts = urlsplit(url)
    in_url = "db" in dict(parse_qsl(parts.query)) or (not address.path and parts.path.strip("/"))
    return replace(
        address,
        username=address.username or options.get("username"),
        password=address.password or options.get("password"),
        db=address.db if in_url else int(options.get("db", address.db)),
    )


def _refuse_others(url: str, options: Mapping[str, Any]) -> None:
    scheme = url.partition("://")[0]
    if options.get("cluster") or scheme.endswith(("+cluster", "-cluster")):
        what = "a Redis Cluster, which cannot change keys of several slots together"
    elif scheme.startswith(("redis", "unix", "sentinel")):
        return
    else:
        what = f"{scheme}://, which is not Redis"
    raise ConfigurationError(
        f"RedBeat's entries cannot be kept in {what}: set redbeat_redis_url to a single Redis server, redis://host/0"
    )
