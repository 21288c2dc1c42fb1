"""Redis URLs as Celery writes them → where to connect. Passwords never appear in messages."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from canvas.errors import ConfigurationError
from canvas.masking import masked_url, split_urls

SCHEMES = ("redis", "rediss", "redis+socket", "unix", "sentinel")
_CONNECTION = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options",
               "health_check_interval", "max_connections", "client_name")  # fmt: skip
_BOOLEAN = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_HOSTED = ("redis", "rediss", "sentinel")
_WITHOUT_EFFECT = frozenset({"retry_on_timeout", "protocol"})
"""Options of redis-py that have no effect, because canvas decides them."""
_OF_URLS = ("virtual_host", "db", "username", "password")
_REQUIREMENTS = ("none", "optional", "required")
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_ENCODE = "percent-encode what has a meaning in URLs, such as / (%2F), ? (%3F), # (%23), @ (%40) and [ (%5B)"
OPTIONS: Final = {
    "socket_timeout": "number", "socket_connect_timeout": "number", "health_check_interval": "number",
    "max_connections": "count", "socket_keepalive": "flag", "client_name": "text",
    "ssl_validate_ocsp": "flag", "ssl_validate_ocsp_stapled": "flag",
    "ssl_cert_reqs": "text", "ssl_ca_certs": "text", "ssl_ca_path": "text", "ssl_ca_data": "text",
    "ssl_certfile": "text", "ssl_keyfile": "text", "ssl_password": "text", "ssl_check_hostname": "flag",
    "ssl_ciphers": "text", "ssl_min_version": "version",
}  # fmt: skip
"""Options of a connection by redis-py's names, and the kind of value that each is read as."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server: by host and port, by socket path, or by sentinels and the name of their master."""

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
    """Options of the connections to the sentinels themselves."""

    @property
    def user(self) -> str | None:
        """The name to log in with. A server without passwords takes any for its default user, but none without a name,
        so that a URL may have a password that its server does not ask for, as with redis-py 8 and Celery."""
        return self.username or ("default" if self.password else None)

    def server(self) -> tuple[Any, ...]:
        """A value that is equal for two addresses of one server, whose databases may differ."""
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
        given.update(_checked_tls(tls if isinstance(tls, Mapping) else {}))
        address = replace(address, ssl=True)
    if not address.ssl:
        given = {name: value for name, value in given.items() if not name.startswith("ssl_")}
    whole = {**address.options, **given}
    _check_files(whole)
    return replace(address, options=whole)


def _named(url: str, options: Mapping[str, Any]) -> Address:
    first = split_urls(url)[0]
    scheme = first.partition("://")[0]
    if scheme == "sentinel":
        return _sentinel(url, options)
    if scheme not in SCHEMES:
        raise ConfigurationError(f"Redis URL: expected one of {', '.join(s + '://' for s in SCHEMES)}; got {scheme!r}")
    parts = _divided(first)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    common: dict[str, Any] = {
        "username": unquote(parts.username) if parts.username else query.pop("username", None),
        "password": unquote(parts.password) if parts.password else query.pop("password", None),
    }
    db = _db(query.pop("virtual_host", query.pop("db", "")) or _path_db(parts, scheme), scheme)
    if scheme in ("redis+socket", "unix"):
        return Address(path=unquote(parts.path), db=db, options=_query(query), **common)
    host = parts.hostname or "localhost"
    return Address(host, _port(parts, scheme, 6379), db=db, ssl=scheme == "rediss", options=_query(query), **common)


def _divided(url: str) -> SplitResult:
    """The parts of a URL. Raises ConfigurationError, which shows no password, for one that is ambiguous.

    A ``/``, ``?`` or ``#`` that should have been percent-encoded ends the password early, and another server is meant.
    """
    shown = masked_url(url)
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise ConfigurationError(f"Redis URL {shown}: {exc}; {_ENCODE}") from None
    ends_early = "@" in parts.path or ("@" in parts.query and not _is_query(parts))
    if "#" in url or (ends_early and parts.scheme in _HOSTED):
        raise ConfigurationError(f"Redis URL {shown}: {_ENCODE}")
    return parts


def _is_query(parts: SplitResult) -> bool:
    return all(item.partition("=")[0] in (*OPTIONS, *_OF_URLS) for item in parts.query.split("&"))


def _port(parts: SplitResult, scheme: str, default: int) -> int:
    try:
        return parts.port or default
    except ValueError:
        shown = masked_url(parts.geturl())
        raise ConfigurationError(f"{scheme} URL {shown}: the port is not a number from 0 to 65535") from None


