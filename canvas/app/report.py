"""The text of a bug report: versions, and the settings that were given."""

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from canvas.version import __version__

_PACKAGES = ("redis", "hiredis", "msgpack", "msgspec", "networkx", "click", "rich", "celery", "kombu")


def report(settings: Mapping[str, Any]) -> str:
    """Versions, the platform, and ``settings``, a line each."""
    packages = " ".join(f"{name}:{_version_of(name)}" for name in _PACKAGES)
    lines = [
        f"software -> canvas:{__version__} py:{sys.version.split()[0]} {packages}",
        f"platform -> {platform.platform()}",
    ]
    return "\n".join(lines + [f"{name}: {value!r}" for name, value in sorted(settings.items())])


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
