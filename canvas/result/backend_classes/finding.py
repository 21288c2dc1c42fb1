"""Where ``result_backend`` says that results are kept: a URL, one of Celery's names, or a class."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from canvas.drivers import serves_results
from canvas.drivers.third_party import class_path, entry_point_names
from canvas.errors import ConfigurationError
from canvas.result.backend_classes.base_backend import BaseBackend
from canvas.result.backend_classes.servers import (
    CacheBackend,
    DatabaseBackend,
    FilesystemBackend,
    RedisBackend,
    RPCBackend,
    SentinelBackend,
    ServerBackend,
)
from canvas.result.backend_classes.target import BackendApp, ResultTarget

_DJANGO = {"DatabaseBackend": "django-db", "CacheBackend": "django-cache"}
"""The classes of django-celery-results, and the URLs of the drivers that keep records as they do."""
_OF_DJANGO = re.compile(r"django_celery_results\.backends(?:\.\w+)?[.:](\w+)")
_OF_CELERY = re.compile(r"celery\.backends\.(\w+)[.:](\w+)")
_SERVERS: dict[str, type[ServerBackend]] = {
    "redis": RedisBackend, "rediss": RedisBackend, "sentinel": SentinelBackend,
    "db": DatabaseBackend, "database": DatabaseBackend, "cache": CacheBackend,
    "file": FilesystemBackend, "filesystem": FilesystemBackend, "rpc": RPCBackend,
}  # fmt: skip
"""By Celery's names of backends, and of their modules."""


def target_of(app: BackendApp, given: Any, aliases: Mapping[str, str]) -> ResultTarget:
    """The target that the setting ``given`` names. ``aliases``: the ``override_backends`` of the app's loader.

    Raises ConfigurationError for a class that cannot be used.
    """
    if not isinstance(given, str):
        return _of_class(app, given, None)
    name, url = by_url(given)
    if name not in aliases and (serves_results(given) or name in entry_point_names()):
        return ResultTarget(given)
    name = aliases.get(name, name)
    django = _OF_DJANGO.fullmatch(name)
    if django is not None and django[1] in _DJANGO:
        return ResultTarget(_DJANGO[django[1]])
    celerys = _OF_CELERY.fullmatch(name)
    if celerys is not None and celerys[2] == "DisabledBackend":
        return ResultTarget("disabled://")
    kind = celerys[1] if celerys is not None else name
    if kind in _SERVERS:
        return _of_class(app, _SERVERS[kind], url)
    if celerys is not None:
        return ResultTarget(url or f"{kind}://")
    path = class_path(name) or class_path(_entry_point(name) or "")
    return ResultTarget(given) if path is None else _of_path(app, given, path, url)


def by_url(given: str) -> tuple[str, str | None]:
    """The name of a backend and its URL, as Celery divides them."""
    scheme, separator, _ = given.partition("://")
    if not separator:
        return given, None
    if "+" not in scheme:
        return scheme, given
    name, _, url = given.partition("+")
    return name, url


def _entry_point(name: str) -> str | None:
    """The class that a package registers as a backend of Celery's, under a name."""
    from importlib.metadata import entry_points  # imported late: few programs have a backend of their own

    found = entry_points(group="celery.result_backends", name=name)
    return next((one.value for one in found), None)


def _of_path(app: BackendApp, given: str, path: tuple[str, str], url: str | None) -> ResultTarget:
    module, name = path
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(f"result_backend {module}:{name}: {exc}") from exc
    if not isinstance(found, type) or not issubclass(found, BaseBackend | ServerBackend):
        if any(one.__module__.startswith("celery.backends.") for one in getattr(found, "__mro__", ())):
            raise ConfigurationError(
                f"result_backend {module}:{name} is derived from a class of Celery's, which is loaded beside canvas. "
                "Start the program by `canvas celery`, or import canvas.as_celery before celery: then the class is "
                "derived from canvas' own celery.backends, and its methods are called"
            )
        return ResultTarget(given)
    return _of_class(app, found, url)


def _of_class(app: BackendApp, found: Any, url: str | None) -> ResultTarget:
    if not isinstance(found, type) or not issubclass(found, BaseBackend | ServerBackend):
        raise ConfigurationError(f"result_backend: expected a URL, or a class of celery.backends; got {found!r:.100}")
    made: Any = found(app=app, url=url)
    return ResultTarget(made.address if isinstance(made, ServerBackend) else None, made)
