"""``canvas report``: versions and settings, for bug reports."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from canvas.version import __version__

_PACKAGES = ("redis", "hiredis", "msgpack", "msgspec", "networkx", "click", "rich", "celery", "kombu")


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"


@click.command(short_help="Print versions and settings.")
@click.pass_obj
def report(obj: Any, /) -> None:
    """Print versions and the settings that were given, secrets masked."""
    packages = " ".join(f"{name}:{_version_of(name)}" for name in _PACKAGES)
    click.echo(f"software -> canvas:{__version__} py:{sys.version.split()[0]} {packages}")
    click.echo(f"platform -> {platform.platform()}")
    for name, value in sorted(obj.app.conf.table().items()):
        click.echo(f"{name}: {value!r}")
