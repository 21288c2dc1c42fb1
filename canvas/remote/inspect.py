"""Questions to workers, and how their answers are put together (protocol.md §6)."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from canvas.caller_warnings import DuplicateNodenameWarning, ends_in_caller, warn_caller
from canvas.context import current_app


class Broadcaster(Protocol):
    """Remote control, as far as questions need it."""

    def broadcast(
        self, command: str, arguments: dict[str, Any] | None = None, **options: Any
    ) -> list[dict[str, Any]]: ...


class ControlledApp(Protocol):
    """An app whose workers are asked."""

    @property
    def control(self) -> Broadcaster: ...


def by_node(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The answers of workers, by node.

    Where several workers have one name, their lists are joined; of other answers the last one stays. A
    DuplicateNodenameWarning names them.
    """
    found: dict[str, Any] = {}
    for answer in answers:
        for node, value in answer.items():
            known = found.get(node)
            if isinstance(known, list) and isinstance(value, list):
                found[node] = [*known, *value]
            elif value is not None or known is None:
                found[node] = value
    warn_of_duplicates(answers)
    return found


def warn_of_duplicates(answers: list[dict[str, Any]]) -> None:
    """Issue a DuplicateNodenameWarning when two of the answers come from nodes of one name."""
    names = Counter(node for answer in answers for node in answer)
    twice = sorted(node for node, count in names.items() if count > 1)
    if twice:
        text = f"several workers answer as {', '.join(twice)}: start each with a name of its own (canvas worker -n)"
        warn_caller(text, DuplicateNodenameWarning)


@ends_in_caller()
class Inspect:
    """Questions to workers; each answers ``{node: answer}``, or ``None`` when no worker answers."""

    app: ControlledApp | None = None

    def __init__(
        self,
        destination: list[str] | str | None = None,
        timeout: float = 1.0,
        callback: Callable[[dict[str, Any]], Any] | None = None,
        connection: Any = None,
        app: ControlledApp | None = None,
        limit: int | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        """Ask the workers of ``app`` (by default the current app) that ``destination`` or ``pattern`` names.

        ``timeout`` is in seconds. ``connection`` is Celery's, and not needed here.
        """
        self.app = app or self.app or current_app()
        self.destination = [destination] if isinstance(destination, str) else destination
        self.timeout, self.limit, self.callback = timeout, limit, callback
        self.pattern, self.matcher = pattern, matcher
        self.connection = connection

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "destination": self.destination, "timeout": self.timeout, "callback": self.callback,
            "pattern": self.pattern, "matcher": self.matcher, "limit": self.limit,
        }  # fmt: skip

    def _ask(self, command: str, **arguments: Any) -> dict[str, Any] | None:
        assert self.app is not None
        answers = self.app.control.broadcast(command, arguments, reply=True, **self._options)
        return by_node(answers) or None

    _request = _ask
    """By Celery's name: programs ask their own commands with it."""

    def ping(self, destination: list[str] | None = None) -> dict[str, Any] | None:
        if destination is not None:
            self.destination = destination
        return self._ask("ping")

    def hello(self, from_node: str, revoked: list[str] | None = None) -> dict[str, Any] | None:
        return self._ask("hello", from_node=from_node, revoked=revoked)

    def active(self, safe: bool | None = None) -> dict[str, Any] | None:
        return self._ask("active", **({} if safe is None else {"safe": safe}))

    def reserved(self, safe: bool | None = None) -> dict[str, Any] | None:
        return self._ask("reserved")

    def scheduled(self, safe: bool | None = None) -> dict[str, Any] | None:
        return self._ask("scheduled")

    def registered(self, *taskinfoitems: str) -> dict[str, Any] | None:
        return self._ask("registered", taskinfoitems=list(taskinfoitems))

    registered_tasks = registered

    def revoked(self) -> dict[str, Any] | None:
        return self._ask("revoked")

    def query_task(self, *ids: Any) -> dict[str, Any] | None:
        """Ids, or one list of them."""
        wanted = ids[0] if len(ids) == 1 and isinstance(ids[0], list | tuple) else ids
        return self._ask("query_task", ids=list(wanted))

    def active_queues(self) -> dict[str, Any] | None:
        return self._ask("active_queues")

    def conf(self, with_defaults: bool = False) -> dict[str, Any] | None:
        return self._ask("conf", with_defaults=with_defaults)

    def report(self) -> dict[str, Any] | None:
        return self._ask("report")

    def stats(self) -> dict[str, Any] | None:
        return self._ask("stats")

    def clock(self) -> dict[str, Any] | None:
        return self._ask("clock")

    def memdump(self, samples: int = 10) -> dict[str, Any] | None:
        return self._ask("memdump", samples=samples)

    def objgraph(self, type: str = "Request", n: int = 200, max_depth: int = 10) -> dict[str, Any] | None:
        return self._ask("objgraph", num=n, max_depth=max_depth, type=type)

    def memsample(self) -> dict[str, Any] | None:
        return self._ask("memsample")
