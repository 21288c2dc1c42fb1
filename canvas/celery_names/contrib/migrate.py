"""``celery.contrib.migrate``: moves waiting messages to other queues or brokers, over kombu.

Tasks with an eta wait outside of their queue, where these functions do not look: ``canvas migrate`` moves them too.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from canvas.celery_names.parts.amqp import kombu_name, kombu_queue
from canvas.celery_names.parts.apps import app_or_default
from canvas.celery_names.utils.nodenames import worker_direct
from canvas.celery_names.utils.text import str_to_list
from canvas.model.queue import Queue

if TYPE_CHECKING:
    from canvas.app.application import Canvas

_NOT_COPIED = ("application_headers", "content_type", "content_encoding", "headers")


class StopFiltering(Exception):
    """Raised by a callback that ends the call."""


class State:
    """The progress of a call."""

    count = 0
    """Messages that were read."""
    filtered = 0
    """Messages that were moved."""
    total_apx = 0
    """Messages in the queues when it began."""

    @property
    def strtotal(self) -> str:
        """``total_apx``, or ``?`` where it is 0."""
        return str(self.total_apx or "?")

    def __repr__(self) -> str:
        return f"^{self.filtered}" if self.filtered else f"{self.count}/{self.strtotal}"


def republish(
    producer: Any, message: Any, exchange: Any = None, routing_key: str | None = None,
    remove_props: Iterable[str] | None = None,
) -> None:  # fmt: skip
    """Send a message again, by default to where it came from.

    ``producer`` and ``message`` are kombu's. ``remove_props``: properties that are not copied.
    """
    info, headers, properties = message.delivery_info, message.headers, message.properties
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    milliseconds = properties.pop("expiration", None)
    for name in remove_props or _NOT_COPIED:
        properties.pop(name, None)
    producer.publish(
        body, exchange=info["exchange"] if exchange is None else exchange,
        routing_key=info["routing_key"] if routing_key is None else routing_key,
        compression=headers.pop("compression", None), headers=headers, content_type=message.content_type,
        content_encoding=message.content_encoding,
        expiration=None if milliseconds is None else float(milliseconds) / 1000, **properties,
    )  # fmt: skip


def migrate_task(producer: Any, body_: Any, message: Any, queues: Mapping[str, str] | None = None) -> None:
    """Send a message to the queue that ``queues`` names for its own, else to one of the same name."""
    info, names = message.delivery_info, queues or {}
    republish(producer, message, names.get(info["exchange"]), names.get(info["routing_key"]))


def filter_callback(callback: Callable[[Any, Any], Any], tasks: Iterable[str]) -> Callable[[Any, Any], Any]:
    """``callback`` for messages of ``tasks`` alone; for all, if there are none."""

    def filtered(body: Any, message: Any) -> Any:
        return callback(body, message) if not tasks or _field(body, message, "task") in tasks else None

    return filtered


def _field(body: Any, message: Any, name: str) -> Any:
    """The name or id of a message's task: in protocol 2 it is a header."""
    return body[name] if isinstance(body, Mapping) else message.headers[name]


def migrate_tasks(
    source: Any, dest: Any, migrate: Callable[..., Any] = migrate_task, app: "Canvas | None" = None,
    queues: Any = None, **kwargs: Any,
) -> State:  # fmt: skip
    """Copy the messages of a broker to another; with ``ack_messages``, move them.

    ``source`` and ``dest`` are connections of kombu, ``queues`` is an argument of ``prepare_queues``, and further
    arguments are those of ``start_filter``.
    """
    app, names = app_or_default(app), prepare_queues(queues)
    producer = app.amqp.Producer(dest, auto_declare=False)

    def declare(queue: Any) -> None:
        copy, name = queue(producer.channel), names.get(queue.name, queue.name)
        copy.name = name
        if copy.routing_key == queue.name:
            copy.routing_key = name
        if copy.exchange.name == queue.name:
            copy.exchange.name = name
        copy.declare()

    each = partial(migrate, producer, queues=names)
    return start_filter(app, source, each, queues=names, on_declare_queue=declare, **kwargs)


