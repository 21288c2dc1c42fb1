"""``app.backend`` as a store of values by key, and the client of its server."""

from collections.abc import Sequence
from typing import Any

from canvas.caller_warnings import ends_in_caller
from canvas.config.lifetimes import whole_seconds
from canvas.masking import masked_url
from canvas.model import states
from canvas.model.settlement import ResultWrite
from canvas.result.backend import Backend
from canvas.text import as_text

_TASK, _GROUP, _CHORD = "celery-task-meta-", "celery-taskset-meta-", "chord-unlock-"
_CONNECTION = ("host", "port", "path", "db", "username", "password", "socket_timeout", "socket_connect_timeout",
               "client_name")  # fmt: skip
"""The arguments of Celery's connections to Redis."""


@ends_in_caller("get", "mget", "set", "delete")
class KeyedBackend(Backend):
    """The records of an app's results by Celery's keys."""

    task_keyprefix, group_keyprefix, chord_keyprefix = _TASK.encode(), _GROUP.encode(), _CHORD.encode()

    @property
    def expires(self) -> int | None:
        """Seconds for which results are kept; ``None`` for no end."""
        return whole_seconds(self._conf.result_expires) or None

    @property
    def client(self) -> Any:
        """The library's client of the server that keeps the results: of Redis and of Memcached. Raises
        AttributeError for stores that have none."""
        found = getattr(self._results, "client", None)
        if found is None:
            raise AttributeError(
                f"app.backend.client: {type(self._results).__name__} has no client; read results by AsyncResult"
            )
        return found

    @property
    def connparams(self) -> dict[str, Any]:
        """The arguments of redis-py's client of the server that keeps the results. Raises AttributeError for other
        stores."""
        pool = getattr(self.client, "connection_pool", None)
        if pool is None:
            raise AttributeError(
                f"app.backend.connparams: {type(self._results).__name__} has no connections of redis-py"
            )
        given = {
            name: value for name, value in pool.connection_kwargs.items()
            if name in _CONNECTION or (name.startswith("ssl_") and value is not None)
        }  # fmt: skip
        return {**given, "max_connections": pool.max_connections}

    @property
    def task_cls(self) -> Any:
        """The class that SQLAlchemy maps to the table of results. Raises AttributeError for stores without one."""
        return self._in_sql("task_class")

    @property
    def ResultSession(self) -> Any:
        """Gives a session of SQLAlchemy on the tables of results. Raises AttributeError for stores without one."""
        return self._in_sql("session")

    def _in_sql(self, name: str) -> Any:
        found = getattr(self._results, name, None)
        if found is None:
            raise AttributeError(f"app.backend: {type(self._results).__name__} has no tables of SQLAlchemy")
        return found

    def as_uri(self, include_password: bool = False) -> str:
        """The result backend's URL; its password is masked unless ``include_password``."""
        url = str(self._conf.result_backend or "disabled://")
        return url if include_password else masked_url(url)

    @property
    def url(self) -> str:
        """The result backend's URL."""
        return self.as_uri(include_password=True)

    def get_key_for_task(self, task_id: Any, key: Any = "") -> bytes:
        """The key of a task's record in stores of values by key."""
        return _key(_TASK, "task_id", task_id, key)

    def get_key_for_group(self, group_id: Any, key: Any = "") -> bytes:
        """The key of a saved group."""
        return _key(_GROUP, "group_id", group_id, key)

    def get_key_for_chord(self, group_id: Any, key: Any = "") -> bytes:
        """The key of a chord's counter."""
        return _key(_CHORD, "group_id", group_id, key)

    def get(self, key: Any) -> bytes | None:
        """The value of a key of ``get_key_for_task`` or ``get_key_for_group``, in every store; of any other key where
        the store keeps values by key. Raises NotImplementedError elsewhere."""
        name = as_text(key)
        if name.startswith(_TASK):
            return self._results.get([name.removeprefix(_TASK)])[0]
        if name.startswith(_GROUP):
            return self._results.get_group(name.removeprefix(_GROUP))
        found: bytes | None = self._of_keys("get_value")(name)
        return found

    def mget(self, keys: Sequence[Any]) -> list[bytes | None]:
        """The values of several keys."""
        return [self.get(key) for key in keys]

    def set(self, key: Any, value: Any) -> None:
        """Keep a value, for ``result_expires``, under a key as ``get`` takes it. A stored SUCCESS stays."""
        name, written = as_text(key), value.encode() if isinstance(value, str) else bytes(value)
        if name.startswith(_TASK):
            success = self._decode(written).status == states.SUCCESS
            self._results.store([ResultWrite(name.removeprefix(_TASK), written, self.expires, success)])
        elif name.startswith(_GROUP):
            self._results.save_group(name.removeprefix(_GROUP), written, self.expires)
        else:
            self._of_keys("set_value")(name, written, self.expires)

    def delete(self, key: Any) -> None:
        """Delete a value, under a key as ``get`` takes it."""
        name = as_text(key)
        if name.startswith(_TASK):
            self._results.forget([name.removeprefix(_TASK)])
        elif name.startswith(_GROUP):
            self._results.delete_group(name.removeprefix(_GROUP))
        else:
            self._of_keys("delete_value")(name)

    def _of_keys(self, name: str) -> Any:
        call = getattr(self._results, name, None)
        if call is None:
            raise NotImplementedError(
                f"{type(self._results).__name__} keeps records and groups only: use keys of get_key_for_task or "
                "get_key_for_group, or keep other values elsewhere"
            )
        return call


def _key(prefix: str, name: str, id: Any, key: Any) -> bytes:
    if not id:
        raise ValueError(f"{name} must not be empty. Got {id} instead.")
    return f"{prefix}{as_text(id)}{as_text(key)}".encode()
