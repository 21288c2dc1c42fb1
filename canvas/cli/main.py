"""``canvas``: the command group and its global options, as Celery's."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click
from click.shell_completion import CompletionItem

from canvas.cli.extending.known_commands import KnownCommands
from canvas.cli.options import UNAVAILABLE, no_loader
from canvas.context import current_app, has_current_app, set_app_argument
from canvas.drivers import silence
from canvas.error_traits import message_and_page
from canvas.errors import CanvasError, OperationalError
from canvas.version import DOCUMENTATION, __version__

COMMANDS = {
    "workflow": ("canvas.cli.workflow:workflow", "Look at runs of workflows, and control them."),
    "worker": ("canvas.cli.worker.command:worker", "Run a worker."),
    "beat": ("canvas.cli.periodic.beat:beat", "Send periodic tasks when they are due."),
    "schedule": ("canvas.cli.periodic.schedule:schedule", "Show, run, pause and resume periodic tasks."),
    "dashboard": (
        "canvas.cli.monitoring.dashboard:dashboard",
        "Serve the dashboard: workflows, tasks, workers, queues.",
    ),
    "flower": ("canvas.cli.monitoring.dashboard:flower", "The dashboard, under Flower's name."),
    "top": ("canvas.cli.monitoring.top:top", "Show workers, queues and rates live."),
    "demo": ("canvas.cli.demo.command:demo", "See a chord run, on a private Redis."),
    "celery": ("canvas.cli.as_celery:celery", "Run a command of a Celery project, without changing the project."),
    "call": ("canvas.cli.call:call", "Send a task by its name."),
    "result": ("canvas.cli.call:result", "Wait for a task's result and print it."),
    "purge": ("canvas.cli.messages.queues:purge", "Delete all messages of the queues."),
    "queues": ("canvas.cli.messages.queues:queues", "Count messages: waiting, leased, dead."),
    "dead-letters": (
        "canvas.cli.messages.dead_letters:dead_letters",
        "Look at dead letters, run them again, delete them.",
    ),
    "graph": ("canvas.cli.graph:graph", "Draw a workflow or a signature."),
    "inspect": ("canvas.cli.inspect_control:inspect", "Ask workers what they do."),
    "control": ("canvas.cli.inspect_control:control", "Change what workers do."),
    "status": ("canvas.cli.inspect_control:status", "List the workers that are online."),
    "report": ("canvas.cli.report:report", "Print versions and settings."),
    "events": ("canvas.cli.monitoring.events:events", "Print events as they come."),
    "shell": ("canvas.cli.shell:shell", "Open a Python prompt with the app."),
    "db": ("canvas.cli.database:db", "Make the tables of a result backend in SQL."),
    "migrate": ("canvas.cli.messages.migrate:migrate", "Move messages to another broker."),
    "completion": ("canvas.cli.completion:completion", "Print the shell completion script."),
    "multi": ("canvas.cli.multi.command:multi", "Start and stop several workers in the background."),
    "amqp": ("canvas.cli.messages.brokers:amqp", "Declare, bind, read and delete queues (needs kombu)."),
    "list": ("canvas.cli.messages.brokers:list_", "List bindings of queues (needs kombu)."),
    "logtool": ("canvas.cli.files.logtool:logtool", "Read log files: tasks, errors, tracebacks."),
    "upgrade": ("canvas.cli.files.upgrade:upgrade", "Bring the names of settings up to date."),
}
"""By name, where a command is defined, and its line in the help: to print that, none of them is imported."""
PAGES = {
    "beat": "how-to/schedule-tasks-and-workflows/",
    "dashboard": "how-to/monitor/",
    "db": "how-to/keep-results-in-sql/",
    "dead-letters": "how-to/dead-letters/",
    "flower": "how-to/monitor/",
    "schedule": "how-to/schedule-tasks-and-workflows/",
    "top": "how-to/monitor/",
    "worker": "reference/worker/",
    "workflow": "tutorial/failures/",
}
"""The page that the help of a command names, where it is not the command's part of the reference."""
_LASTING = frozenset({"worker", "beat", "dashboard", "flower", "top", "demo", "multi", "shell", "celery"})
"""Commands that run until they are stopped, and report a server that does not answer in their own output."""
_LISTED = "canvas.cli.listed"
_LATE_APP = ("-A", "--app")


@dataclass
class Context:
    """The global options; the app is looked up when a command asks for it."""

    name: str | None
    broker: str | None
    backend: str | None
    config: str | None
    quiet: bool
    started_in: str
    """The working directory before ``--workdir``."""
    own: Any = None
    """The app of the program that runs the command."""

    @cached_property
    def app(self) -> Any:
        """The app. Ends the program with exit code 2 when it cannot be found."""
        from canvas.app.application import Canvas
        from canvas.cli.find_app import configure, find_app

        try:
            app = (self.own or Canvas("default")) if self.name is None else find_app(self.name)
            if self.name is not None:
                set_app_argument(self.name)
            if self.config:
                configure(app, self.config)
        except CanvasError as exc:
            raise click.UsageError(message_and_page(exc)) from exc
        if self.broker:
            app.conf.pin("broker_url", self.broker)
        if self.backend:
            app.conf.pin("result_backend", self.backend)
        return app


def _reporter() -> silence.Report:
    """Writes a line about each server that does not answer, once."""
    reported: set[str] = set()

    def report(where: str) -> None:
        if where not in reported:
            reported.add(where)
            click.echo(f"waiting for {where}, which has not answered for {silence.SILENT_AFTER:.0f} s ...", err=True)

    return report


