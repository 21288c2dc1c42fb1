"""Names of ``celery.backends.base``: what a result backend is."""

from typing import Any, NoReturn

from canvas.errors import ConfigurationError
from canvas.result.backend import Backend

BaseBackend = Backend


class _Storing(type):
    def __instancecheck__(cls, backend: Any) -> bool:
        return isinstance(backend, Backend) and backend.stores

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigurationError(
            f"{cls.__name__}: canvas keeps results by drivers of its own, not by classes of backends; "
            "docs/reference/settings.md lists the URLs of result_backend"
        )


class KeyValueStoreBackend(metaclass=_Storing):
    """A result backend whose records are read by ``mget`` and ``get_key_for_task``: each that stores results."""


BaseKeyValueStoreBackend = KeyValueStoreBackend


class _Disabled(type):
    def __instancecheck__(cls, backend: Any) -> bool:
        return isinstance(backend, Backend) and not backend.stores


class DisabledBackend(metaclass=_Disabled):
    """The result backend of an app that has none: ``isinstance(app.backend, DisabledBackend)``."""