def move(
    predicate: Callable[[Any, Any], Any], connection: Any = None, exchange: Any = None,
    routing_key: str | None = None, source: Iterable[Any] | None = None, app: "Canvas | None" = None,
    callback: Callable[[State, Any, Any], Any] | None = None, limit: int | None = None,
    transform: Callable[[Any], Any] | None = None, **kwargs: Any,
) -> State:  # fmt: skip
    """Move the messages that ``predicate(body, message)`` is true for.

    It returns a queue of kombu, a pair of exchange and routing key, or another true value for those given here.
    ``transform`` changes the value that it returned. ``source``: queues, or their names; by default those of the app.
    ``callback(state, body, message)`` is called after each move, of which there are at most ``limit``; its state counts
    the moves, and the state that is returned counts the messages. Further arguments are those of ``start_filter``.
    Raises ConfigurationError without kombu.
    """
    app = app_or_default(app)
    given: AbstractContextManager[Any] = app.amqp.connect() if connection is None else nullcontext(connection)
    with given as conn:
        producer, state, kind = app.amqp.Producer(conn), State(), kombu_name("kombu:Queue")

        def on_task(body: Any, message: Any) -> None:
            found = predicate(body, message)
            if not found:
                return
            found = transform(found) if transform else found
            found = kombu_queue(found) if isinstance(found, Queue) else found
            if isinstance(found, kind):
                found(conn.default_channel).declare()
                place = found.exchange.name, found.routing_key
            else:
                place = expand_dest(found, exchange, routing_key)
            republish(producer, message, *place)
            message.ack()
            state.filtered += 1
            if callback:
                callback(state, body, message)
            if limit and state.filtered >= limit:
                raise StopFiltering

        return start_filter(app, conn, on_task, consume_from=list(source or ()), **kwargs)


def expand_dest(ret: Any, exchange: Any, routing_key: str | None) -> tuple[Any, Any]:
    """The pair that ``ret`` is, else ``exchange`` and ``routing_key``."""
    try:
        first, second = ret
    except (TypeError, ValueError):
        return exchange, routing_key
    return first, second


def task_id_eq(task_id: str, body: Any, message: Any) -> bool:
    """Whether a message is that of the task with this id."""
    return bool(_field(body, message, "id") == task_id)


def task_id_in(ids: Iterable[str], body: Any, message: Any) -> bool:
    """Whether a message is that of a task with one of these ids."""
    return _field(body, message, "id") in ids


def prepare_queues(queues: Any) -> dict[str, str]:
    """New names of queues by their old ones, of ``"old:new,same"``, of a list of such words, or of a mapping."""
    words = queues.split(",") if isinstance(queues, str) else queues
    if not isinstance(words, list):
        return words or {}
    pairs = [word.split(":") for word in words]
    return {pair[0]: pair[-1] for pair in pairs}


