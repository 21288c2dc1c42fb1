"""The reference of the command line."""

import inspect
import re
from collections.abc import Iterator

import click

from canvas.cli.main import COMMANDS, canvas
from docs.generate.markdown import code, prose, table


def commands() -> str:
    """Each command with its arguments and options."""
    root = click.Context(canvas, info_name="canvas")
    parts = [f"## Global options\n\nThey stand before the command.\n\n{_options(canvas)}\n"]
    for name in sorted(COMMANDS):
        command = canvas.get_command(root, name)
        assert command is not None
        parts += _command(command, f"canvas {name}", 2)
    return "\n".join(parts)


def _command(command: click.Command, path: str, level: int) -> Iterator[str]:
    arguments = " ".join(parameter.make_metavar(click.Context(command)) for parameter in _arguments(command))
    yield f"{'#' * level} {path}\n"
    yield f"```text\n{f'{path} [OPTIONS] {arguments}'.strip()}\n```\n"
    yield f"{_help(command.help or '')}\n"
    if any(isinstance(parameter, click.Option) for parameter in command.params):
        yield f"{_options(command)}\n"
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _command(inner, f"{path} {name}", level + 1)


def _arguments(command: click.Command) -> list[click.Parameter]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Argument)]


def _help(text: str) -> str:
    """The text of a command, its preformatted paragraphs as blocks."""
    paragraphs = []
    for paragraph in re.sub(r"[ \t]+\n", "\n", inspect.cleandoc(text)).split("\n\n"):
        if paragraph.startswith("\b"):
            paragraphs.append(f"```text\n{paragraph.lstrip(chr(8)).strip(chr(10))}\n```")
        else:
            paragraphs.append(prose(paragraph))
    return "\n\n".join(paragraphs)


def _options(command: click.Command) -> str:
    rows = []
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            names = ", ".join(map(code, [*option.opts, *option.secondary_opts]))
            rows.append((names, _values(option), f"{prose(option.help or '')}{_given_otherwise(option)}"))
    return table(("Option", "Value", "Effect"), rows)


def _given_otherwise(option: click.Option) -> str:
    """The option's default, if ``--help`` shows it, and the environment variables that give it."""
    variables = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    text = f" Default: {code(str(option.default))}." if option.show_default is True else ""
    return f"{text} Environment: {', '.join(map(code, variables))}." if variables else text


def _values(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return ", ".join(map(code, map(str, option.type.choices)))
    return code(option.metavar or option.type.name.upper().replace(" RANGE", ""))
