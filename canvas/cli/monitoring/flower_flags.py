"""Flower's flags that the dashboard does not need or that other options replace, and Flower's file of settings."""

import os
from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

DEFAULT_FILE = "flowerconfig.py"
_LOGIN = (
    "the dashboard has no login of its own: authenticate users in a reverse proxy such as oauth2-proxy, and name its "
    "header with --user-header and --trusted-proxies, or use --basic-auth"
)
REFUSED = {
    **dict.fromkeys(("auth", "auth_provider", "oauth2_key", "oauth2_secret", "oauth2_redirect_uri"), _LOGIN),
    "format_task": "functions do not change what is shown of a task: hide arguments or results with --mask",
}
"""Flags that would be dangerous to pass over, and what to use in their place."""
UNUSED = {
    "cookie_secret": "the dashboard keeps no sessions",
    "natural_time": "pages show times of day, and durations",
    "state_save_interval": "history is written every two seconds",
    "tasks_columns": "the columns of the page are fixed",
    "xheaders": "the address of a client is not used behind a proxy; its user is, by --user-header",
}
"""Flags that are accepted without an effect, and why."""
_SWITCHES = frozenset({"natural_time", "xheaders"})
"""The flags among them that may have no value."""


def switch(*names: str, default: bool, help: str, envvar: list[str] | None = None) -> Any:
    """A flag that may have a value, as Flower's have: ``--read_only``, ``--read_only=false``."""
    return click.option(
        *names, is_flag=False, flag_value="true", type=click.BOOL, default=default, help=help, envvar=envvar,
        show_default=default, metavar="[true|false]",
    )  # fmt: skip


def spellings(name: str) -> tuple[str, ...]:
    """The names of an option, with hyphens and with Flower's underscores."""
    return tuple(dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")))


def options_without_effect() -> list[Any]:
    """The options of these flags."""
    return [
        click.option(
            *spellings(name), hidden=True, envvar=f"FLOWER_{name.upper()}", is_flag=False,
            flag_value="true" if name in _SWITCHES else None,
        )
        for name in (*REFUSED, *UNUSED)
    ]  # fmt: skip


def with_file(context: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """The values of options, with those of Flower's file of settings, which is Python: the command line is before the
    file, and the file before the environment. Raises UsageError for a file that cannot be read."""
    path, named = given["conf"], context.get_parameter_source("conf") is not ParameterSource.DEFAULT
    if not named and (context.command.name != "flower" or not os.path.exists(path)):
        return given
    found: dict[str, Any] = {}
    try:
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), found)
    except OSError as exc:
        raise click.UsageError(f"--conf {path}: cannot be read: {exc.strerror}") from exc
    except Exception as exc:
        raise click.UsageError(f"--conf {path}: {type(exc).__name__}: {exc}") from exc
    values = dict(given)
    for option in context.command.params:
        name = str(option.name)
        if name in found and context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            values[name] = option.process_value(context, _as_text(found[name]))
    return values


def _as_text(value: Any) -> Any:
    """A value of the file as the command line has it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return value if value is None or callable(value) else str(value)


def check(given: Mapping[str, Any]) -> list[str]:
    """Lines about flags that have no effect. Raises UsageError for those that are refused."""
    for name, why in REFUSED.items():
        if given.get(name):
            raise click.UsageError(f"--{name}: {why}")
    return [f"--{name} has no effect: {why}" for name, why in UNUSED.items() if given.get(name) not in (None, "false")]
