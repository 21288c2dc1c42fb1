"""Options that an app adds to ``canvas worker`` and ``canvas beat``: ``app.user_options``, as in Celery."""

import os
from collections.abc import Mapping
from typing import Any

import click

from canvas.app.application import Canvas
from canvas.errors import ConfigurationError
from canvas.telemetry import emit
from canvas.worker.process_files import PidFileInUse


def options_of(app: Canvas, command: str) -> list[click.Option]:
    """The options that ``app`` adds to a command, by name; those for all commands among them.

    Raises ConfigurationError for what is not an option of click.
    """
    if "user_options" not in vars(app):
        return []
    found = [*app.user_options[command], *app.user_options["preload"]]
    wrong = next((one for one in found if not isinstance(one, click.Option)), None)
    if wrong is not None:
        raise ConfigurationError(f"app.user_options[{command!r}]: expected options of click; got {wrong!r:.100}")
    return sorted(found, key=lambda option: str(option.name))


def taken(context: click.Context, app: Canvas, command: str, given: dict[str, Any]) -> dict[str, Any]:
    """Take the values of an app's own options out of ``given``: defaults for those that the command line does not
    name. Receivers of ``user_preload_options`` get those that all commands have."""
    values = {}
    for option in options_of(app, command):
        name = str(option.name)
        values[name] = given.pop(name) if name in given else option.get_default(context)
    if "user_options" in vars(app) and app.user_options["preload"]:
        preload = {str(option.name): values[str(option.name)] for option in app.user_options["preload"]}
        emit("command.starting", command=context.command, app=app, options=preload)
    return values


def take_settings(context: click.Context, app: Canvas, namespace: str = "celery") -> None:
    """Take the settings at the end of the command line, such as ``beat.max_loop_interval=2``; ``.name=value`` is of the
    ``namespace``. Raises UsageError."""
    for word in context.args:
        name, sign, _ = word.partition("=")
        if not sign:
            raise click.UsageError(f"Got unexpected extra argument ({word}); a setting is written NAME=VALUE", context)
        setting = (name if not name.startswith(".") else namespace + name).replace(".", "_").lower()
        if setting.removeprefix("celery_") not in app.conf:
            raise click.UsageError(
                f"Unable to parse extra configuration from command line: {name} is no setting", context
            )
    app.config_from_cmdline(context.args, namespace)


def usage_error(exc: ConfigurationError) -> click.UsageError:
    """The error of a command line that ``exc`` refuses; for a pid file in use it ends with Celery's exit code."""
    return _InUse(str(exc)) if isinstance(exc, PidFileInUse) else click.UsageError(str(exc))


class _InUse(click.UsageError):
    exit_code = os.EX_CANTCREAT


class OpenCommand(click.Command):
    """A command whose options an app may add to. The app is loaded only for a line with options not known here."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption:
            added = self._added(ctx)
            if not added:
                raise
        self.params = [*self.params, *added]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        known = {option.name for option in self.params}
        rows = [row for option in self._added(ctx) if option.name not in known and (row := option.get_help_record(ctx))]
        if rows:
            with formatter.section("Options of the app"):
                formatter.write_dl(rows)

    def _added(self, ctx: click.Context) -> list[click.Option]:
        known = ctx.obj
        if known is None or (getattr(known, "name", None) is None and getattr(known, "own", None) is None):
            return []
        try:
            return options_of(known.app, str(self.name))
        except ConfigurationError as exc:
            raise click.UsageError(str(exc), ctx) from exc


def all_options(context: click.Context, own: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a command's options, with those of the app's own: what bootsteps get."""
    return {**context.params, **own}
