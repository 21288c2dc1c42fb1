"""``canvas workflow`` shows and controls the runs of workflows."""

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from canvas.cli.options import json_lines, shown_errors
from canvas.errors import RunLost
from canvas.workflows.labels import label_terms

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_ASK_FOR = 0.3
"""Seconds to wait for the answers of workers about the tasks that they run."""


@click.group()
def workflow() -> None:
    """Show, start again, signal and cancel the runs of workflows."""


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """A time in ISO 8601, or a number of seconds, minutes, hours or days before now."""
    if value is None:
        return None
    number, unit = value[:-1], _UNITS.get(value[-1:])
    try:
        return datetime.fromisoformat(value) if unit is None else timedelta(**{unit: float(number)})
    except (ValueError, OverflowError):
        raise click.BadParameter(f"expected ISO 8601, or a number with s, m, h or d, such as 2h; got {value}") from None


def _labels(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"expected LABEL=VALUE; got {value}")
    return {label: text for label, _, text in (value.partition("=") for value in values)}


@workflow.command("list")
@click.option("--name", help="Runs of the workflow of this name.")
@click.option("--state", multiple=True, help="Runs in this state, such as FAILURE; may be repeated.")
@click.option(
    "--label", multiple=True, callback=_labels, metavar="LABEL=VALUE",
    help="Runs that were started with this label; may be repeated.",
)  # fmt: skip
@click.option(
    "--since", callback=_moment, help="Runs created at or after this time: ISO 8601, or 90m or 7d for that long ago."
)
@click.option("--until", callback=_moment, help="Runs created before this time, in the same form.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="The latest N runs.")
@json_lines
@click.pass_obj
def list_runs(obj: Any, /, limit: int, as_json: bool, **query: Any) -> None:
    """List runs, the latest first."""
    query["state"] = [state.upper() for state in query["state"]] or None
    with shown_errors():
        found = obj.app.runs(limit=limit, **query)
    if not as_json and sys.stdout.isatty():
        click.secho(f"{'RUN':<36}  {'CREATED (UTC)':<19}  {'SECONDS':>8}  {'STATE':<10} NODES  WORKFLOW", bold=True)
    for run in found:
        try:
            status = run.status()
        except RunLost:
            # The run was deleted between the two reads.
            continue
        if as_json:
            click.echo(json.dumps({key: value for key, value in status.as_dict().items() if key != "nodes"}))
        else:
            click.echo(_line(status))


def _line(status: Any) -> str:
    """A run in a list: id, time of its creation in UTC, duration, state, nodes that ran of all, name and labels."""
    from canvas.cli.monitoring.run_tree import ran, seconds_of

    begun = status.created.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if status.created else "?"
    seconds = seconds_of(status)
    lasted = "" if seconds is None else f"{seconds:.1f}"
    nodes = f"{ran(status)}/{len(status.nodes)}"
    line = f"{status.id:<36}  {begun:<19}  {lasted:>8}  {status.state:<10} {nodes:<5}  {status.name}"
    return line + _shown_labels(status)


def _shown_labels(status: Any) -> str:
    return "".join(f" {label}={value}" for label, value in label_terms(status.labels))


@workflow.command()
@click.argument("run")
@json_lines
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "text", "mermaid", "dot", "svg"]),
    default="tree",
    show_default=True,
    help="Form in which the run is shown.",
)
@click.pass_obj
def show(obj: Any, /, run: str, as_json: bool, form: str) -> None:
    """Print a run: its nodes with states, times and errors."""
    found = _found(obj, run)
    if as_json:
        click.echo(json.dumps(found.status().as_dict()))
    elif form != "tree":
        click.echo(found.draw(form))
    else:
        from rich.console import Console

        from canvas.cli.monitoring.run_tree import run_tree
        from canvas.workflows.progress.watch import ProgressWatch

        console = Console()
        tree = run_tree(found.nodes, ProgressWatch(found).look(_running(obj, found)))
        console.print(tree, soft_wrap=not console.is_terminal)  # a file has no width


