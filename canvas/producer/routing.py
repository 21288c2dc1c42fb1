"""Where a message goes: task name and options → exchange, routing key. Pure.

Sources: protocol.md §1.7; Celery's ``task_routes``, ``task_queues`` and ``task_default_*``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeAlias

from canvas.config.queue_forms import of_type, queue_of, queues_of
from canvas.errors import ConfigurationError, QueueNotFound
from canvas.model.queue import DEFAULT_EXCHANGE, Queue
from canvas.primitives.misuse import warn_of_call_options

if TYPE_CHECKING:
    from canvas.config.config import Config

RouteFunction: TypeAlias = Callable[..., Any]
_ADDRESS = ("queue", "exchange", "routing_key", "exchange_type")


@dataclass(slots=True)
class Route:
    """The address of a message; exchange ``""`` is the queue named by the routing key."""

    exchange: str
    routing_key: str
    priority: int | None = None
    queue: Queue | None = field(default=None, compare=False)
    """The queue that the call was routed to, which its broker makes where it does not exist."""


class Router:
    """The routing table of an app."""

    def __init__(
        self,
        *,
        routes: Any = None,
        queues: Any = None,
        default_queue: str = "celery",
        default_exchange: str | None = None,
        default_exchange_type: str = "direct",
        default_routing_key: str | None = None,
        create_missing: bool = True,
        default_queue_type: str = "classic",
        missing_queue_type: str | None = None,
        missing_exchange_type: str | None = None,
        max_priority: int | None = None,
    ) -> None:
        self._missing = Queue("", "", "", missing_exchange_type or "direct", of_type(missing_queue_type))
        self._max_priority = max_priority
        self._default_name = default_queue
        self.creates_missing = create_missing
        """Whether a queue that is not configured is made when it is used."""
        self._behind = (default_exchange or default_queue, default_exchange_type, default_routing_key or default_queue)
        self._queues = {queue.name: self._ranked(self._bound_by_default(queue)) for queue in queues_of(queues)}
        self._aliases = {one.declaration.alias: one.name for one in self._queues.values() if one.declaration.alias}
        if default_queue not in self._queues and not self._queues:
            kind = of_type(default_queue_type)
            own = Queue(default_queue, default_exchange or "", default_routing_key or "", default_exchange_type, kind)
            self._queues[default_queue] = self._ranked(own)
        self.tasks: Mapping[str, Any] = {}
        """The value that router functions get as ``task``, by name."""
        self._routes = _compiled(routes)
        self.routes_by_name = all(isinstance(entry, Mapping) for entry in _listed(routes))
        """Whether a call's route depends on its task and its options alone, not on its arguments."""
        self._default: Route | None = None
        self.selected: list[str] = []
        """Queues that workers take from, whatever their options name."""
        self.version = 0
        """Counts the queues that were added: addresses that were found before may be others now."""

    def add(self, queue: Queue) -> None:
        """Have one queue more, or another under its name."""
        self._queues[queue.name] = queue
        if queue.declaration.alias:
            self._aliases[queue.declaration.alias] = queue.name
        self._default = None
        self.version += 1

    def route(
        self,
        name: str,
        options: Mapping[str, Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Route:
        """The address of a call. Options of the call win over routes, routes over defaults.

        Raises ConfigurationError for a queue that is not configured, with ``task_create_missing_queues`` off.
        """
        given: dict[str, Any] = {}
        for key in _ADDRESS:
            if options.get(key):
                given[key] = options[key]
        if self._routes:
            given = {**self.looked_up(name, options, args, kwargs or {}), **given}
        if given:
            return self.address(given)
        if self._default is None:
            self._default = self.address({})
        return self._default

    def consumed(self, select: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Queue]:
        """The queues a worker takes from: those selected, or all configured, except for those excluded."""
        names = list(select) or list(self._queues)
        excluded = {self.aliased(name) for name in exclude}
        return [self._queue(name).filled() for name in names if self.aliased(name) not in excluded]

    def aliased(self, name: str) -> str:
        """The name of the queue that has this name or alias."""
        return self._aliases.get(name, name)

    def address(self, given: Mapping[str, Any]) -> Route:
        """The address that ``queue``, ``exchange``, ``routing_key`` and ``exchange_type`` give, without routes.

        As in ``Celery.amqp.send_task_message``: if the exchange of the queue is direct, the message goes to the queue
        unless both an exchange and a routing key are given.
        """
        priority = given.get("priority")
        exchange, routing_key = given.get("exchange"), given.get("routing_key")
        exchange = getattr(exchange, "name", exchange)
        queue = given.get("queue")
        if not queue:
            found = (exchange and routing_key and self._bound(exchange, routing_key)) or self._default_queue()
        elif isinstance(queue, str):
            found = self._queue(queue)
        else:
            given_queue = queue_of(queue)
            found = self._queues.get(given_queue.name, given_queue)
        if (given.get("exchange_type") or found.exchange_type) == "direct" and not (exchange and routing_key):
            return Route("", found.name, priority, found)
        if exchange:
            return Route(exchange, routing_key or "", priority, found)
        filled = found.filled()
        return Route(filled.exchange, routing_key or filled.routing_key, priority, found)

    def _bound(self, exchange: str, routing_key: str) -> Queue | None:
        """The first configured queue that an exchange gives a message to: sending makes it, where no worker has."""
        return next((queue.filled() for queue in self._queues.values() if queue.takes(exchange, routing_key)), None)

    def _default_queue(self) -> Queue:
        name = self._default_name
        if name in self._queues or self.creates_missing:
            return self._queue(name)
        raise QueueNotFound(
            f"queue {name!r}, the task_default_queue, is not in task_queues ({', '.join(self._queues)}), and "
            "task_create_missing_queues is off: name a queue in the call or in task_routes, or set task_default_queue"
        )

    def _queue(self, name: str) -> Queue:
        queue = self._queues.get(self.aliased(name))
        if queue is None:
            if not self.creates_missing:
                raise QueueNotFound(
                    f"queue {name!r} is not in task_queues ({', '.join(self._queues)}), "
                    "and task_create_missing_queues is off"
                )
            queue = self._ranked(self._missing._replace(name=name))
        return queue

    def _bound_by_default(self, queue: Queue) -> Queue:
        """With the default exchange and routing key, where the queue has none of its own, as in Celery."""
        exchange, exchange_type, routing_key = self._behind
        if not queue.exchange:
            about = queue.declaration._replace(**DEFAULT_EXCHANGE)
            queue = queue._replace(exchange=exchange, exchange_type=exchange_type, declaration=about)
        return queue if queue.routing_key else queue._replace(routing_key=routing_key)

    def _ranked(self, queue: Queue) -> Queue:
        """With the priorities of ``task_queue_max_priority``, where it has none of its own."""
        if self._max_priority is None or "x-max-priority" in (queue.arguments or {}):
            return queue
        return queue._replace(arguments={**(queue.arguments or {}), "x-max-priority": self._max_priority})

    def looked_up(
        self, name: str, options: Mapping[str, Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        for find in self._routes:
            found = find(name, args, kwargs, options, self.tasks.get(name))
            if found:
                return {"queue": found} if isinstance(found, str) else dict(found)
        return {}


def _compiled(routes: Any) -> list[RouteFunction]:
    return [_router(entry) for entry in _listed(routes)]


def _listed(routes: Any) -> Sequence[Any]:
    if not routes:
        return ()
    return routes if isinstance(routes, list | tuple) else [routes]


def _router(entry: Any) -> RouteFunction:
    if isinstance(entry, str):
        return _named(entry)
    if isinstance(entry, Mapping):
        return _table(entry.items())
    if isinstance(entry, list | tuple):
        return _table(entry)
    if hasattr(entry, "route_for_task"):
        return lambda name, args, kwargs, options, task: entry.route_for_task(name, args, kwargs)
    if callable(entry):
        return _called(entry)
    raise ConfigurationError(f"task_routes: expected a mapping, a list or a function; got {entry!r:.100}")


def _called(function: RouteFunction) -> RouteFunction:
    """Celery gives routers the task, too; those that take no such argument do without."""
    try:
        parameters = list(signature(function).parameters.values())
    except (TypeError, ValueError):  # some of C's have none
        parameters = []
    named = {one.name for one in parameters[4:] if one.kind is not one.POSITIONAL_ONLY}
    takes_task = "task" in named or any(one.kind is one.VAR_KEYWORD for one in parameters)

    def find(name: str, args: Any, kwargs: Any, options: Any, task: Any) -> Any:
        about = {"task": task} if takes_task else {}
        return function(name, args, kwargs, dict(options), **about)

    return find


def _named(path: str) -> RouteFunction:
    """The router that a dotted name stands for; imported when it is first asked, for it may import the app."""
    module, _, attribute = path.replace(":", ".").rpartition(".")
    found: list[RouteFunction] = []

    def find(name: str, args: Any, kwargs: Any, options: Any, task: Any) -> Any:
        if not found:
            try:
                entry = getattr(import_module(module), attribute)
            except (ImportError, AttributeError, ValueError) as exc:
                raise ConfigurationError(f"task_routes: {path!r} cannot be imported: {exc}") from exc
            found.append(_router(entry() if isinstance(entry, type) else entry))
        return found[0](name, args, kwargs, options, task)

    return find


def _table(pairs: Any) -> RouteFunction:
    exact: dict[str, Any] = {}
    patterns: list[tuple[re.Pattern[str], Any]] = []
    for pair in pairs:
        if isinstance(pair, str) or not (isinstance(pair, Sequence) and len(pair) == 2 and _is_pattern(pair[0])):
            raise ConfigurationError(
                f"task_routes: expected pairs of a task's name or pattern and its route; got {pair!r:.100}: write "
                '{"proj.tasks.*": {"queue": "name"}}, or a list of such mappings, of lists of pairs, or of functions'
            )
        key, target = pair
        if target is not None and not isinstance(target, str | Mapping | list | tuple):
            raise ConfigurationError(
                f"task_routes: {key}: expected a queue's name or a mapping of options; got {target!r:.100}"
            )
        if isinstance(target, Mapping):
            warn_of_call_options(f"task_routes: {key if isinstance(key, str) else key.pattern}", target)
        if isinstance(key, re.Pattern):
            patterns.append((key, target))
        elif "*" in key or "?" in key:
            from fnmatch import translate  # imported late: most routes name tasks

            patterns.append((re.compile(translate(key)), target))
        else:
            exact[key] = target

    def find(name: str, args: Any, kwargs: Any, options: Any, task: Any) -> Any:
        if name in exact:
            return exact[name]
        return next((target for pattern, target in patterns if pattern.match(name)), None)

    return find


def _is_pattern(key: Any) -> bool:
    return isinstance(key, str | re.Pattern)


def router_of(conf: "Config") -> Router:
    """The routing table that settings describe."""
    return Router(
        routes=conf.task_routes,
        queues=conf.task_queues,
        default_queue=conf.task_default_queue,
        default_exchange=conf["task_default_exchange"],
        default_exchange_type=conf.task_default_exchange_type,
        default_routing_key=conf["task_default_routing_key"],
        create_missing=conf.task_create_missing_queues,
        default_queue_type=conf.task_default_queue_type,
        missing_queue_type=conf.task_create_missing_queue_type,
        missing_exchange_type=conf.task_create_missing_queue_exchange_type,
        max_priority=conf.task_queue_max_priority,
    )
