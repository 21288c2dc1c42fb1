"""Values in the cache of a Django project: ``django-cache``, as django-celery-results keeps them.

The package keeps a record as an object, which the cache pickles, under the name of ``cache_backend`` in ``CACHES``.
"""

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from canvas.drivers.third_party.failures import failure_of
from canvas.errors import ConfigurationError, OperationalError, RefusedError
from canvas.interruptions import raise_interruption

_PROBE = "canvas-probe"
"""The key and the value by which a cache shows whether it keeps anything."""
_DECISIVE = ("status", "date_done")
"""Keys of a record by which it differs from an earlier one. Values may be objects that are equal to no copy."""
_KEEPS_NOTHING = "DummyCache"
"""Django's cache for programs that are developed without one."""


class DjangoCache:
    """The KeyValues of a cache. Django's caches have no compare-and-set: of two writers at one moment the last one
    wins."""

    deletes_expired = True

    def __init__(self, alias: str | None) -> None:
        """``alias``: Celery's ``cache_backend``. Raises ConfigurationError where Django is not set up."""
        try:
            from django.core.cache import caches
            from django.core.exceptions import ImproperlyConfigured
        except ModuleNotFoundError as exc:
            raise ConfigurationError("result_backend 'django-cache' needs Django: pip install django") from exc
        try:
            self._caches, self._alias = caches, alias or "default"
            _ = caches[self._alias]
        except ImproperlyConfigured as exc:
            raise ConfigurationError(
                f"result_backend 'django-cache': {exc}; cache_backend names an entry of Django's CACHES"
            ) from exc

    def _call(self, call: Callable[[Any], Any]) -> Any:
        try:
            return call(self._caches[self._alias])
        except Exception as exc:
            raise_interruption(exc)
            raise failure_of(exc, f"Django's cache {self._alias!r}") from exc

    def get(self, keys: Sequence[str], retry: bool = True) -> Mapping[str, bytes]:
        try:
            found = self._call(lambda cache: cache.get_many(keys))
        except RefusedError:
            if len(keys) == 1:
                return {}  # nothing can be kept under this key
            return {name: value for key in keys for name, value in self.get([key]).items()}
        return {key: pickle.dumps(value) for key, value in found.items()}

    def set(self, key: str, value: bytes, seconds: int | None) -> None:
        try:
            kept = pickle.loads(value)
        except Exception as exc:
            raise_interruption(exc)
            raise RefusedError(f"Django's cache {self._alias!r}: the record cannot be unpickled: {exc}") from exc
        if self._keeps(key, kept, seconds):
            return
        where = f"Django's cache {self._alias!r}"
        if not self._keeps(_PROBE, _PROBE, 60):
            raise OperationalError(f"{where} keeps nothing: its server may be unreachable")
        if not self._keeps(key, kept, seconds):
            raise RefusedError(f"{where} does not keep {key}: its value may be too large")

    def _keeps(self, key: str, value: Any, seconds: int | None) -> bool:
        """Set a value. Returns whether it is there: some caches ignore that their server is away or refuses it."""
        self._call(lambda cache: cache.set(key, value, seconds))
        found = self._call(lambda cache: value if type(cache).__name__ == _KEEPS_NOTHING else cache.get(key))
        if isinstance(value, dict) and isinstance(found, dict):
            return all(found.get(name) == value.get(name) for name in _DECISIVE)
        return found is not None

    def change(self, key: str, change: Callable[[bytes | None], bytes | None], seconds: int | None) -> bool:
        value = change(self.get([key]).get(key))
        if value is not None:
            self.set(key, value, seconds)
        return value is not None

    def delete(self, keys: Iterable[str]) -> None:
        self._call(lambda cache: cache.delete_many(list(keys)))

    def cleanup(self, prefixes: Sequence[str], seconds: float) -> int:
        return 0

    def close(self) -> None:
        """Django closes the connections of its caches."""