def _path_db(parts: SplitResult, scheme: str) -> str:
    return "0" if scheme in ("redis+socket", "unix") else parts.path.strip("/") or "0"


def _sentinel(url: str, options: Mapping[str, Any]) -> Address:
    master = options.get("master_name")
    if not master:
        raise ConfigurationError(
            "sentinel URL: no master is named: set broker_transport_options (and result_backend_transport_options) "
            "to {'master_name': '…'}"
        )
    sentinels: list[tuple[str, int]] = []
    username = password = None
    db = 0
    for one in (each for part in split_urls(url) for each in part.split(";") if each.strip()):
        parts = _divided(one if "://" in one else f"sentinel://{one}")
        sentinels.append((parts.hostname or "localhost", _port(parts, "sentinel", 26379)))
        if parts.password and not password:
            username, password = unquote(parts.username) if parts.username else None, unquote(parts.password)
        db = db or _db(parts.path.strip("/") or "0", "sentinel")
    return Address(
        db=db,
        username=username,
        password=password,
        sentinels=tuple(sentinels),
        master=str(master),
        sentinel_options={
            **(options.get("sentinel_kwargs") or {}),
            **{name: options[name] for name in ("min_other_sentinels",) if name in options},
        },
    )


def _db(text: str, scheme: str) -> int:
    try:
        number = int(text.strip("/"))
    except ValueError:
        number = -1
    if number < 0:
        raise ConfigurationError(f"{scheme} URL: expected a database number after the host; got {text!r:.50}")
    return number


def _query(query: Mapping[str, str]) -> dict[str, Any]:
    """Query parameters as redis-py takes them; ``ssl_cert_reqs=CERT_NONE`` as Celery writes it."""
    found: dict[str, Any] = {}
    for key, text in query.items():
        if key in _WITHOUT_EFFECT:
            continue
        if key not in OPTIONS:
            near = _like(key)
            hint = f"; did you mean {near}?" if near else f"; expected one of {', '.join(sorted(OPTIONS))}"
            raise ConfigurationError(f"Redis URL: unknown option {key!r:.50}{hint}")
        found[key] = _of_kind(key, OPTIONS[key], text)
    return found


def _of_kind(key: str, kind: str, text: str) -> Any:
    try:
        if kind == "number":
            return float(text)
        if kind == "count":
            return int(text)
        if kind == "flag":
            return _BOOLEAN[text.lower()]
        if kind == "version":
            return _tls_versions()[text]
    except (ValueError, KeyError):
        what = {
            "number": "a number",
            "count": "a whole number",
            "flag": "true or false",
            "version": f"one of {', '.join(_tls_versions())}" if kind == "version" else "",
        }[kind]
        raise ConfigurationError(f"Redis URL: {key}: expected {what}; got {text!r:.50}") from None
    return _requirement(key, text)


def _like(name: str) -> str | None:
    # Imported late: most names are right.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, OPTIONS, n=1)), None)


def _tls_versions() -> Mapping[str, Any]:
    # Imported late: most connections are made without TLS.
    from ssl import TLSVersion

    return TLSVersion.__members__


def _checked_tls(options: Mapping[str, Any]) -> dict[str, Any]:
    """TLS options as redis-py takes them. Raises ConfigurationError for one that Redis does not have, and for a file
    that is not there."""
    found = {}
    for name, value in options.items():
        if not name.startswith("ssl_") or name not in OPTIONS:
            near = f"ssl_{name}" if f"ssl_{name}" in OPTIONS else _like(name)
            known = ", ".join(sorted(one for one in OPTIONS if one.startswith("ssl_")))
            hint = f"; did you mean {near}?" if near else f"; expected one of {known}"
            raise ConfigurationError(
                f"broker_use_ssl, redis_backend_use_ssl: unknown option {name!r:.50} for Redis{hint}"
            )
        found[name] = _requirement(name, value)
    return found


def _check_files(options: Mapping[str, Any]) -> None:
    for name in _FILES:
        path = options.get(name)
        if path and not os.path.exists(path):
            raise ConfigurationError(f"{name}: there is no file {str(path)!r:.200}")


def _requirement(name: str, value: Any) -> Any:
    """``CERT_NONE``, Celery's way to write it, as redis-py takes it; other values as they are."""
    if name != "ssl_cert_reqs" or not isinstance(value, str):
        return value
    found = value.removeprefix("CERT_").lower()
    if found not in _REQUIREMENTS:
        raise ConfigurationError(
            f"ssl_cert_reqs: expected CERT_NONE, CERT_OPTIONAL or CERT_REQUIRED; got {value!r:.50}"
        )
    return found
