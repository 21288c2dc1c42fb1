"""``canvas db``: the tables of a result backend, or of a state server, in SQL."""

from typing import Any

import click

from canvas.drivers.ports.results import TableStore


@click.group()
def db() -> None:
    """Make the tables of a result backend, or of a canvas_state, in SQL, or bring them up to date."""


def _tables(obj: Any) -> list[TableStore]:
    driver = obj.app.driver
    found = [one for one in (driver.results, driver.state_tables) if isinstance(one, TableStore)]
    if not found:
        raise click.UsageError("the result backend has no tables: set result_backend to a db+ URL")
    return found


@db.command(short_help="Make the tables.")
@click.pass_obj
def create(obj: Any, /) -> None:
    """Make the tables that are missing. canvas does so at first use, unless database_create_tables_at_setup is off."""
    _show([name for one in _tables(obj) for name in one.create_tables()], "All tables are there.")


@db.command(short_help="Bring the tables up to date.")
@click.pass_obj
def upgrade(obj: Any, /) -> None:
    """Make missing tables, and add the columns that tables of earlier versions of Celery or canvas do not have."""
    _show([name for one in _tables(obj) for name in one.upgrade_tables()], "The tables are up to date.")


def _show(made: list[str], nothing: str) -> None:
    for name in made:
        click.echo(f"made {name}")
    if not made:
        click.echo(nothing)
