"""Shared by several commands: options, reading them, errors, exit codes."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from canvas.error_traits import message_and_page
from canvas.errors import CanvasError

UNAVAILABLE = 69
"""Exit code when no worker or server answers (sysexits' EX_UNAVAILABLE)."""
LOG_LEVELS = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"], case_sensitive=False)


json_lines = click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object a line.")
"""The option ``--json`` of commands that print lists."""


@contextmanager
def shown_errors() -> Iterator[None]:
    """Show an error of canvas in the block as the command's own, with the page that explains it; exit code 1."""
    try:
        yield
    except CanvasError as exc:
        raise click.ClickException(message_and_page(exc)) from exc


def comma_separated(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str]:
    """An option's value as names; none without the option."""
    return [name.strip() for name in (value or "").split(",") if name.strip()]


def host_and_port(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """``host:port``, or a port alone, which is loopback's."""
    if not value:
        return None
    host, _, port = value.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65_536:
        raise click.BadParameter(f"expected host:port, such as 127.0.0.1:9808; got {value!r}")
    return host.strip("[]") or "127.0.0.1", int(port)


def bounds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``max,min`` (or ``max`` alone, with 1) as numbers."""
    if not value:
        return None
    most, _, fewest = value.partition(",")
    try:
        found = int(most), int(fewest or 1)
    except ValueError:
        raise click.BadParameter(f"expected max,min, such as 10,3; got {value!r}") from None
    if not 1 <= found[1] <= found[0]:
        raise click.BadParameter(f"expected 1 <= min <= max; got max={found[0]} min={found[1]}")
    return found


def no_loader(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value:
        raise click.BadParameter("canvas has no loaders: settings are read from the app, or from a module by --config")
