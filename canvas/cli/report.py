"""``canvas report``: versions and settings, for bug reports."""

from typing import Any

import click


@click.command()
@click.pass_obj
def report(obj: Any, /) -> None:
    """Print versions and the settings that were given, secrets masked."""
    click.echo(obj.app.bugreport())
