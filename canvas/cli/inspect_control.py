"""``canvas inspect``, ``canvas control`` and ``canvas status``: ask workers, and control them."""

import json
from collections.abc import Callable
from pprint import pformat
from textwrap import indent
from typing import Any, NamedTuple

import click

from canvas.cli.options import UNAVAILABLE, comma_separated
from canvas.remote.inspect import by_node, warn_of_duplicates
from canvas.worker.control.user_commands import commands_of, find_command

_SEVERAL = ("task_id", "headers", "ids", "taskinfoitems")
"""Arguments that may be given more than once. Each is the last argument of its command."""


class _Command(NamedTuple):
    """A command: its effect, its arguments in order, and the number of those that are required."""

    help: str
    arguments: tuple[str, ...] = ()
    required: int = 0

    @property
    def usage(self) -> str:
        """The arguments; optional ones are in brackets."""
        words = [f"<{name}>" if at < self.required else f"[{name}]" for at, name in enumerate(self.arguments)]
        return " ".join([*words, "..."] if self.arguments[-1:] and self.arguments[-1] in _SEVERAL else words)


_INSPECT: dict[str, _Command] = {
    "active": _Command("List the tasks that run."),
    "active_queues": _Command("List the queues that a worker consumes."),
    "clock": _Command("Get the value of a worker's logical clock."),
    "conf": _Command("List the settings that a worker uses."),
    "memdump": _Command("Get statistics of the samples that memsample took."),
    "memsample": _Command("Take a sample of a worker's memory."),
    "objgraph": _Command("Count the objects that are alive in a worker."),
    "ping": _Command("Ask whether workers are alive."),
    "query_task": _Command("Get what workers know of tasks, by their ids.", ("ids",)),
    "registered": _Command("List the tasks that a worker can run, with these attributes.", ("taskinfoitems",)),
    "report": _Command("Get versions, the platform and settings for a bug report."),
    "reserved": _Command("List the tasks that a worker has taken and not started."),
    "revoked": _Command("List the ids of revoked tasks."),
    "scheduled": _Command("List the tasks that wait for their time."),
    "stats": _Command("Get statistics of a worker and its processes."),
}
_CONTROL: dict[str, _Command] = {
    "add_consumer": _Command("Consume a queue.", ("queue", "exchange", "exchange_type", "routing_key"), 1),
    "autoscale": _Command("Change the limits of the pool's size.", ("max", "min"), 2),
    "cancel_consumer": _Command("Stop consuming a queue.", ("queue",), 1),
    "disable_events": _Command("Send no events of tasks."),
    "enable_events": _Command("Send events of tasks."),
    "heartbeat": _Command("Send a heartbeat event now."),
    "pool_grow": _Command("Add worker processes or threads.", ("n",)),
    "pool_restart": _Command("Replace the pool's processes."),
    "pool_shrink": _Command("Remove worker processes or threads.", ("n",)),
    "rate_limit": _Command("Set the rate limit of a task.", ("task_name", "rate_limit"), 2),
    "revoke": _Command("Revoke tasks by their ids.", ("task_id",), 1),
    "revoke_by_stamped_headers": _Command("Revoke tasks by stamps, given as name=value.", ("headers",), 1),
    "shutdown": _Command("Stop workers, once their tasks have ended."),
    "terminate": _Command("Revoke tasks, and end those that run with a signal.", ("signal", "task_id"), 2),
    "time_limit": _Command("Set the time limits of a task, in seconds.", ("task_name", "soft", "hard"), 2),
}
_NUMBERS = {"n": int, "max": int, "min": int, "soft": float, "hard": float}


class _Method(click.Choice):  # type: ignore[type-arg]
    """The name of a command of canvas, or of one that the app's modules register."""

    def __init__(self, kind: str, commands: dict[str, _Command]) -> None:
        super().__init__(sorted(commands))
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices and ctx is not None:
            _import_app(ctx)
            if value in commands_of(self._kind):
                return value
        return super().convert(value, param, ctx)


def _import_app(ctx: click.Context) -> None:
    """Import the app and the modules of its tasks, which register commands of their own."""
    if ctx.obj is not None and ctx.obj.name is not None:
        ctx.obj.app.import_task_modules()


def _common(function: Any) -> Any:
    function = click.option(
        "-t", "--timeout", type=float, default=1.0, show_default=True, help="Seconds to wait for replies."
    )(function)
    function = click.option(
        "-d", "--destination", callback=comma_separated, help="Names of nodes, comma-separated. Default: all."
    )(function)
    return click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object.")(function)


