"""Remote control commands of users, made with ``@control_command`` and ``@inspect_command`` as in Celery."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from canvas.app.application import Canvas
from canvas.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])


class UserCommand(NamedTuple):
    """A command: its function, and how the command line reads its arguments."""

    name: str
    kind: str
    """``control`` or ``inspect``."""
    function: Callable[..., Any]
    arguments: tuple[tuple[str, Callable[[str], Any]], ...] = ()
    """Names, and functions that make the value from its text."""
    variadic: str | None = None
    """The argument that takes the rest of the line as a list."""
    signature: str = ""
    help: str = ""

    def named(self, given: Sequence[str]) -> dict[str, Any]:
        """Words of the command line as arguments by name. Raises ConfigurationError for words that do not fit."""
        if len(given) > len(self.arguments) and self.variadic is None:
            raise ConfigurationError(f"{self.name} takes {len(self.arguments)} arguments; got {' '.join(given)}")
        found: dict[str, Any] = {}
        for (name, read), word in zip(self.arguments, given, strict=False):
            try:
                found[name] = read(word)
            except (TypeError, ValueError) as exc:
                raise ConfigurationError(f"{self.name}: {name}: {exc}") from exc
        if self.variadic is not None:
            found[self.variadic] = list(given[len(self.arguments) :])
        return found


class CommandState:
    """The first argument of a command: the node that runs it."""

    def __init__(self, app: Canvas, hostname: str, consumer: Any) -> None:
        """``consumer``: the worker as bootsteps see it, with its ``controller``, ``pool`` and ``timer``."""
        self.app = app
        self.hostname = hostname
        self.consumer = consumer

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the state of a remote control command has app, hostname and consumer; it has no {name!r}: "
            "app.control controls workers, and app.control.inspect() reports on them"
        )


_registered: dict[str, UserCommand] = {}


def control_command(function: Any = None, **options: Any) -> Any:
    """Register a function as a command that changes something; it gets the node's state, then the call's arguments.

    ``name``, ``alias``: its names, by default the function's. ``args``: pairs of name and type for the command line;
    ``variadic``: the argument that takes the other words; ``signature``, ``help``: texts for ``canvas control --list``.
    The worker replies with the value that the function returns. Raises ConfigurationError for a function that cannot
    be called.
    """
    return _register("control", function, options)


def inspect_command(function: Any = None, **options: Any) -> Any:
    """Register a function as a command that reports something; see ``control_command``."""
    return _register("inspect", function, options)


class Panel:
    """The commands of users, by an older name: ``@Panel.register`` is ``@control_command``."""

    data: dict[str, Callable[..., Any]] = {}
    """The functions by name."""

    @staticmethod
    def register(function: Any = None, type: str = "control", **options: Any) -> Any:
        """Register a function as a command; ``type``: ``control`` or ``inspect``."""
        return _register(type, function, options)


def find_command(name: str) -> UserCommand | None:
    """The command that a program registered under ``name``."""
    return _registered.get(name)


def commands_of(kind: str) -> dict[str, UserCommand]:
    """The commands of a kind, ``control`` or ``inspect``, by name."""
    return {name: one for name, one in _registered.items() if one.kind == kind}


def _register(kind: str, function: Any, options: dict[str, Any]) -> Any:
    def add(function: F) -> F:
        if not callable(function):
            raise ConfigurationError(f"@{kind}_command: expected a function; got {function!r:.100}")
        name = str(options.get("name") or getattr(function, "__name__", ""))
        text = options.get("help") or (function.__doc__ or "").strip().partition("\n")[0]
        command = UserCommand(
            name, kind, function, tuple(options.get("args") or ()), options.get("variadic"),
            options.get("signature") or "", text,
        )  # fmt: skip
        for key in filter(None, (name, options.get("alias"))):
            _registered[str(key)] = command
            Panel.data[str(key)] = function
        return function

    return add if function is None else add(function)
