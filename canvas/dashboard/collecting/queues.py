"""The queues as the broker shows them: lengths, dead letters, and how long the next message has waited."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from canvas.app.application import Canvas
from canvas.app.broker_address import broker_address
from canvas.dashboard.collecting.flows import Flows
from canvas.drivers.amqp.url import SCHEMES, parse
from canvas.drivers.ports.results import RefusingStore
from canvas.drivers.stored_messages import task_id_of
from canvas.errors import RefusedError
from canvas.remote.cluster_entries import Task

_QUEUES = 200
"""Queues that are read at most."""
_QUEUES_NOTED = 100
"""Queues that are noted at most, because a message was sent to them or is in them."""


@dataclass(slots=True)
class QueueState:
    """A queue at one moment."""

    name: str
    waiting: int
    dead: int
    change: float
    """By how many messages a second it grows; below 0: shrinks."""
    incoming: float | None
    """Messages a second that are sent to it; ``None`` where that is not known."""
    outgoing: float | None
    """Messages a second that workers receive from it; ``None`` where that is not known."""
    oldest: float | None
    """Seconds that the next message has waited; ``None`` where that is not known."""
    oldest_at_least: bool
    """Whether it may have waited for longer: no event says when it was sent."""
    consumers: list[str]
    """The workers that consume it."""

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class Queues:
    """Reads the queues of an app, those that its workers consume, and others that hold messages."""

    def __init__(self, app: Canvas, flows: Flows) -> None:
        self._app = app
        self._flows = flows
        self.states: dict[str, QueueState] = {}
        self.in_flight: dict[str, int] = {}
        self._first_seen: dict[str, tuple[str, float]] = {}
        """By queue, the id of its next message, and when it was first seen there."""
        self._noted: dict[str, None] = {}

    def note(self, queue: Any) -> None:
        """Note a queue that the broker has or that an event names: it may have no consumer."""
        if isinstance(queue, str) and len(self._noted) < _QUEUES_NOTED:
            self._noted[queue] = None

    def note_all(self, queues: Iterable[str]) -> None:
        """Note queues that the broker has."""
        for queue in queues:
            self.note(queue)

    def look(self, consumers: dict[str, list[str]], sent_at: "TimesOfSending") -> None:
        """Read all queues. ``consumers``: workers by the queues that they consume. Raises BrokerError."""
        admin = self._app.driver.admin
        self.note_all(admin.find_queues())
        names = dict.fromkeys(
            [*(queue.name for queue in self._app.router.consumed()), *sorted(consumers), *list(self._noted)]
        )
        found = {}
        for name in list(names)[:_QUEUES]:
            try:
                waiting, now = admin.queue_length(name), time.time()
            except RefusedError:
                if self._noted.pop(name, "") is not None:
                    raise
                continue  # an event may name anything, and this is no queue
            change, incoming, outgoing, oldest = self._flows.look(name, waiting, now)
            at_least = True
            if waiting and (seen := self._oldest(name, now, sent_at)) is not None:
                oldest, at_least = seen
            dead = admin.dead_letter_count(name)
            found[name] = QueueState(
                name, waiting, dead, change, incoming, outgoing, oldest, at_least, consumers.get(name, [])
            )  # fmt: skip
        self.in_flight = admin.in_flight()._asdict()
        self._flows.forget_all_but(found)
        for name in self._first_seen.keys() - found.keys():
            del self._first_seen[name]
        self.states = found

    def _oldest(self, name: str, now: float, sent_at: "TimesOfSending") -> tuple[float, bool] | None:
        """Seconds for which the next message has waited, and whether it may be longer."""
        codec = self._app.driver.broker.codec
        ids = [task_id_of(codec, payload) for payload in self._app.driver.admin.next_messages(name)]
        if not ids:
            return None
        first = str(ids[-1])
        known = self._first_seen.get(name)
        if known is None or known[0] != first:
            self._first_seen[name] = known = first, now
        times = [at for task_id in ids if task_id is not None and (at := sent_at(task_id)) is not None]
        if not times and known[1] == now:
            return None
        return max(0.0, now - min([*times, known[1]])), not times

    def samples(self) -> dict[str, float]:
        """The values that charts show over time."""
        states = list(self.states.values())
        return {
            "waiting": float(sum(one.waiting for one in states)),
            "dead": float(sum(one.dead for one in states)),
            **{f"queue:{one.name}": float(one.waiting) for one in states},
        }


class TimesOfSending:
    """When tasks were sent, as far as events say so."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def __call__(self, task_id: str) -> float | None:
        found: Task | None = self._task(task_id)
        sent = None if found is None else found.sent
        return float(sent) if isinstance(sent, int | float) else None


def refusals(app: Canvas) -> dict[str, str]:
    """The error messages of servers that store nothing now, for ``messages`` and for ``results``. Raises
    BrokerError."""
    results = app.driver.results
    found = {
        "messages": app.driver.admin.refusal(),
        "results": results.refusal() if isinstance(results, RefusingStore) else None,
    }
    return {what: words for what, words in found.items() if words is not None}


def listing_of(app: Canvas, broker_api: str | None) -> Callable[[], list[str]] | None:
    """A function that lists the queues that hold messages by RabbitMQ's management API; ``None`` without the API's URL,
    and with other brokers. Raises ConfigurationError."""
    address = broker_address(app.conf)
    if not broker_api or address.partition("://")[0] not in SCHEMES:
        return None
    from canvas.drivers.amqp.management import ManagementApi  # imported late: it needs py-amqp

    return partial(ManagementApi(broker_api).find_queues, parse(address, {})[0].vhost)


def consumers_of(inspected: Iterable[tuple[str, Any]]) -> dict[str, list[str]]:
    """Workers by queue, from the answers of workers to ``active_queues``."""
    found: dict[str, list[str]] = {}
    for worker, queues in inspected:
        for queue in queues if isinstance(queues, list) else ():
            if isinstance(queue, dict) and isinstance(queue.get("name"), str):
                found.setdefault(queue["name"], []).append(worker)
    return found
