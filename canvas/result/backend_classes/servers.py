"""Celery's classes of backends that stand for servers: canvas' drivers keep the records.

A class derived from one of these says where the server is, by ``__init__`` or ``url``, and may add methods. Records
are read and written by the driver, which calls none of its methods: a class that replaces one of them is refused.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from canvas.errors import ConfigurationError
from canvas.result.backend import Backend
from canvas.result.backend_classes.base_backend import Kind
from canvas.result.backend_classes.target import BackendApp
from canvas.result.celery_backend import CeleryBackend

_OWN = ("__init__", "__module__", "__doc__", "__qualname__", "__firstlineno__", "__static_attributes__", "__dict__",
        "__weakref__", "__annotations__", "url")  # fmt: skip
_OF_CELERY = frozenset(
    {
        "_get_task_meta_for", "_store_result", "_forget", "_save_group", "_restore_group", "_delete_group",
        "_get_result_meta", "_set_with_state", "_params_from_url", "_create_client", "_get_client", "_get_pool",
        "apply_chord", "create_client", "encode_result", "ensure", "exception_safe_to_retry", "expire", "incr",
        "meta_from_decoded", "on_chord_part_return", "on_connection_error", "on_task_call", "session_manager",
        "set_chord_size", "task_cls", "taskset_cls", "ResultConsumer", "ResultSession",
    }
)  # fmt: skip
"""The attributes that Celery's own classes call or read."""


def _starts(*beginnings: str) -> Callable[[Backend], bool]:
    return staticmethod(
        lambda one: isinstance(one, CeleryBackend) and one.as_uri(include_password=True).startswith(beginnings)
    )


class ServerBackend(CeleryBackend, metaclass=Kind):
    """The base of these classes."""

    kind = ""
    """The scheme of the URL of the driver's, where the address has no other."""
    url: Any = None

    def __init__(self, app: BackendApp, url: str | None = None, **kwargs: Any) -> None:
        """``url``: the server's. Raises ConfigurationError for a class that replaces what the driver does."""
        replaced = sorted(_replaced(type(self)))
        if replaced:
            raise ConfigurationError(
                f"result_backend {type(self).__name__}: canvas does not call its {', '.join(replaced)}: its driver "
                f"of {self.kind} keeps the records. Derive the class from celery.backends.base.KeyValueStoreBackend, "
                "or BaseBackend, whose methods are called; or set result_backend to a URL"
            )
        self.app = app
        self.url = url
        super().__init__(None, None, app.conf, app)

    @property
    def address(self) -> str:
        """The URL of the driver's result store."""
        return str(self.url or f"{self.kind}://")

    def bind(self, results: Any, chords: Any) -> None:
        """Read and write records in ``results``, and chords in ``chords``."""
        CeleryBackend.__init__(self, results, chords, self.app.conf, self.app)

    def as_uri(self, include_password: bool = False) -> str:
        from canvas.masking import masked_url

        return self.address if include_password else masked_url(self.address)


def _replaced(cls: type) -> set[str]:
    theirs = [one for one in cls.__mro__ if not one.__module__.startswith("canvas.") and one is not object]
    names = {name for one in theirs for name in vars(one)} - set(_OWN)
    return {name for name in names if name in _OF_CELERY or hasattr(ServerBackend, name)}


class RedisBackend(ServerBackend):
    """``celery.backends.redis.RedisBackend``."""

    kind = "redis"
    is_kind_of = _starts("redis", "unix", "sentinel")

    def __init__(
        self, host: str | None = None, port: int | None = None, db: Any = None, password: str | None = None,
        max_connections: int | None = None, url: str | None = None, connection_pool: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        """Without ``url``: the server at ``host``, ``port``, ``db`` and ``password``; the settings ``redis_host``,
        ``redis_port``, ``redis_db``, ``redis_username`` and ``redis_password`` are the defaults. Raises
        ConfigurationError for a pool of connections."""
        if connection_pool is not None:
            raise ConfigurationError(f"{type(self).__name__}: canvas opens connections itself; give url")
        super().__init__(url=url, **kwargs)
        if not url:
            self.url = self._url_of_parts(host, port, db, password)

    def _params_from_url(self, url: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a connection of redis-py to the server at ``url``, with ``defaults``. Raises ValueError."""
        # Plug-ins call it; canvas opens its connections itself.
        from canvas.drivers.redis.connection.redis_py import parameters_of_url

        return parameters_of_url(url, defaults)

    def _url_of_parts(self, host: Any, port: Any, db: Any, password: Any) -> str:
        conf = self.app.conf
        name, secret = conf.redis_username, password or conf.redis_password
        login = f"{quote(str(name or ''), safe='')}:{quote(str(secret), safe='')}@" if secret else ""
        found = str(host or conf.redis_host or "localhost")
        number = db if db is not None else conf.redis_db or 0
        if found.startswith("/"):
            return f"unix://{login}{found}?db={number}"
        return f"redis://{login}{found}:{port or conf.redis_port or 6379}/{number}"


class SentinelBackend(RedisBackend):
    """``celery.backends.redis.SentinelBackend``."""

    kind = "sentinel"
    is_kind_of = _starts("sentinel")


class DatabaseBackend(ServerBackend):
    """``celery.backends.database.DatabaseBackend``."""

    kind = "db"
    is_kind_of = _starts("db+", "sqla+")

    def __init__(
        self, dburi: str | None = None, engine_options: Any = None, url: str | None = None, **kwargs: Any
    ) -> None:
        """``dburi`` or ``url``: of the database; the setting ``database_url`` by default. ``engine_options`` are merged
        into the setting ``database_engine_options``. Raises ConfigurationError."""
        super().__init__(url=url or dburi, **kwargs)
        self.url = self.url or self.app.conf.database_url
        if not self.url:
            raise ConfigurationError(
                "Missing connection string! Do you have the database_url setting set to a real value?"
            )
        if engine_options:
            conf = self.app.conf
            conf.database_engine_options = {**(conf.database_engine_options or {}), **engine_options}

    @property
    def address(self) -> str:
        return self.url if str(self.url).startswith(("db+", "sqla+")) else f"db+{self.url}"


class CacheBackend(ServerBackend):
    """``celery.backends.cache.CacheBackend``."""

    kind = "cache"
    is_kind_of = _starts("cache")

    def __init__(
        self, app: BackendApp, expires: Any = None, backend: str | None = None, url: str | None = None, **kwargs: Any
    ) -> None:
        """``url`` or ``backend``: of the cache; the setting ``cache_backend`` by default."""
        super().__init__(app, url=url or backend, **kwargs)

    @property
    def address(self) -> str:
        return f"cache+{str(self.url).removeprefix('cache+')}" if self.url else "cache"


class FilesystemBackend(ServerBackend):
    """``celery.backends.filesystem.FilesystemBackend``."""

    kind = "file"
    is_kind_of = _starts("file")


class RPCBackend(ServerBackend):
    """``celery.backends.rpc.RPCBackend``."""

    kind = "rpc"
    is_kind_of = _starts("rpc")

    @property
    def address(self) -> str:
        return "rpc://"
