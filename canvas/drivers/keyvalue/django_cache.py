"""Values in the cache of a Django project: ``django-cache``, as django-celery-results keeps them.

The package keeps a record as an object, which the cache pickles, under the name of ``cache_backend`` in ``CACHES``.
"""

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from canvas.errors import ConfigurationError, OperationalError, RefusedError
from canvas.interruptions import raise_interruption


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
            raise OperationalError(f"Django's cache {self._alias!r}: {type(exc).__name__}: {exc}") from exc

    def get(self, keys: Sequence[str], retry: bool = True) -> Mapping[str, bytes]:
        found = self._call(lambda cache: cache.get_many(keys))
        return {key: pickle.dumps(value) for key, value in found.items()}

    def set(self, key: str, value: bytes, seconds: int | None) -> None:
        try:
            kept = pickle.loads(value)
        except Exception as exc:
            raise_interruption(exc)
            raise RefusedError(f"Django's cache {self._alias!r}: the record cannot be unpickled: {exc}") from exc
        self._call(lambda cache: cache.set(key, kept, seconds))

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
