"""Names of ``celery.backends.base``: what a result backend is."""

from typing import Any

from canvas.result.backend import Backend

BaseBackend = Backend


class _Disabled(type):
    def __instancecheck__(cls, backend: Any) -> bool:
        return isinstance(backend, Backend) and not backend.stores


class DisabledBackend(metaclass=_Disabled):
    """The result backend of an app that has none: ``isinstance(app.backend, DisabledBackend)``."""
