"""Results as values by key, in the keys and files of Celery's backends: Memcached, files, Django's cache."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from canvas.drivers.ports import StoreParts
from canvas.errors import ConfigurationError
from canvas.text import pip_install

if TYPE_CHECKING:
    from canvas.drivers.keyvalue.values import KeyNames

DJANGO = "django-cache"
"""The result backend that is the cache of a Django project."""
_MEMCACHED = frozenset({"memcache", "memcached", "pymemcache", "pylibmc"})


def open_results(url: str, options: Mapping[str, Any]) -> StoreParts:
    """Records at a ``file://`` URL, in Memcached (``cache+memcached://``) or in Django's cache; Memcached also counts
    the parts of chords.

    ``options``: ``serializer``; ``cache_backend`` and ``cache_backend_options``, as Celery's settings of these names;
    ``global_keyprefix``; ``expires``, a function that returns ``result_expires``. Raises ConfigurationError for a URL
    that is not served, and when a library is missing.
    """
    from canvas.drivers.keyvalue.results import KeyValueResults
    from canvas.drivers.keyvalue.values import KeyNames

    names = KeyNames(str(options.get("global_keyprefix") or ""))
    if url == DJANGO:
        from canvas.drivers.keyvalue.django_cache import DjangoCache

        return _of(KeyValueResults(DjangoCache(options.get("cache_backend")), names, "pickle"))
    if url.startswith("file://"):
        from canvas.drivers.keyvalue.files import Files, folder_of

        return _of(KeyValueResults(Files(folder_of(url), options.get("expires", lambda: None)), names))
    address = str(options.get("cache_backend") or "") if url == "cache" else url.partition("+")[2]
    kind, _, servers = address.partition("://")
    if kind == "memory":
        from canvas.drivers.memory import open_results as open_memory

        return open_memory(address)
    if kind not in _MEMCACHED:
        raise ConfigurationError(
            f"result_backend: no cache {kind or url!r}; expected cache+memcached://host:port/ or cache+memory://"
            + (", or cache_backend set to one of these without cache+" if url == "cache" else "")
        )
    return _memcached(servers, names, options)


def _of(results: Any) -> StoreParts:
    return StoreParts(results, None, None, frozenset({"results", "chords"}))


def _memcached(servers: str, names: "KeyNames", options: Mapping[str, Any]) -> StoreParts:
    try:
        from canvas.drivers.keyvalue.chords import MemcachedChords
        from canvas.drivers.keyvalue.memcached import Memcached
    except ModuleNotFoundError as exc:
        raise ConfigurationError(f"results in Memcached need {exc.name}: {pip_install('memcached')}") from exc
    from canvas.drivers.keyvalue.results import KeyValueResults

    addresses = [one for one in servers.rstrip("/").split(";") if one]
    if not addresses:
        raise ConfigurationError(
            "result_backend: cache+memcached:// needs a server: cache+memcached://localhost:11211/"
        )
    values = Memcached(addresses, options.get("cache_backend_options") or {})
    results = KeyValueResults(values, names)
    chords = MemcachedChords(values, names, results, str(options.get("serializer", "json")))
    return StoreParts(results, chords, None, frozenset({"results", "chords", "parts"}))
