"""``canvas db``: the tables of a result backend in SQL."""

from typing import Any

import click

from canvas.drivers.ports.results import TableStore


@click.group(short_help="Make the tables of a result backend in SQL.")
def db() -> None:
    """Make the tables of a result backend in SQL, or bring them up to date."""


def _tables(obj: Any) -> TableStore:
    results = obj.app.driver.results
    if not isinstance(results, TableStore):
        raise click.UsageError("the result backend has no tables: set result_backend to a db+ URL")
    return results


@db.command(short_help="Make the tables.")
@click.pass_obj
def create(obj: Any, /) -> None:
    """Make the tables that are missing. canvas does so at first use, unless database_create_tables_at_setup is off."""
    _show(_tables(obj).create_tables(), "All tables are there.")


@db.command(short_help="Bring the tables up to date.")
@click.pass_obj
def upgrade(obj: Any, /) -> None:
    """Make missing tables, and add the columns that tables of earlier versions of Celery or canvas do not have."""
    _show(_tables(obj).upgrade_tables(), "The tables are up to date.")


def _show(made: list[str], nothing: str) -> None:
    for name in made:
        click.echo(f"made {name}")
    if not made:
        click.echo(nothing)