class Filterer:
    """Reads the messages of queues; ``start_filter`` describes the arguments."""

    def __init__(
        self, app: "Canvas", conn: Any, filter: Callable[[Any, Any], Any], limit: int | None = None,
        timeout: float = 1.0, ack_messages: bool = False, tasks: Any = None, queues: Any = None,
        callback: Callable[[State, Any, Any], Any] | None = None, forever: bool = False,
        on_declare_queue: Callable[[Any], Any] | None = None, consume_from: Iterable[Any] | None = None,
        state: State | None = None, accept: Any = None, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.app, self.conn, self.limit, self.timeout, self.forever = app, conn, limit, timeout, forever
        self.queues = prepare_queues(queues)
        self.state = state or State()
        self._declare, self._accept = on_declare_queue, accept
        names = consume_from or list(self.queues)
        self.consume_from = [app.amqp.queues[one] if isinstance(one, str) else one for one in names]
        steps: list[Callable[[Any, Any], Any]] = [filter, self.update_state]
        if ack_messages:
            steps.append(lambda body, message: message.ack())
        if callback is not None:
            steps.append(partial(callback, self.state))
        chosen = set(str_to_list(tasks) or ())
        self._steps = [filter_callback(step, chosen) for step in steps]

    def start(self) -> State:
        """Read messages until there are none for ``timeout`` seconds, or a callback raises StopFiltering."""
        consumer = self.app.amqp.TaskConsumer(self.conn, queues=self.consume_from, accept=self._accept)
        for step in self._steps:
            consumer.register_callback(step)
        self._declare_queues(consumer)
        with consumer, suppress(StopFiltering):
            while True:
                try:
                    self.conn.drain_events(timeout=self.timeout)
                except TimeoutError:
                    if not self.forever:
                        break
        return self.state

    def update_state(self, body: Any, message: Any) -> None:
        """Count a message. Raises StopFiltering at the limit."""
        self.state.count += 1
        if self.limit and self.state.count >= self.limit:
            raise StopFiltering

    def _declare_queues(self, consumer: Any) -> None:
        for queue in consumer.queues:
            if self.queues and queue.name not in self.queues:
                continue
            if self._declare is not None:
                self._declare(queue)
            with suppress(*self.conn.channel_errors):
                self.state.total_apx += queue(consumer.channel).queue_declare(passive=True).message_count


def start_filter(
    app: "Canvas", conn: Any, filter: Callable[[Any, Any], Any], limit: int | None = None, timeout: float = 1.0,
    ack_messages: bool = False, tasks: Any = None, queues: Any = None,
    callback: Callable[[State, Any, Any], Any] | None = None, forever: bool = False,
    on_declare_queue: Callable[[Any], Any] | None = None, consume_from: Iterable[Any] | None = None,
    state: State | None = None, accept: Any = None, **kwargs: Any,
) -> State:  # fmt: skip
    """Call ``filter(body, message)`` with each message of queues; messages that it does not ack go back.

    Args:
        app: The app.
        conn: A connection of kombu.
        filter: Called with each message; it may ack it, and may raise StopFiltering.
        limit: The number of messages to look at. Default: all.
        timeout: The seconds without a message after which it ends.
        ack_messages: Whether every message is acked.
        tasks: Names of tasks, or text with commas: other messages are left.
        queues: The queues, as ``prepare_queues`` takes them. Default: those of the app.
        callback: Called with the state and each message.
        forever: Whether it goes on without messages.
        on_declare_queue: Called with each queue at the start.
        consume_from: Queues, or their names, in place of ``queues``.
        state: The state that counts.
        accept: The content types that are read. Default: the setting ``accept_content``.
    """
    return Filterer(
        app, conn, filter, limit, timeout, ack_messages, tasks, queues, callback, forever, on_declare_queue,
        consume_from, state, accept, **kwargs,
    ).start()  # fmt: skip


def move_task_by_id(task_id: str, dest: Any, **kwargs: Any) -> State:
    """Move the message of a task to a queue of kombu; options as those of ``move``."""
    return move_by_idmap({task_id: dest}, **kwargs)


def move_by_idmap(map: Mapping[str, Any], **kwargs: Any) -> State:
    """Move the messages of tasks to queues of kombu, given by the tasks' ids; options as those of ``move``."""
    return move(lambda body, message: map.get(message.properties["correlation_id"]), limit=len(map), **kwargs)


def move_by_taskmap(map: Mapping[str, Any], **kwargs: Any) -> State:
    """Move the messages of tasks to queues of kombu, given by the tasks' names; options as those of ``move``."""
    return move(lambda body, message: map.get(_field(body, message, "task")), **kwargs)


def filter_status(state: State, body: Any, message: Any, **kwargs: Any) -> None:
    """A callback that prints the progress."""
    task, task_id = _field(body, message, "task"), _field(body, message, "id")
    sys.stdout.write(f"Moving task {state.filtered}/{state.strtotal}: {task}[{task_id}]\n")


move_direct = partial(move, transform=worker_direct)
move_direct_by_id = partial(move_task_by_id, transform=worker_direct)
move_direct_by_idmap = partial(move_by_idmap, transform=worker_direct)
move_direct_by_taskmap = partial(move_by_taskmap, transform=worker_direct)
