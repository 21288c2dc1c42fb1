"""``canvas inspect``, ``canvas control`` and ``canvas status``: ask workers, and steer them."""

import json
from typing import Any, NamedTuple

import click

from canvas.cli.options import UNAVAILABLE, comma_separated
from canvas.remote.inspect import by_node, warn_of_duplicates

_INSPECT = (
    "active", "active_queues", "clock", "conf", "memdump", "memsample", "objgraph", "ping",
    "query_task", "registered", "report", "reserved",
    "revoked", "scheduled", "stats",
)  # fmt: skip


class _Command(NamedTuple):
    """The arguments of a control command, in order, and the number of those that are required."""

    arguments: tuple[str, ...] = ()
    required: int = 0


_CONTROL: dict[str, _Command] = {
    "add_consumer": _Command(("queue", "exchange", "exchange_type", "routing_key"), 1),
    "autoscale": _Command(("max", "min"), 2),
    "cancel_consumer": _Command(("queue",), 1),
    "disable_events": _Command(),
    "enable_events": _Command(),
    "heartbeat": _Command(),
    "pool_grow": _Command(("n",)),
    "pool_restart": _Command(),
    "pool_shrink": _Command(("n",)),
    "rate_limit": _Command(("task_name", "rate_limit"), 2),
    "revoke": _Command(("task_id",), 1),
    "shutdown": _Command(),
    "terminate": _Command(("signal", "task_id"), 2),
    "time_limit": _Command(("task_name", "soft", "hard"), 2),
}
_NUMBERS = {"n": int, "max": int, "min": int, "soft": float, "hard": float}


def _common(function: Any) -> Any:
    function = click.option("-t", "--timeout", type=float, default=1.0, show_default=True, help="Seconds.")(function)
    function = click.option("-d", "--destination", callback=comma_separated, help="Nodes, comma-separated.")(function)
    return click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object.")(function)


@click.command(short_help="Ask workers what they do.")
@click.argument("method", type=click.Choice(_INSPECT))
@click.argument("arguments", nargs=-1)
@_common
@click.pass_obj
def inspect(
    obj: Any, /, method: str, arguments: tuple[str, ...], timeout: float, destination: list[str], as_json: bool
) -> None:
    """Ask workers about their state; exit code 69 when none answers."""
    given: dict[str, Any] = {}
    if arguments:
        names = {"query_task": "ids", "registered": "taskinfoitems"}
        if method not in names:
            raise click.UsageError(f"inspect {method} takes no arguments; got {' '.join(arguments)}")
        given = {names[method]: list(arguments)}
    _show(obj.app.control.broadcast(method, given, destination or None, reply=True, timeout=timeout), as_json)


@click.command(short_help="Change what workers do.")
@click.argument("method", type=click.Choice(sorted(_CONTROL)))
@click.argument("arguments", nargs=-1)
@_common
@click.pass_obj
def control(
    obj: Any, /, method: str, arguments: tuple[str, ...], timeout: float, destination: list[str], as_json: bool
) -> None:
    """Steer workers; exit code 69 when none answers."""
    given = _named(method, arguments)
    if method == "shutdown":
        obj.app.control.shutdown(destination or None)
        return
    _show(obj.app.control.broadcast(method, given, destination or None, reply=True, timeout=timeout), as_json)


def _named(method: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    """A command's arguments by name; further ones belong to the last argument, if that takes several."""
    names, required = _CONTROL[method]
    several = names[-1:] == ("task_id",)
    if len(arguments) > len(names) and not several:
        raise click.UsageError(f"control {method} takes {' '.join(names) or 'no arguments'}; got {' '.join(arguments)}")
    found: dict[str, Any] = {}
    for place, name in enumerate(names):
        if place >= len(arguments):
            break
        if name == "task_id":
            found[name] = list(arguments[place:])
            break
        try:
            found[name] = _NUMBERS.get(name, str)(arguments[place])
        except ValueError as exc:
            raise click.UsageError(f"control {method}: {name}: {exc}") from exc
    if len(found) < required:
        raise click.UsageError(f"control {method} needs {' '.join(names[:required])}")
    return found


@click.command(short_help="List the workers that are online.")
@_common
@click.pass_obj
def status(obj: Any, /, timeout: float, destination: list[str], as_json: bool) -> None:
    """Which workers are there; exit code 69 when there are none."""
    answers = obj.app.control.ping(destination or None, timeout=timeout)
    if as_json:
        click.echo(json.dumps(by_node(answers)))
    else:
        warn_of_duplicates(answers)
        for node in (node for answer in answers for node in answer):
            click.echo(f"{node}: OK")
        _say_how_many(answers)
    if not answers:
        raise SystemExit(UNAVAILABLE)


def _show(answers: list[dict[str, Any]], as_json: bool) -> None:
    if not answers:
        click.echo("Error: No nodes replied within time constraint", err=True)
        raise SystemExit(UNAVAILABLE)
    if as_json:
        click.echo(json.dumps(by_node(answers)))
        return
    warn_of_duplicates(answers)
    for node, value in (item for answer in answers for item in answer.items()):
        good = not (isinstance(value, dict) and "error" in value)
        click.echo(f"->  {node}: {'OK' if good else 'ERROR'}")
        click.echo(_indented(value))
    _say_how_many(answers)


def _say_how_many(answers: list[dict[str, Any]]) -> None:
    click.echo(f"\n{len(answers)} node{'' if len(answers) == 1 else 's'} online.")


def _indented(value: Any) -> str:
    if isinstance(value, list):
        return (
            "\n".join(f"    * {item if isinstance(item, str) else json.dumps(item)}" for item in value)
            or "    - empty -"
        )
    if isinstance(value, dict) and set(value) & {"ok", "error"}:
        return f"        {value.get('ok', value.get('error'))}"
    return "\n".join(f"    {line}" for line in json.dumps(value, indent=2).splitlines())
