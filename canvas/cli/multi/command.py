"""``canvas multi``: start, stop, restart and list workers that run in the background, as ``celery multi``."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from canvas.cli.multi.nodes import Line, Node, Options, expanded, lives, nodes_of, parsed
from canvas.errors import ConfigurationError
from canvas.remote.signal_names import signal_named

_FLAGS = ("--nosplash", "--quiet", "-q", "--verbose", "--no-color")
_LOOKS_EVERY = 0.2
"""Seconds between two checks whether nodes have ended."""
_COMMANDS = ("start", "stop", "stopwait", "stop_verify", "restart", "kill", "show", "names", "get", "expand", "help")


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["-h", "--help"]},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND NODES... [OPTIONS OF canvas worker]")
@click.pass_context
def multi(ctx: click.Context, /, words: tuple[str, ...]) -> None:
    """Start and stop several workers of this machine.

    \b
    canvas -A proj multi start 3 -c 4 -c:1 10      celery1, celery2 and celery3
    canvas -A proj multi start fast slow -Q:fast high -Q:slow low --pidfile=%n.pid --logfile=%n%I.log
    canvas multi stopwait fast slow --pidfile=%n.pid
    canvas multi restart | kill | show | names | get NODE | expand TEMPLATE

    An option with :NODES is for some nodes: names, numbers (from 1) or ranges such as 1-3. Give the same pid files
    to stop nodes as to start them; by default they are /var/run/celery/%n.pid.
    """
    command, *rest = [word for word in words if word not in _FLAGS] or ["help"]
    if command not in _COMMANDS:
        # As in Celery, whose scripts do not see the mistake either.
        click.echo(f"Invalid command: {command}; expected one of {', '.join(_COMMANDS)}", err=True)
    if command == "help" or command not in _COMMANDS:
        click.echo(ctx.get_help())
        return
    quiet = ctx.obj.quiet or "--quiet" in words or "-q" in words
    takes = {"get": "the name of a node", "expand": "a template"}.get(command)
    if takes and not rest:
        raise click.ClickException(f"canvas multi {command}: expected {takes}")
    first = [rest.pop(0)] if takes else []
    line = parsed(rest)
    line.options = {**_global_options(ctx.obj), **line.options}
    try:
        code = _run(command, nodes_of(_without_signal(line)), _signal_of(rest), first, "--verbose" in words, quiet)
    except ConfigurationError as exc:
        raise click.UsageError(str(exc), ctx) from exc
    ctx.exit(code)


def _global_options(known: Any) -> Options:
    """The options before ``multi``, which the workers get."""
    given = {"-A": known.name, "--broker": known.broker, "--result-backend": known.backend, "--config": known.config}
    return {name: value for name, value in given.items() if value is not None}


def _signal_of(words: Sequence[str]) -> signal.Signals:
    """The signal that an option such as ``-9`` or ``-KILL`` names; TERM without one."""
    for word in reversed(words):
        if word[:1] == "-":
            number = signal.Signals(int(word[1:])) if word[1:].isdecimal() else signal_named(word[1:])
            if number is not None:
                return number
    return signal.SIGTERM


def _without_signal(line: Line) -> Line:
    for name in list(line.options):
        if name[1:].isdecimal() or signal_named(name[1:]) is not None:
            value = line.options.pop(name)
            line.names += [value] if value is not None else []
    return line


def _run(command: str, nodes: list[Node], number: signal.Signals, first: list[str], verbose: bool, quiet: bool) -> int:
    """The exit code."""
    say = (lambda text: None) if quiet else click.echo
    match command:
        case "start":
            return _start(nodes, say, verbose)
        case "stop" | "stopwait" | "stop_verify":
            _stop(nodes, number, say, waits=command != "stop")
        case "kill":
            _stop(nodes, signal.SIGKILL, say, waits=True)
            for node in nodes:
                node.pid_file.unlink(missing_ok=True)
        case "restart":
            _stop(nodes, number, say, waits=True)
            return _start(nodes, say, verbose)
        case "show":
            _print(node.shown() for node in nodes)
        case "names":
            _print(node.name for node in nodes)
        case "expand":
            _print(expanded(first[0], node.name) for node in nodes)
        case _:
            _print(node.shown() for node in nodes if node.name in first)
    return 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _start(nodes: list[Node], say: Any, verbose: bool) -> int:
    say("> Starting nodes...")
    failed = False
    for node in nodes:
        for path in (node.pid_file, node.log_file):
            _make_folder(os.path.dirname(path))
        if verbose:
            say(f"  {node.shown()}")
        code = subprocess.run(node.command(), check=False).returncode
        say(f"\t> {node.name}: {'FAILED' if code else 'OK'}")
        failed = failed or code != 0
    return int(failed)


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder or ".", exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(
            f"cannot make the folder {folder}: {exc.strerror}; choose others by --pidfile and --logfile"
        ) from exc


def _stop(nodes: list[Node], number: signal.Signals, say: Any, waits: bool) -> None:
    running = {node.name: pid for node in nodes if (pid := node.pid()) is not None}
    for node in nodes:
        if node.name not in running:
            say(f"> {node.name}: DOWN")
    if running:
        say("> Stopping nodes...")
    for name, pid in running.items():
        say(f"\t> {name}: {number.name.removeprefix('SIG')} -> {pid}")
        os.kill(pid, number)
    while waits and running:
        for name, pid in list(running.items()):
            if not lives(pid):
                del running[name]
                say(f"\t> {name}: OK")
        time.sleep(_LOOKS_EVERY if running else 0)
