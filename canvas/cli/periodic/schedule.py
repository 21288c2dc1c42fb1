"""``canvas schedule``: the entries of periodic tasks, shown and changed."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from canvas.app.application import Canvas
from canvas.beat.schedule import EntryInfo
from canvas.beat.sources import OWN
from canvas.cli.options import json_lines
from canvas.errors import ConfigurationError, RunLost
from canvas.model.states import SUCCESS


@click.group()
def schedule() -> None:
    """Show and change the entries that canvas beat sends."""


def _app(obj: Any) -> Canvas:
    app: Canvas = obj.app
    app.import_task_modules()
    scheduler = app.conf.beat_scheduler
    if scheduler not in OWN:
        text = f"beat_scheduler is {scheduler}, which has entries of its own; these are the entries in the broker"
        click.echo(text, err=True)
    return app


@schedule.command("list", short_help="All entries, and when each is due.")
@json_lines
@click.pass_obj
def list_entries(obj: Any, /, as_json: bool) -> None:
    """All entries, and when each is due."""
    entries = _app(obj).schedule.list()
    longest = max((len(one.name) for one in entries), default=0)
    for one in entries:
        click.echo(json.dumps(_about(one)) if as_json else _line(one, longest))


@schedule.command(short_help="One entry, its state and its last run.")
@click.argument("name")
@click.pass_obj
def show(obj: Any, /, name: str) -> None:
    """One entry, its state and its last run."""
    for key, value in _about(_found(_app(obj), name)).items():
        click.echo(f"{key:<10} {'-' if value is None else value}")


@schedule.command(short_help="The last ticks of an entry, and what became of them.")
@click.argument("name")
@json_lines
@click.pass_obj
def history(obj: Any, /, name: str, as_json: bool) -> None:
    """The last ticks of an entry, the latest first: when beat decided on it, what it did, and the state of the run."""
    app = _app(obj)
    for tick in _found(app, name).state.history:
        about = {"at": _time(tick["at"]), "action": tick["action"], "ids": _ids(tick), "state": _state(app, tick)}
        click.echo(json.dumps(about) if as_json else _tick_line(about))


def _found(app: Canvas, name: str) -> EntryInfo:
    for one in app.schedule.list():
        if one.name == name:
            return one
    raise ConfigurationError(f"there is no schedule entry {name!r}; see canvas schedule list")


def _ids(tick: Mapping[str, Any]) -> list[str]:
    """The tasks, or the run, that a tick has started."""
    return [tick["run"]] if "run" in tick else list(tick.get("ids") or ())


def _state(app: Canvas, tick: Mapping[str, Any]) -> str | None:
    """The state of the run; of several tasks, that of the first that has not succeeded. ``None``: nothing shows it."""
    if "run" in tick:
        try:
            return str(app.workflow(tick["run"]).status().state)
        except RunLost:
            return None
    if app.driver.results is None or not tick.get("ids"):
        return None
    found = [app.AsyncResult(task_id).state for task_id in tick["ids"]]
    return next((state for state in found if state != SUCCESS), SUCCESS)


def _tick_line(about: Mapping[str, Any]) -> str:
    words = {"send": "sent", "skip": "skipped: its last run was not over", "miss": "missed", "wait": "waited"}
    return "   ".join([about["at"], words[about["action"]], *filter(None, [about["state"], *about["ids"]])])


@schedule.command(short_help="Send an entry's task now.")
@click.argument("name")
@click.pass_obj
def run(obj: Any, /, name: str) -> None:
    """Send an entry's task now, independently of its schedule. Prints the id of its result or of its run."""
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


def _line(one: EntryInfo, longest: int) -> str:
    due = "paused" if one.state.paused else _time(one.due) or "not seen by canvas beat yet"
    return f"{one.name:<{longest}}  {due:<27}  {one.state.count} sent  {one.task}  {one.schedule}"


def _time(due: float | None) -> str | None:
    return None if due is None else datetime.fromtimestamp(round(due), UTC).isoformat(timespec="seconds")
