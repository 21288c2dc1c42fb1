"""The text of a bug report: versions, and the settings that were given."""

import platform
from importlib.metadata import PackageNotFoundError, version

from canvas.app.broker_address import broker_address
from canvas.config.config import Config
from canvas.masking import masked_url
from canvas.version import __version__

_PACKAGES = ("redis", "hiredis", "msgpack", "msgspec", "networkx", "click", "rich", "celery", "kombu")


def report(conf: Config, loader: type) -> str:
    """Versions, the platform, the class of the app's loader, its servers, and the settings that were given: lines laid
    out as Celery's. Raises ConfigurationError for a ``broker_url`` that is not among the shards."""
    packages = " ".join(f"{name}:{_version_of(name)}" for name in _PACKAGES)
    transport = broker_address(conf).partition(":")[0]
    return "\n".join(
        [
            f"software -> canvas:{__version__} py:{platform.python_version()} {packages}",
            f"platform -> system:{platform.system()} arch:{', '.join(filter(None, platform.architecture()))}",
            f"            kernel version:{platform.release()} imp:{platform.python_implementation()}",
            f"loader   -> {loader.__module__}.{loader.__qualname__}",
            f"settings -> transport:{transport} results:{masked_url(str(conf.result_backend or 'disabled'))}",
            "",
            *(f"{name}: {value!r}" for name, value in sorted(conf.table().items())),
        ]
    )


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
