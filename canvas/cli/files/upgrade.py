"""``canvas upgrade settings``: the settings' names of before Celery 4 in a file, replaced by today's."""

import re
import shutil
from pathlib import Path

import click

from canvas.config.sources import BY_OLD_NAME


@click.group()
def upgrade() -> None:
    """Upgrade files of a project."""


@upgrade.command()
@click.argument("filename", type=click.Path(dir_okay=False))
@click.option("--django", is_flag=True, help="The new names are upper-case, and begin with CELERY_.")
@click.option("--compat", is_flag=True, help="As --django, for settings without a namespace.")
@click.option("--no-backup", is_flag=True, help="Keep no copy of the file, which would end in .orig.")
def settings(filename: str, django: bool, compat: bool, no_backup: bool) -> None:
    """Replace old names of settings in a Python file; the names in texts and comments, too."""
    path = Path(filename)
    try:
        before = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise click.ClickException(f"{filename}: {exc.strerror}") from exc
    names = {old: _today(new, django, compat) for old, new in BY_OLD_NAME.items()}
    pattern = re.compile(rf"\b({'|'.join(sorted(map(re.escape, names), key=len, reverse=True))})\b")
    after = pattern.sub(lambda found: names[found[1]], before)
    changed = [
        f"- {old}\n+ {new}"
        for old, new in zip(before.splitlines(), after.splitlines(), strict=True)
        if old != new
    ]  # fmt: skip
    if not changed:
        click.echo(f"{filename}: nothing to change")
        return
    if not no_backup:
        shutil.copyfile(path, f"{filename}.orig")
    path.write_text(after, encoding="utf-8")
    click.echo("\n".join(changed))


def _today(name: str, django: bool, compat: bool) -> str:
    return f"CELERY_{name.upper()}" if django else name.upper() if compat else name
