"""Settings in variables of the environment that are misspelt or wrong."""

from collections.abc import Mapping
from typing import Any

from canvas.caller_warnings import warn_caller
from canvas.config.kinds import WRONG, expected, parsed
from canvas.config.settings import SETTINGS, nearest
from canvas.errors import UnknownSetting
from canvas.masking import is_secret

OF_CELERY = ("broker_url", *(f"broker_{way}_url" for way in ("read", "write")), "result_backend")
"""Settings that Celery reads from the environment, after ``CELERY_``."""
_OF_THE_COMMAND = frozenset({"app", "workdir", "no_color", "log_level"})
"""Names after ``CANVAS_`` that the command line reads."""
_LINKS = ("tcp://", "udp://")
"""The value that Kubernetes puts into ``<SERVICE>_PORT`` of each service."""


def check_variables(environ: Mapping[str, str], strict: bool) -> None:
    """Warn of variables that look like misspelt settings, and of settings whose text cannot be read. ``strict``: raise
    UnknownSetting for the former."""
    for variable, text in environ.items():
        start = next((start for start in ("CANVAS_", "CELERY_") if variable.startswith(start)), None)
        name = variable[len(start) :].lower() if start else ""
        if not name or not text or text.startswith(_LINKS) or name in _OF_THE_COMMAND:
            continue
        if name not in SETTINGS:
            near = nearest(name, SETTINGS if start == "CANVAS_" else OF_CELERY)
            if near:
                _slip(variable, f"{start}{near.upper()}", strict)
        elif start == "CANVAS_" and parsed(SETTINGS[name].kind, text) is WRONG:
            warn_caller(f"{wrong(name, text)} from environment variable {variable}, which is ignored")


def _slip(variable: str, near: str, strict: bool) -> None:
    text = f"unknown setting from environment variable {variable}; did you mean {near}?"
    if strict:
        raise UnknownSetting(text)
    warn_caller(f"{text} It is ignored")


def wrong(name: str, value: Any) -> str:
    """The text about a setting's value of a wrong kind, which it shows if it is no secret."""
    address = name.endswith(("_url", "_backend"))  # it may hold a password
    shown = f"a value of type {type(value).__name__}" if is_secret(name) or address else repr(value)[:100]
    return f"{name}: expected {expected(SETTINGS[name].kind)}; got {shown}"
