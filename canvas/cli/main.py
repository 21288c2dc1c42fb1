"""``canvas``: the command group and its global options, as Celery's."""

import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import click

from canvas.errors import CanvasError, OperationalError
from canvas.version import __version__

_COMMANDS = {
    "worker": "canvas.cli.worker:worker",
    "demo": "canvas.cli.demo:demo",
    "call": "canvas.cli.send:call",
    "result": "canvas.cli.send:result",
    "purge": "canvas.cli.queues:purge",
    "dead": "canvas.cli.queues:dead",
    "graph": "canvas.cli.graph:graph",
    "report": "canvas.cli.report:report",
}
_USAGE, _UNAVAILABLE = 2, 69


class Context:
    """What the global options say; the app is looked up when a command asks for it."""

    def __init__(
        self, app: str | None, broker: str | None, backend: str | None, workdir: str | None, quiet: bool
    ) -> None:
        self._name = app
        self._broker = broker
        self._backend = backend
        self._workdir = workdir
        self.quiet = quiet

    @property
    def app(self) -> Any:
        """The app. Ends the program with exit code 2 when it cannot be found."""
        from canvas.app import Canvas
        from canvas.cli.loading import find_app

        if self._name is None:
            return Canvas("default", broker=self._broker, backend=self._backend)
        try:
            app = find_app(self._name, self._workdir)
        except CanvasError as exc:
            raise click.UsageError(str(exc)) from exc
        if self._broker:
            app.conf.broker_url = self._broker
        if self._backend:
            app.conf.result_backend = self._backend
        return app


class Commands(click.Group):
    """Loads a command when it is used; knows plugins of the entry-point group ``canvas.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *(entry.name for entry in entry_points(group="canvas.commands"))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module, _, attribute = _COMMANDS[cmd_name].partition(":")
            return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
        for entry in entry_points(group="canvas.commands"):
            if entry.name == cmd_name:
                return entry.load()  # type: ignore[no-any-return]
        near = get_close_matches(cmd_name, self.list_commands(ctx), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise click.UsageError(f"No such command {cmd_name!r}.{hint}", ctx)


@click.group(cls=Commands, context_settings={"auto_envvar_prefix": "CANVAS", "help_option_names": ["-h", "--help"]})
@click.option("-A", "--app", envvar=["CANVAS_APP", "CELERY_APP"], help="module:attribute of the app.")
@click.option("-b", "--broker", help="Broker URL, instead of the app's.")
@click.option("--result-backend", help="Result backend URL, instead of the app's.")
@click.option("--workdir", type=click.Path(exists=True, file_okay=False), help="Change to this directory first.")
@click.option("-C", "--no-color", is_flag=True, help="Plain text.")
@click.option("-q", "--quiet", is_flag=True, help="Say less.")
@click.version_option(__version__)
@click.pass_context
def canvas(
    ctx: click.Context,
    /,
    app: str | None,
    broker: str | None,
    result_backend: str | None,
    workdir: str | None,
    no_color: bool,
    quiet: bool,
) -> None:
    """Compose and run Celery workflows."""
    ctx.color = False if no_color else None
    ctx.obj = Context(app, broker, result_backend, workdir, quiet)


def main() -> None:
    """Run the command line; the program's exit code is the command's."""
    arguments = sys.argv[1:]
    _check_app_option(arguments)
    try:
        canvas(prog_name="canvas", standalone_mode=True)
    except OperationalError as exc:
        click.echo(f"Error: {exc}", err=True)
        sys.exit(_UNAVAILABLE)
    except CanvasError as exc:
        click.echo(f"Error: {exc}", err=True)
        sys.exit(1)


def _check_app_option(arguments: list[str]) -> None:
    """``canvas worker -A proj`` is a slip of the hand that deserves a word."""
    command = next((i for i, word in enumerate(arguments) if word in _COMMANDS), None)
    if command is not None and any(word in ("-A", "--app") for word in arguments[command:]):
        name = arguments[command]
        click.echo(f"-A/--app is a global option: put it before the command, as in: canvas -A proj {name}", err=True)
        sys.exit(_USAGE)
