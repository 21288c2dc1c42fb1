"""The only room that talks to servers. ``open_driver`` picks the driver that a URL's scheme names.

The garbage collector is paused while redis-py is imported, which makes many objects that all stay alive.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from canvas.drivers.ports import BrokerParts, Driver, StoreParts
from canvas.errors import ConfigurationError
from canvas.masking import masked_url
from canvas.model.gc_pause import gc_paused

if TYPE_CHECKING:
    from canvas.drivers.ports.message_state import StateParts

_ELSEWHERE = frozenset(
    {"amqp", "amqps", "pyamqp", "librabbitmq", "sqs", "db", "sqla", "cache", "django-db", "django-cache",
     "mongodb", "http", "https", "tcp", "mqtt", "nats", "confluentkafka", "azurestoragequeues", "azureservicebus",
     "pyro", "consul", "etcd", "qpid", "slmq", "arangodb", "azureblockblob", "cosmosdbsql", "couchdb", "dynamodb",
     "gcs", "file", "filesystem", "s3", "gs", "gcpubsub", "kafka", "couchbase",
     "elasticsearch", "cassandra", "zookeeper"}
)  # fmt: skip
"""Schemes of Celery's and kombu's other transports and result backends."""
_SQL = frozenset({"db", "sqla", "django-db"})
"""The part before the ``+`` in URLs of result stores in SQL, and the scheme of Django's."""
_DATABASES = frozenset({"postgresql", "postgres", "mysql", "mariadb", "sqlite"})
"""Schemes of URLs of SQLAlchemy, which Celery writes with ``db+`` in front."""
_CACHES = frozenset({"cache", "django-cache"})
"""The part before the ``+`` in URLs of result stores in caches, and the schemes of Celery's and Django's."""
_STORES = frozenset(
    {"db+postgresql", "db+mysql", "db+mariadb", "db+sqlite", "django-db", "cache+memcached", "django-cache", "file"}
)
"""Schemes of stores that keep results and no messages, one for each store."""
_AMQP = frozenset({"amqp", "amqps", "pyamqp"})
_REDIS = frozenset({"redis", "rediss", "redis+socket", "unix", "sentinel"})
_CLUSTER = frozenset({"redis+cluster", "rediss+cluster"})


def open_driver(
    broker_url: str,
    result_url: str | None,
    *,
    broker_options: Mapping[str, Any] | None = None,
    result_options: Mapping[str, Any] | None = None,
    state_url: str | None = None,
    state_options: Mapping[str, Any] | None = None,
    broker_shards: Mapping[str, Sequence[str]] | None = None,
    store: StoreParts | None = None,
) -> Driver:
    """Broker and results at these URLs. Nothing is connected before its first use.

    ``state_url``: the server of the state that a broker of messages alone does not keep; the results' by default.
    ``state_options``: of the server at ``state_url``. ``broker_shards``: several servers, each with the patterns of its
    queues, in place of ``broker_url``. ``store``: the results, in place of ``result_url``. Raises ConfigurationError
    for a scheme that no driver serves.
    """
    scheme, result_scheme = _scheme(broker_url), _scheme(result_url)
    broker_options, result_options = broker_options or {}, result_options or {}
    if broker_shards is not None:
        from canvas.drivers.redis.partitions import shards

        parts = shards.open_broker(broker_shards, broker_options)
        return _in_two_steps(parts, store or _store_at(result_url, result_options), "redis")
    if scheme == "memory" and result_scheme == "rpc":
        # Both name the memory of this process.
        result_url, result_scheme = broker_url, scheme
    if scheme == result_scheme == "memory" and broker_url == result_url:
        from canvas.drivers.memory import open_memory

        return open_memory(broker_url)
    if scheme in _REDIS and result_scheme in _REDIS:
        with gc_paused():
            from canvas.drivers.redis import open_redis

        return open_redis(broker_url, str(result_url), broker_options=broker_options, result_options=result_options)
    if scheme in _REDIS and result_scheme == "rpc" and store is None:
        with gc_paused():
            from canvas.drivers.redis import open_with_replies

        return open_with_replies(broker_url, broker_options, result_options)
    if scheme in _AMQP:
        state = state_url, state_options or {}
        return _open_amqp(broker_url, broker_options, result_url, result_options, *state, store)
    parts = _opened(scheme, broker_url, broker_options, "broker")
    return _in_two_steps(parts, store or _store_at(result_url, result_options), scheme)


def _store_at(url: str | None, options: Mapping[str, Any]) -> StoreParts | None:
    found: StoreParts | None = None
    if _scheme(url) != "disabled":
        found = _opened(_scheme(url), str(url), options, "results")
    return found


def _in_two_steps(broker: BrokerParts, store: StoreParts | None, scheme: str) -> Driver:
    """A broker with results at another server, or without any."""
    from canvas.drivers.two_step import TwoStepSettler
    from canvas.drivers.two_step_schedules import two_step_schedules

    results, chords = (store.results, store.chords) if store is not None else (None, None)
    schedules = two_step_schedules(broker, store)
    return Driver.of(broker, store, TwoStepSettler(broker.broker, results, chords), scheme, schedules)


