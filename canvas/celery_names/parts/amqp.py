"""``app.amqp``: queues and routes under Celery's names; producers and consumers where kombu is installed."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from canvas.app.application import Canvas
from canvas.app.connection import kombu_connection, kombu_pool, of_kombu
from canvas.celery_names.messages.task_messages import TaskMessages
from canvas.celery_names.utils.functional import maybe_list
from canvas.config.queue_forms import attributes_of, queue_of
from canvas.config.sources import imported
from canvas.errors import ConfigurationError
from canvas.model.queue import Binding, Exchange, Queue

_NO_KOMBU = (
    "{name}: expected kombu to be installed, and a broker that it knows: send tasks with task.apply_async or "
    "app.send_task, or install kombu"
)


def kombu_name(name: str) -> Any:
    """The object ``module:name`` of kombu, or the class that canvas has in its place. Raises ConfigurationError."""
    try:
        return of_kombu(name)
    except (ImportError, AttributeError):
        served = "canvas.celery_names.parts.queues"
        if name in ("kombu:Queue", "kombu:Exchange"):
            return imported(f"{served}:{name.partition(':')[2]}")
        raise ConfigurationError(_NO_KOMBU.format(name=name)) from None


def producer_pool(app: Canvas) -> Any:
    """``app.producer_pool``: producers of kombu for the app's broker. Raises ConfigurationError without kombu."""
    kombu_name("kombu.pools:producers")
    return kombu_pool("producers", app.amqp.connect())


class Queues(dict[str, Any]):
    """The queues of the settings by name or alias. A name that is not there is a queue of its own, unless
    ``task_create_missing_queues`` is off: then it raises KeyError."""

    def __init__(self, app: Canvas) -> None:
        self._app = app
        super().__init__({queue.name: kombu_queue(queue) for queue in app.router.consumed()})

    def __missing__(self, name: str) -> Any:
        known = self._app.router.aliased(name)
        if known != name:
            return self[known]
        if not self._app.router.creates_missing:
            raise KeyError(name)
        return kombu_queue(Queue(name).filled())

    @property
    def consume_from(self) -> dict[str, Any]:
        """The queues that a worker without ``-Q`` takes from."""
        return dict(self)

    def add(self, queue: Any, **options: Any) -> Any:
        """Add a queue to those of the app: a queue of kombu, or a name with ``exchange``, ``exchange_type`` and
        ``routing_key``."""
        found = queue_of({"name": queue, **options} if isinstance(queue, str) else queue)
        self._app.router.add(found)
        self[found.name] = kombu_queue(found.filled()) if isinstance(queue, str) else queue
        return self[found.name]

    def select_add(self, queue: Any, **options: Any) -> Any:
        """Add a queue, and have the worker of this process take from it, whatever ``-Q`` names; not later than in a
        receiver of ``celeryd_after_setup``."""
        added = self.add(queue, **options)
        self._app.router.selected.append(added.name)
        return added

    def select(self, include: Any) -> None:
        """Have workers take from these queues only, given by name."""
        self._app.select_queues(maybe_list(include))

    def deselect(self, exclude: Any) -> None:
        """Have workers not take from these queues, given by name."""
        excluded = set(maybe_list(exclude) or ())
        selected = [name for name in self._app.router.selected if name not in excluded]
        self._app.conf.task_queues = [queue for queue in self._app.router.consumed() if queue.name not in excluded]
        self._app.router.selected = selected
        for name in excluded:
            self.pop(name, None)


def kombu_queue(queue: Queue) -> Any:
    """A queue as kombu has it, or as canvas serves it in its place."""
    about = queue.declaration
    own = Exchange(
        queue.exchange, queue.exchange_type, about.exchange_durable, about.exchange_auto_delete,
        about.exchange_arguments, about.exchange_no_declare,
    )  # fmt: skip
    bindings = [_kombu_binding(way) for way in about.bindings]
    return kombu_name("kombu:Queue")(queue.name, _kombu_exchange(own), bindings=bindings, **attributes_of(queue))


def _kombu_exchange(exchange: Exchange) -> Any:
    return kombu_name("kombu:Exchange")(**exchange._asdict())


def _kombu_binding(way: Binding) -> Any:
    return kombu_name("kombu.entity:binding")(_kombu_exchange(way.exchange), way.routing_key, way.arguments)


class Router:
    """``app.amqp.router``: the addresses of calls."""

    def __init__(self, amqp: "AMQP") -> None:
        self._amqp = amqp
        self.queues = amqp.queues

    @property
    def routes(self) -> Any:
        """The setting ``task_routes``."""
        return self._amqp.app.conf.task_routes

    def route(
        self, options: Mapping[str, Any], name: str, args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None, task_type: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """``options`` with the ``queue`` that the call goes to, or with its ``exchange`` and ``routing_key``."""
        known = {key: value for key, value in options.items() if value is not None}
        found = {**self._amqp.app.router.looked_up(name, options, args, kwargs or {}), **known}
        queue = found.pop("queue", None)
        if queue is None and found.get("exchange"):
            return found
        named = self._amqp.default_queue if queue is None else self.queues[str(getattr(queue, "name", queue))]
        return {**found, "queue": named}


class AMQP(TaskMessages):
    """``app.amqp``."""

    @property
    def queues(self) -> Queues:
        """The queues of the settings, by name."""
        return Queues(self.app)

    @property
    def default_queue(self) -> Any:
        return self.queues[self.app.conf.task_default_queue]

    @cached_property
    def default_exchange(self) -> Any:
        conf = self.app.conf
        return kombu_name("kombu:Exchange")(conf.task_default_exchange, type=conf.task_default_exchange_type)

    @property
    def router(self) -> Router:
        return Router(self)

    def Router(self, queues: Any = None, create_missing: bool | None = None) -> Router:
        """The router; queues are those of the settings."""
        return self.router

    @property
    def routes(self) -> Any:
        """The setting ``task_routes``."""
        return self.app.conf.task_routes

    def flush_routes(self) -> None:
        """Nothing: routes follow the setting."""

    def connect(self) -> Any:
        """A connection of kombu to the app's broker. Raises ConfigurationError without kombu."""
        connection = kombu_connection(self.app.conf)
        if connection is None:
            raise ConfigurationError(_NO_KOMBU.format(name="app.amqp"))
        return connection

    @property
    def Connection(self) -> Any:
        """``kombu.Connection``. Raises ConfigurationError without kombu."""
        return kombu_name("kombu:Connection")

    BrokerConnection = Connection

    @property
    def Producer(self) -> Any:
        """``kombu.Producer``. Raises ConfigurationError without kombu."""
        return kombu_name("kombu:Producer")

    @property
    def Consumer(self) -> Any:
        """``kombu.Consumer``. Raises ConfigurationError without kombu."""
        return kombu_name("kombu:Consumer")

    @property
    def producer_pool(self) -> Any:
        return self.app.producer_pool

    publisher_pool = producer_pool

    def TaskConsumer(self, channel: Any, queues: Any = None, accept: Any = None, **options: Any) -> Any:
        """A consumer of kombu of the app's queues. Raises ConfigurationError without kombu."""
        accept = self.app.conf.accept_content if accept is None else accept
        return self.Consumer(channel, accept=accept, queues=queues or list(self.queues.values()), **options)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"app.amqp of canvas has no {name!r}: send with task.apply_async, app.send_task or "
            "app.amqp.send_task_message, and see a message before it is sent with the signal before_task_publish"
        )