@workflow.command()
@click.argument("run")
@click.option(
    "--interval", type=click.FloatRange(min=0.05), default=0.5, help="Seconds between two readings of the run."
)
@click.pass_obj
def watch(obj: Any, /, run: str, interval: float) -> None:
    """Show a run until it has ended; exit code 1 when it did not succeed."""
    from rich.console import Console
    from rich.live import Live

    from canvas.cli.monitoring.run_tree import run_tree
    from canvas.workflows.progress.watch import ProgressWatch

    found, console = _found(obj, run), Console()
    looking = ProgressWatch(found)
    progress = looking.look(_running(obj, found))
    screen = (console.width, console.height) if console.is_terminal else None
    try:
        with Live(run_tree(found.nodes, progress, screen), console=console, auto_refresh=False) as live:
            while not progress.status.over:
                time.sleep(interval)
                progress = looking.look(_running(obj, found))
                live.update(run_tree(found.nodes, progress, screen), refresh=True)
        if not console.is_terminal:
            click.echo()  # rich ends the last line only on a terminal
    except KeyboardInterrupt:
        return
    status = progress.status
    raise SystemExit(status.state != "SUCCESS")


@workflow.command()
@click.argument("run")
@click.option("--terminate", is_flag=True, help="End the running tasks, too.")
@click.pass_obj
def cancel(obj: Any, /, run: str, terminate: bool) -> None:
    """Start no more nodes of a run."""
    done = _found(obj, run).cancel(terminate=terminate)
    click.echo(f"{run} is cancelled" if done else f"{run} has ended already, or only its finally_ nodes are left")


@workflow.command()
@click.argument("run")
@click.option("--force", is_flag=True, help="Also a run that has not ended, because its messages are lost.")
@click.pass_obj
def resume(obj: Any, /, run: str, force: bool) -> None:
    """Run the nodes again that failed or never ran."""
    with shown_errors():
        done = _found(obj, run).resume(force=force)
    click.echo(f"{run} goes on" if done else f"{run} has nothing to resume: it succeeded, or has not ended")


@workflow.command()
@click.argument("run")
@click.option("--from", "from_node", required=True, metavar="NODE", help="The first node to run again.")
@click.pass_obj
def again(obj: Any, /, run: str, from_node: str) -> None:
    """Run a node of a run that has ended again, and all nodes that depend on it."""
    with shown_errors():
        done = _found(obj, run).again(from_node)
    if not done:
        raise click.ClickException(f"{run} has not ended: cancel it first, or wait")
    click.echo(f"{run} runs again from {from_node}")


@workflow.command()
@click.argument("run")
@click.argument("name")
@click.argument("payload", required=False, metavar="[JSON]")
@click.option("--key", help="A signal of one key counts once.")
@click.pass_obj
def signal(obj: Any, /, run: str, name: str, payload: str | None, key: str | None) -> None:
    """Send a signal to a run; its payload is JSON, and null if there is none."""
    try:
        value = json.loads(payload) if payload is not None else None
    except ValueError as exc:
        raise click.ClickException(f"payload: expected JSON, such as '{{\"ok\": true}}'; {exc}") from None
    with shown_errors():
        _found(obj, run).signal(name, value, key=key)
    click.echo(f"{run} has signal {name}")


@workflow.command()
@click.argument("run")
@click.pass_obj
def retry(obj: Any, /, run: str) -> None:
    """Run the same workflow again from its start; prints the id of the new run."""
    with shown_errors():
        click.echo(_found(obj, run).retry().id)


def _running(obj: Any, run: Any) -> dict[str, float | None]:
    """The tasks that workers run, and since when. Of a run that has ended nothing runs."""
    from canvas.workflows.progress.running_tasks import running_tasks

    return {} if run.ready() else running_tasks(obj.app, _ASK_FOR)


def _found(obj: Any, run: str) -> Any:
    try:
        return obj.app.workflow(run)
    except RunLost as exc:
        raise click.ClickException(str(exc)) from exc