def _lists(kind: str, commands: dict[str, _Command]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option ``--list``: print the commands and end."""

    def show(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
        if not asked:
            return
        _import_app(context)
        own = {name: (one.signature, one.help) for name, one in commands_of(kind.lower()).items()}
        texts = {**{name: (one.usage, one.help) for name, one in commands.items()}, **own}
        formatter = click.HelpFormatter()
        with formatter.section(f"{kind} Commands"):
            formatter.write_dl([(f"{name} {usage}".rstrip(), text) for name, (usage, text) in sorted(texts.items())])
        click.echo(formatter.getvalue(), nl=False)
        context.exit()

    text = f"List the {kind.lower()} commands and exit."
    return click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=show, help=text)


@click.command()
@click.argument("method", type=_Method("inspect", _INSPECT))
@click.argument("arguments", nargs=-1)
@_lists("Inspect", _INSPECT)
@_common
@click.pass_obj
def inspect(
    obj: Any, /, method: str, arguments: tuple[str, ...], timeout: float, destination: list[str], as_json: bool
) -> None:
    """Ask workers about their state; exit code 69 when none answers."""
    given: dict[str, Any] = {}
    if own := find_command(method):
        given = own.named(arguments)
    elif arguments:
        if not _INSPECT[method].arguments:
            raise click.UsageError(f"inspect {method} takes no arguments; got {' '.join(arguments)}")
        given = {_INSPECT[method].arguments[0]: list(arguments)}
    answers = obj.app.control.broadcast(method, given, destination or None, reply=True, timeout=timeout)
    _show(answers, as_json)
    if not as_json:
        _say_how_many(answers)


@click.command()
@click.argument("method", type=_Method("control", _CONTROL))
@click.argument("arguments", nargs=-1)
@_lists("Control", _CONTROL)
@_common
@click.pass_obj
def control(
    obj: Any, /, method: str, arguments: tuple[str, ...], timeout: float, destination: list[str], as_json: bool
) -> None:
    """Control workers; exit code 69 when none answers."""
    own = find_command(method)
    given = own.named(arguments) if own else named(method, arguments)
    if method == "shutdown":
        obj.app.control.shutdown(destination or None)
        return
    _show(obj.app.control.broadcast(method, given, destination or None, reply=True, timeout=timeout), as_json)


def named(method: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    """A command's arguments by name; further ones belong to the last argument, if that takes several."""
    names, required = _CONTROL[method].arguments, _CONTROL[method].required
    several = names[-1:] in (("task_id",), ("headers",))
    if len(arguments) > len(names) and not several:
        raise click.UsageError(f"control {method} takes {' '.join(names) or 'no arguments'}; got {' '.join(arguments)}")
    found: dict[str, Any] = {}
    for place, name in enumerate(names):
        if place >= len(arguments):
            break
        if name in _SEVERAL:
            found[name] = list(arguments[place:]) if name == "task_id" else _stamps(arguments[place:])
            break
        try:
            found[name] = _NUMBERS.get(name, str)(arguments[place])
        except ValueError as exc:
            raise click.UsageError(f"control {method}: {name}: {exc}") from exc
    if len(found) < required:
        raise click.UsageError(f"control {method} needs {' '.join(names[:required])}")
    return found


def _stamps(given: tuple[str, ...]) -> dict[str, list[str]]:
    """The values of each stamp."""
    found: dict[str, list[str]] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise click.UsageError(f"control revoke_by_stamped_headers: expected name=value; got {one!r}")
        found.setdefault(name, []).append(value)
    return found


@click.command()
@_common
@click.pass_obj
def status(obj: Any, /, timeout: float, destination: list[str], as_json: bool) -> None:
    """Which workers are there; exit code 69 when there are none."""
    answers = obj.app.control.ping(destination or None, timeout=timeout)
    _require(answers)
    if as_json:
        click.echo(json.dumps(by_node(answers)))
        return
    warn_of_duplicates(answers)
    for node in (node for answer in answers for node in answer):
        click.echo(f"->  {node}: OK")
    _say_how_many(answers)


def _require(answers: list[dict[str, Any]]) -> None:
    if not answers:
        click.echo("Error: No nodes replied within time constraint", err=True)
        raise SystemExit(UNAVAILABLE)


def _show(answers: list[dict[str, Any]], as_json: bool) -> None:
    _require(answers)
    if as_json:
        click.echo(json.dumps(by_node(answers)))
        return
    warn_of_duplicates(answers)
    for node, value in (item for answer in answers for item in answer.items()):
        good = not (isinstance(value, dict) and "error" in value)
        click.echo(f"->  {node}: {'OK' if good else 'ERROR'}")
        click.echo(_indented(value))


def _say_how_many(answers: list[dict[str, Any]]) -> None:
    click.echo(f"\n{len(answers)} node{'' if len(answers) == 1 else 's'} online.")


def _indented(value: Any) -> str:
    return indent(_pretty(value), "    ")


def _pretty(value: Any) -> str:
    """An answer as Celery prints it."""
    if isinstance(value, list):
        return "\n".join(f"* {item}" for item in value) or "- empty -"
    if isinstance(value, dict) and set(value) & {"ok", "error"}:
        return indent(_pretty(value.get("ok", value.get("error"))), "    ")
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, indent=4)
    return value if isinstance(value, str) else pformat(value)