def _open_amqp(
    url: str, options: Mapping[str, Any], result_url: str | None, result_options: Mapping[str, Any],
    state_url: str | None, state_options: Mapping[str, Any], store: StoreParts | None,
) -> Driver:  # fmt: skip
    """RabbitMQ, with its state on the server of the results, on that of ``state_url``, or on none."""
    from canvas.drivers.amqp import open_amqp

    result_scheme = _scheme(result_url)
    if store is None and result_scheme in ("rpc", "disabled"):
        state = _open_state(state_url, state_options, None) if state_url else None
        return open_amqp(url, options, state, None, result_options if result_scheme == "rpc" else None)
    store = store or _store_at(result_url, result_options)
    at = state_url or result_url or "the program's own result backend"
    return open_amqp(url, options, _open_state(at, state_options if state_url else result_options, store), store)


def _open_state(url: str, options: Mapping[str, Any], store: StoreParts | None) -> "StateParts":
    """The state server of a broker that carries messages alone. Raises ConfigurationError."""
    if _scheme(url) in _REDIS:
        from canvas.drivers import redis

        return redis.open_state(url, options, store)
    if _scheme(url).partition("+")[0] in _SQL:
        from canvas.drivers import sql

        return sql.open_state(url, options, store)
    raise ConfigurationError(
        "RabbitMQ keeps messages only: leases, locks and revocations need a Redis server (no Redis Cluster) or a "
        f"database; {masked_url(url)} is neither. Set canvas_state, or result_backend, to a redis:// or db+… URL"
    )


def serves_results(url: str) -> bool:
    """Whether one of canvas' drivers keeps results at a URL."""
    scheme = _scheme(url)
    if "://" not in url:
        return scheme in ("disabled", "rpc", "cache", "django-db", "django-cache")
    served = {*_REDIS, *_CLUSTER, "memory", "rpc", "disabled", "file"}
    return scheme in served or scheme.partition("+")[0] in _SQL | _CACHES


def keeps_state(url: str) -> bool:
    """Whether the server at a URL can keep the state of messages."""
    return _scheme(url) in _REDIS or _scheme(url).partition("+")[0] in _SQL


def _opened(scheme: str, url: str, options: Mapping[str, Any], part: str) -> Any:
    if scheme == "memory":
        from canvas.drivers.memory import open_broker, open_results

        return open_broker(url) if part == "broker" else open_results(url)
    if scheme in _REDIS:
        with gc_paused():
            from canvas.drivers import redis

        return redis.open_broker(url, options) if part == "broker" else redis.open_results(url, options)
    if scheme in _CLUSTER:
        from canvas.drivers.redis.cluster import opening

        return opening.open_broker(url, options) if part == "broker" else opening.open_results(url, options)
    if part == "results" and scheme.partition("+")[0] in _SQL:
        from canvas.drivers import sql

        return sql.open_results(url, options)
    if part == "results" and (scheme.partition("+")[0] in _CACHES or scheme == "file"):
        from canvas.drivers import keyvalue

        return keyvalue.open_results(url, options)
    # Imported late: few programs have a driver of their own.
    from canvas.drivers import third_party

    if part == "results" and third_party.is_path(url):
        return third_party.open_path(url, options)
    others = third_party.entry_point_names()
    if scheme in others:
        return third_party.open_entry(scheme, part, url, options)
    served = _AMQP if part == "broker" else _STORES
    known = sorted({*_REDIS, *_CLUSTER, *served, "memory", *others})
    what = f"no driver for scheme {scheme!r}; expected one of {', '.join(known)}"
    raise ConfigurationError(f"{part} URL: {what}{_remedy(scheme, url, known)}")


def _remedy(scheme: str, url: str, known: list[str]) -> str:
    """The URL to write instead, for the end of the error."""
    if "$" in url:
        return ": a variable of the environment is named and not replaced by its value"
    if ":/" in url and "://" not in url:
        return f": write {masked_url(url).replace(':/', '://', 1)}"
    if "//" in url and "://" not in url:
        return f": write {masked_url(url).replace('//', '://', 1)}"
    if scheme in _DATABASES:
        return f": write db+{scheme}://…"
    if "://" not in url:
        return f": write redis://{masked_url(url)}/0" if ":" in url or url.isalnum() else ""
    if scheme == "rpc":
        return ": it needs one Redis server, or RabbitMQ, as the broker. Set result_backend to another URL"
    if scheme in _ELSEWHERE or scheme.partition("+")[0] in _ELSEWHERE:
        return (
            ": canvas keeps messages in Redis or RabbitMQ, and results in Redis, in SQL (db+postgresql://, "
            "db+mysql://, db+sqlite:///, django-db), in Memcached (cache+memcached://) or in files (file:///path)"
        )
    # Imported late: only wrong names need it.
    from difflib import get_close_matches

    near = get_close_matches(scheme, known, n=1)
    return f": did you mean {near[0]}://?" if near else ""


def _scheme(url: str | None) -> str:
    if url is None or url in ("disabled", "disabled://"):
        return "disabled"
    if "://" not in url:
        return masked_url(url)
    return url.partition("://")[0]
