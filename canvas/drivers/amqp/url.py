"""URLs of RabbitMQ, read as kombu reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from canvas.errors import ConfigurationError
from canvas.masking import masked_url

SCHEMES: Final = frozenset({"amqp", "amqps", "pyamqp"})
_PORT, _TLS_PORT = 5672, 5671


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker is, and how to log in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    vhost: str
    ssl: Any = False
    """``False``, ``True``, or the options of ``broker_use_ssl``."""
    connect_timeout: float = 4.0
    """Seconds."""
    heartbeat: float = 60.0
    """Seconds between heartbeats of a worker's connection; 0: none."""
    login_method: str | None = None

    @property
    def where(self) -> str:
        """Host, port and vhost, for messages."""
        return f"RabbitMQ at {self.host}:{self.port}, vhost {self.vhost!r}"


def parse(urls: str, options: Mapping[str, Any]) -> list[Address]:
    """The addresses that a URL names, or several URLs with ``;`` between them; the first is tried first.

    ``options``: ``ssl`` (``broker_use_ssl``), ``connect_timeout`` and ``heartbeat`` in seconds, ``login_method``. The
    query of a URL takes precedence over the latter three. Raises ConfigurationError naming the part that is wrong.
    """
    return [_parse(url, options) for url in urls.split(";") if url]


def _parse(url: str, options: Mapping[str, Any]) -> Address:
    parts = _divided(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    settings = {name: options[name] for name in ("connect_timeout", "heartbeat", "login_method") if name in options}
    settings |= {name: query[name] for name in settings.keys() | _QUERY if name in query}
    tls = options.get("ssl") or parts.scheme == "amqps"
    vhost = unquote(parts.path[1:]) or "/"
    return Address(
        host=parts.hostname or "localhost",
        port=parts.port or (_TLS_PORT if tls else _PORT),
        user=unquote(parts.username) if parts.username else "guest",
        password=unquote(parts.password) if parts.password is not None else "guest",
        vhost=vhost,
        ssl=tls,
        connect_timeout=_seconds(url, "connect_timeout", settings.get("connect_timeout"), 4.0),
        heartbeat=_seconds(url, "heartbeat", settings.get("heartbeat"), 60.0),
        login_method=settings.get("login_method"),
    )


_MOST_SECONDS: Final = 65_535
_QUERY: Final = {"connect_timeout", "heartbeat", "login_method"}


def _divided(url: str) -> SplitResult:
    whole = url if "://" in url else f"amqp://{url}"
    try:
        parts = urlsplit(whole)
        parts.port  # noqa: B018 - it raises for a port that is not a number
    except ValueError as exc:
        raise ConfigurationError(f"broker URL {masked_url(whole)}: {exc}; percent-encode the password") from None
    if parts.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in sorted(SCHEMES))
        raise ConfigurationError(f"broker URL {masked_url(whole)}: expected one of {known}; got {parts.scheme!r}")
    if "@" in parts.path or "#" in whole:
        raise ConfigurationError(
            f"broker URL {masked_url(whole)}: percent-encode the password's special characters (/ is %2F, ? is %3F, "
            "# is %23, @ is %40)"
        )
    return parts


def _seconds(url: str, name: str, given: Any, default: float) -> float:
    if given is None:
        return default
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = -1.0
    # AMQP gives a heartbeat 16 bits; no timeout of a socket is that long either.
    if not 0 <= seconds <= _MOST_SECONDS:
        shown = f"broker URL {masked_url(url)}: {name}"
        raise ConfigurationError(f"{shown}: expected seconds, from 0 to {_MOST_SECONDS}; got {given!r:.80}")
    return seconds
