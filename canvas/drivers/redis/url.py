"""Redis URLs as Celery writes them → where to connect. Passwords never appear in messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from canvas.errors import ConfigurationError

SCHEMES = ("redis", "rediss", "redis+socket", "unix", "sentinel")
_CONNECTION = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options",
               "health_check_interval", "max_connections", "client_name")  # fmt: skip
_BOOLEAN = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Address:
    """A server: by host and port, by socket path, or by sentinels and the name of what they watch."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl: bool = False
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str | None = None
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """As redis-py takes them: timeouts, certificates."""
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """For the connections to the sentinels themselves."""

    def server(self) -> tuple[Any, ...]:
        """What two addresses of one server have in common; the database may differ."""
        if self.sentinels:
            return ("sentinel", tuple(sorted(self.sentinels)), self.master)
        return ("unix", self.path) if self.path else ("tcp", self.host, self.port)


def parse(url: str, options: Mapping[str, Any]) -> Address:
    """The address a URL names. ``options`` are transport options, kombu's (``master_name``, ``socket_timeout`` …), and
    ``ssl``, a mapping or True.

    Raises ConfigurationError naming the part that is wrong.
    """
    address = _named(url, options)
    given = {name: options[name] for name in _CONNECTION if options.get(name) is not None}
    tls = options.get("ssl")
    if tls and not address.path:
        given.update(
            {name: _requirement(name, value) for name, value in (tls if isinstance(tls, Mapping) else {}).items()}
        )
        address = replace(address, ssl=True)
    return replace(address, options={**address.options, **given})


def _named(url: str, options: Mapping[str, Any]) -> Address:
    first = url.split(";", maxsplit=1)[0]
    scheme = first.partition("://")[0]
    if scheme == "sentinel":
        return _sentinel(url, options)
    if scheme not in SCHEMES:
        raise ConfigurationError(f"Redis URL: expected one of {', '.join(s + '://' for s in SCHEMES)}; got {scheme!r}")
    parts = urlsplit(first)
    query = dict(parse_qsl(parts.query))
    common: dict[str, Any] = {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }
    if scheme in ("redis+socket", "unix"):
        db = _db(query.pop("virtual_host", query.pop("db", "0")), scheme)
        common["password"] = common["password"] or query.pop("password", None)
        return Address(path=unquote(parts.path), db=db, options=_query(query), **common)
    try:
        port = parts.port or 6379
    except ValueError:
        raise ConfigurationError(f"{scheme} URL: the port is not a number from 0 to 65535") from None
    db = _db(query.pop("virtual_host", query.pop("db", parts.path.strip("/") or "0")), scheme)
    host = parts.hostname or "localhost"
    return Address(host, port, db=db, ssl=scheme == "rediss", options=_query(query), **common)


def _sentinel(url: str, options: Mapping[str, Any]) -> Address:
    master = options.get("master_name")
    if not master:
        raise ConfigurationError(
            "sentinel URL: which master? set broker_transport_options (and result_backend_transport_options) "
            "to {'master_name': '…'}"
        )
    sentinels, found = [], Address()
    for one in url.split(";"):
        parts = urlsplit(one)
        sentinels.append((parts.hostname or "localhost", parts.port or 26379))
        if parts.password and not found.password:
            found = Address(
                db=_db(parts.path.strip("/") or "0", "sentinel"),
                username=unquote(parts.username) if parts.username else None,
                password=unquote(parts.password),
            )
        elif parts.path.strip("/") and not found.db:
            found = Address(db=_db(parts.path.strip("/"), "sentinel"), username=found.username, password=found.password)
    return Address(
        db=found.db,
        username=found.username,
        password=found.password,
        sentinels=tuple(sentinels),
        master=str(master),
        sentinel_options={
            **(options.get("sentinel_kwargs") or {}),
            **{name: options[name] for name in ("min_other_sentinels",) if name in options},
        },
    )


def _db(text: str, scheme: str) -> int:
    try:
        return int(text.strip("/"))
    except ValueError:
        raise ConfigurationError(f"{scheme} URL: expected a database number after the host; got {text!r:.50}") from None


def _query(query: Mapping[str, str]) -> dict[str, Any]:
    """Query parameters as redis-py takes them; ``ssl_cert_reqs=CERT_NONE`` as Celery writes it."""
    found: dict[str, Any] = {}
    for key, text in query.items():
        value: Any = _BOOLEAN.get(text.lower(), text)
        if key == "ssl_cert_reqs":
            value = _requirement(key, text)
        elif key in ("socket_timeout", "socket_connect_timeout", "health_check_interval"):
            value = float(text)
        elif key == "max_connections":
            value = int(text)
        found[key] = value
    return found


def _requirement(name: str, value: Any) -> Any:
    """``CERT_NONE``, Celery's way to write it, as redis-py takes it; other values as they are."""
    return value.removeprefix("CERT_").lower() if name == "ssl_cert_reqs" and isinstance(value, str) else value
