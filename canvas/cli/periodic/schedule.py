"""``canvas schedule``: the entries of periodic tasks, shown and changed."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from canvas.beat.schedule import EntryInfo
from canvas.errors import ConfigurationError


@click.group(short_help="Show, run, pause and resume periodic tasks.")
def schedule() -> None:
    """Show and change the entries that canvas beat sends."""


def _app(obj: Any) -> Any:
    app = obj.app
    app.import_task_modules()
    return app


@schedule.command("list", short_help="All entries, and when each is due.")
@click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object per line.")
@click.pass_obj
def list_entries(obj: Any, /, as_json: bool) -> None:
    """All entries, and when each is due."""
    for one in _app(obj).schedule.list():
        click.echo(json.dumps(_about(one)) if as_json else _line(one))


@schedule.command(short_help="One entry, its state and its last run.")
@click.argument("name")
@click.pass_obj
def show(obj: Any, /, name: str) -> None:
    """One entry, its state and its last run."""
    found = [one for one in _app(obj).schedule.list() if one.name == name]
    if not found:
        raise ConfigurationError(f"there is no schedule entry {name!r}; see canvas schedule list")
    for key, value in _about(found[0]).items():
        click.echo(f"{key:<10} {'-' if value is None else value}")


@schedule.command(short_help="Send an entry's task now.")
@click.argument("name")
@click.pass_obj
def run(obj: Any, /, name: str) -> None:
    """Send an entry's task now, whatever its schedule says. Prints the id of its result or of its run."""
    last = _app(obj).schedule.run(name)
    click.echo(last.get("run") or "\n".join(last.get("ids", ())))


@schedule.command(short_help="Leave out an entry's ticks until it is resumed.")
@click.argument("name")
@click.pass_obj
def pause(obj: Any, /, name: str) -> None:
    """Leave out all ticks of an entry until it is resumed."""
    _app(obj).schedule.pause(name)
    click.echo(f"{name} is paused.")


@schedule.command(short_help="Go on with a paused entry.")
@click.argument("name")
@click.pass_obj
def resume(obj: Any, /, name: str) -> None:
    """Go on with a paused entry, as if it had just run."""
    _app(obj).schedule.resume(name)
    click.echo(f"{name} is resumed.")


def _about(one: EntryInfo) -> dict[str, Any]:
    state = one.state
    last = state.last.get("run") or ", ".join(state.last.get("ids") or ()) or None
    return {
        "name": one.name, "task": one.task, "schedule": one.schedule, "source": one.source, "due": _time(one.due),
        "paused": state.paused, "sent": state.count, "skipped": state.skipped, "missed": state.missed,
        "waiting": state.waiting, "last_run": state.last_run_at if state.count else None, "last_id": last,
    }  # fmt: skip


def _line(one: EntryInfo) -> str:
    due = "paused" if one.state.paused else _time(one.due) or "not seen by a beat yet"
    return f"{one.name:<24} {due:<26} {one.state.count:>6} sent   {one.task}   {one.schedule}"


def _time(due: float | None) -> str | None:
    return None if due is None else datetime.fromtimestamp(due, UTC).isoformat(timespec="seconds")
