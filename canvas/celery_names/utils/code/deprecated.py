"""Names of ``celery.utils.deprecated``: warnings of things that will be removed."""

import functools
import warnings
from collections.abc import Callable as _Function
from typing import Any

from canvas.celery_names.utils.imports import qualname
from canvas.exceptions import CDeprecationWarning, CPendingDeprecationWarning


def warn(
    description: str | None = None, deprecation: str | None = None, removal: str | None = None,
    alternative: str | None = None, stacklevel: int = 2,
) -> None:  # fmt: skip
    """Warn that something is deprecated, or will be from version ``deprecation`` on."""
    kind = CDeprecationWarning if deprecation is None else CPendingDeprecationWarning
    since = "is deprecated" if deprecation is None else f"will be deprecated in version {deprecation}"
    words = f"{description} {since}, and removed in version {removal}. {alternative or ''}"
    warnings.warn(kind(words), stacklevel=stacklevel)


def Callable(
    deprecation: str | None = None, removal: str | None = None, alternative: str | None = None,
    description: str | None = None,
) -> _Function[[_Function[..., Any]], _Function[..., Any]]:  # fmt: skip
    """Decorator: calling the function warns."""

    def decorate(fun: _Function[..., Any]) -> _Function[..., Any]:
        @functools.wraps(fun)
        def called(*args: Any, **kwargs: Any) -> Any:
            warn(description or qualname(fun), deprecation, removal, alternative, stacklevel=3)
            return fun(*args, **kwargs)

        return called

    return decorate


def Property(
    deprecation: str | None = None, removal: str | None = None, alternative: str | None = None,
    description: str | None = None,
) -> _Function[[_Function[..., Any]], property]:  # fmt: skip
    """Decorator: a property whose use warns."""
    warned = Callable(deprecation, removal, alternative, description)
    return lambda fun: property(warned(fun))