def _plugins(ctx: click.Context) -> dict[str, EntryPoint]:
    """The commands of plugins: the entry-point group ``canvas.commands``, and Celery's under ``canvas celery``. The
    metadata of all installed packages is read once for a command line."""
    groups = ["canvas.commands", *(["celery.commands"] if "canvas.as_celery" in sys.modules else [])]
    known: dict[str, EntryPoint] | None = ctx.meta.get(",".join(groups))
    if known is None:
        known = {entry.name: entry for group in groups for entry in entry_points(group=group)}
        ctx.meta[",".join(groups)] = known
    return known


@contextmanager
def _listed(ctx: click.Context) -> Iterator[None]:
    """Have commands named only, by their lines of the help, and not imported."""
    ctx.meta[_LISTED] = True
    try:
        yield
    finally:
        del ctx.meta[_LISTED]


class Commands(click.Group):
    """Loads a command when it is used; knows the commands of plugins, and those that a program has added."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.commands: KnownCommands = KnownCommands(COMMANDS, _loaded)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *_plugins(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        plugins = _plugins(ctx)
        if cmd_name in self.commands.added:
            return self.commands[cmd_name]
        if cmd_name in self.commands and not (cmd_name == "flower" and cmd_name in plugins):
            if ctx.meta.get(_LISTED):
                return click.Command(cmd_name, short_help=COMMANDS[cmd_name][1])
            return self.commands[cmd_name]
        if cmd_name in plugins:
            return _plugin(plugins[cmd_name])
        near = ["--help"] if cmd_name == "help" else get_close_matches(cmd_name, self.list_commands(ctx), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise click.UsageError(f"No such command {cmd_name!r}.{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with _listed(ctx):
            super().format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        with _listed(ctx):
            return super().shell_complete(ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as exc:
            if exc.option_name not in _LATE_APP or exc.ctx is None:
                raise
            raise click.UsageError(
                f"{exc.option_name} is a global option: put it before the command, "
                f"as in: canvas -A proj {exc.ctx.info_name}",
                exc.ctx,
            ) from exc


def _loaded(name: str) -> click.Command:
    place, summary = COMMANDS[name]
    module, _, attribute = place.partition(":")
    command = _with_page(getattr(import_module(module), attribute), name)
    command.short_help = summary
    return command


def _with_page(command: click.Command, name: str) -> click.Command:
    """The command, with the address of its page at the end of its help and of its commands'."""
    page = PAGES.get(name, f"reference/cli/#canvas-{name}")
    for one in (command, *(command.commands.values() if isinstance(command, click.Group) else ())):
        one.epilog = f"\b\nDocumentation: {DOCUMENTATION}{page}"  # a line that is not broken
    return command


def _plugin(entry: EntryPoint) -> click.Command:
    """The command of an entry point; if it cannot be loaded, one that shows the reason when it is used or listed."""
    try:
        command = entry.load()
        if isinstance(command, click.Command):
            return command
        wrong = f"expected a click command; found {type(command).__name__}"
    except Exception as exc:  # noqa: BLE001 - a plugin is somebody else's code; it may not take our help with it
        wrong = f"{type(exc).__name__}: {exc}"
    text = f"cannot load plugin {entry.value}: {wrong}"

    def refuse() -> None:
        raise click.ClickException(text)

    return click.Command(entry.name, callback=refuse, short_help=f"({text})")


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=f"Documentation: {DOCUMENTATION}"
)
@click.option("-A", "--app", envvar=["CANVAS_APP", "CELERY_APP"],
              help="The app: a module, package or module:attribute, such as proj or proj.celery:app.")  # fmt: skip
@click.option("-b", "--broker", help="Broker URL, instead of the app's.")
@click.option("--result-backend", help="Result backend URL, instead of the app's.")
@click.option(
    "--config", envvar="CELERY_CONFIG_MODULE", help="Module of settings, instead of the app's own configuration object."
)
@click.option(
    "--workdir", envvar="CANVAS_WORKDIR", type=click.Path(exists=True, file_okay=False),
    help="Change to this directory first.",
)  # fmt: skip
@click.option("--loader", hidden=True, expose_value=False, callback=no_loader)
@click.option("--skip-checks", is_flag=True, help="Don't run Django's system checks when a worker starts.")
@click.option("-C", "--no-color", is_flag=True, help="Plain text; so does the environment variable NO_COLOR.")
@click.option("-q", "--quiet", is_flag=True, help="Print no banner and no hints.")
@click.version_option(__version__)
@click.pass_context
def canvas(
    ctx: click.Context,
    /,
    app: str | None,
    broker: str | None,
    result_backend: str | None,
    config: str | None,
    workdir: str | None,
    skip_checks: bool,
    no_color: bool,
    quiet: bool,
) -> None:
    """Compose and run Celery workflows."""
    ctx.color = False if no_color or os.environ.get("NO_COLOR") else None
    started_in = os.getcwd()
    if workdir:
        os.chdir(workdir)
    if skip_checks:
        os.environ["CELERY_SKIP_CHECKS"] = "true"
    if ctx.invoked_subcommand not in _LASTING and not quiet:
        silence.watch(_reporter())
    # A program that has canvas' commands run them may have made its app itself.
    own = ctx.obj or (current_app() if app is None and has_current_app() else None)
    ctx.obj = Context(app, broker, result_backend, config, quiet, started_in, own)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 an error or a refused prompt, 2 usage, 69 no server answers."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        # Names of tasks, and signs such as an arrow, may have characters that the terminal's encoding does not have.
        sys.stdout.reconfigure(errors="replace")
    try:
        canvas(prog_name="canvas")
    except OperationalError as exc:
        click.echo(f"Error: {message_and_page(exc)}", err=True)
        sys.exit(UNAVAILABLE)
    except CanvasError as exc:
        click.echo(f"Error: {message_and_page(exc)}", err=True)
        sys.exit(1)
