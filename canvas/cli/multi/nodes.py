"""The nodes that a line of ``canvas multi`` names, and the options of each, read as ``celery multi`` reads them."""

import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from canvas.errors import ConfigurationError
from canvas.worker.names import file_name, node_name

Options = dict[str, str | None]
"""Values by option, such as ``-c`` or ``--pidfile``; None for a flag."""
_GLOBAL = {"-A", "--app", "-b", "--broker", "--result-backend", "--config", "--workdir", "-C", "--no-color", "-q",
           "--quiet", "--skip-checks"}  # fmt: skip
"""Options that come before ``worker``."""
_OF_MULTI = ("--hostname", "-n", "--prefix", "--suffix", "--range-prefix", "--cmd", "--append")
_PID_FILE, _LOG_FILE = "/var/run/celery/%n.pid", "/var/log/celery/%n%I.log"
_RANGE = re.compile(r"(\d+)-(\d+)$")


@dataclass
class Line:
    """The words of a command line, apart from the command."""

    names: list[str] = field(default_factory=list)
    options: Options = field(default_factory=dict)
    of_nodes: dict[str, Options] = field(default_factory=dict)
    """Options such as ``-c:1-3``, by the nodes that they name."""
    rest: list[str] = field(default_factory=list)
    """The words from ``--`` on."""


def expanded(pattern: str, name: str) -> str:
    """A pattern of ``multi``: as ``file_name``, with the whole name of the node for ``%h``, as in Celery."""
    return file_name(pattern.replace("%h", name), name)


def parsed(words: Sequence[str]) -> Line:
    """Read a line. A short option takes the next word as its value, unless that is an option."""
    line, waiting = Line(), [word for word in words if word]
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            line.rest = [word, *waiting]
            break
        if not word.startswith("-"):
            line.names.append(word)
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            _enter(line, name, value if equals else None)
        else:
            takes = bool(waiting) and not waiting[0].startswith("-")
            _enter(line, word, waiting.pop(0) if takes else None)
    return line


def _enter(line: Line, name: str, value: str | None) -> None:
    option, colon, nodes = name.partition(":")
    target = line.of_nodes.setdefault(nodes, {}) if colon else line.options
    target[option] = value


@dataclass
class Node:
    """A worker to start or stop."""

    name: str
    options: Options
    rest: list[str]

    @property
    def pid_file(self) -> Path:
        return Path(self.path("--pidfile", _PID_FILE))

    @property
    def log_file(self) -> str:
        """The path of its log, which has ``%I`` where the processes of a pool have logs of their own."""
        return self.path("--logfile", self.options.get("-f") or _LOG_FILE)

    def path(self, option: str, default: str) -> str:
        """The path of an option, with its patterns expanded."""
        return expanded(os.path.expanduser(self.options.get(option) or default), self.name)

    @property
    def executable(self) -> str:
        return self.options.get("--executable") or sys.executable

    def command(self) -> list[str]:
        """The words that start it in the background."""
        given = {name: value for name, value in self.options.items() if name not in ("-n", "--hostname")}
        log = given.pop("--logfile", given.pop("-f", None)) or _LOG_FILE
        given |= {"--pidfile": str(self.pid_file), "--logfile": os.path.expanduser(log).replace("%h", self.name)}
        before = [word for name in given if name in _GLOBAL for word in _words(name, given[name])]
        own = [word for name in given if name not in _GLOBAL for word in _words(name, given[name])]
        program = [self.executable, "-m", "canvas"]
        return [*program, *before, "worker", "--detach", "-n", self.name, *own, *self.rest]

    def shown(self) -> str:
        """The command for people."""
        return shlex.join(self.command())

    def pid(self) -> int | None:
        """The id of its process, if it runs."""
        try:
            pid = int(self.pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if lives(pid) else None


def lives(pid: int) -> bool:
    """Whether this user has a process of this id."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _words(name: str, value: str | None) -> list[str]:
    if value is None:
        return [name]
    return [f"{name}={value}"] if name.startswith("--") else [name, value]


def nodes_of(line: Line) -> list[Node]:
    """The nodes of a line: its names, or ``celery1`` to ``celeryN`` for a number; none without either. Raises
    ConfigurationError."""
    options = dict(line.options)
    special = {name: options.pop(name, None) for name in _OF_MULTI}
    if special["--cmd"] or special["--append"]:
        raise ConfigurationError("canvas multi: --cmd and --append have no meaning; nodes are started by canvas worker")
    host = special["--hostname"] or special["-n"] or socket.gethostname()
    suffix = special["--suffix"] if special["--suffix"] is not None else host
    names, prefix = line.names, special["--prefix"] or ""
    if len(names) == 1 and names[0].isdecimal():
        names = [str(number) for number in range(1, int(names[0]) + 1)]
        prefix = special["--range-prefix"] or "celery"
    own = _own_options(line.of_nodes, names)
    found = []
    for name in names:
        whole = name if "@" in name else f"{prefix}{name}@{suffix.strip(chr(34) + chr(39)) or host}"
        node = node_name(whole)
        of_node = {**options, **own.get(name, {}), **own.get(node, {}), **own.get(node.partition("@")[0], {})}
        found.append(Node(node, of_node, line.rest))
    return found


def _own_options(of_nodes: Mapping[str, Options], names: Sequence[str]) -> dict[str, Options]:
    """The options of single nodes by name. Raises ConfigurationError for the number of a node that there is not."""
    found: dict[str, Options] = {}
    for which, options in of_nodes.items():
        for name in _named(which, names):
            found.setdefault(name, {}).update(options)
    return found


def _named(which: str, names: Sequence[str]) -> Iterator[str]:
    for part in which.split(","):
        bounds = _RANGE.match(part)
        if bounds is not None:
            numbers = range(int(bounds[1]), int(bounds[2]) + 1)
        elif part.isdecimal():
            numbers = range(int(part), int(part) + 1)
        else:
            yield part
            continue
        for number in numbers:
            if not 1 <= number <= len(names):
                raise ConfigurationError(f"canvas multi: :{which} names node {number}; there are {len(names)}, from 1")
            yield names[number - 1]
