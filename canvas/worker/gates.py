"""What a message must pass before its task runs: its rate, a place under its concurrency key, its lock.

Whoever must wait, waits in the broker: deferred to its turn, or parked until a place is free. No slot waits with it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from canvas.config import Config
from canvas.drivers.base import Broker
from canvas.model.message import Delivery, Message, Publish
from canvas.model.outcome import Failure, Outcome, Rejected, Replaced, Retried
from canvas.model.settlement import Deferral, Lock, Settlement
from canvas.task import Task
from canvas.turns import concurrency_key, interval, unique_key
from canvas.wire import message as wire

Persist = Callable[[Callable[[], Any]], Any]


class Gates:
    """The gates of one node's processes."""

    def __init__(self, broker: Broker, conf: Config, hostname: str, persist: Persist) -> None:
        """``persist`` repeats a call until the broker takes it."""
        self._broker = broker
        self._hostname = hostname
        self._persist = persist
        self._conf = conf

    def bind(self, task: Task[Any]) -> bool:
        """Whether messages of this task may have to wait."""
        return bool(task.rate_limit or task.concurrency_limit)

    def hold_back(self, delivery: Delivery, message: Message, task: Task[Any]) -> Settlement | None:
        """What becomes of a message that may not run yet; ``None`` when it may."""
        if task.rate_limit and not self._conf.worker_disable_rate_limits:
            deferred = self._until_its_turn(delivery, message, task)
            if deferred is not None:
                return deferred
        if task.concurrency_limit:
            key, limit = self._key(concurrency_key, task, message), task.concurrency_limit
            if key is not None and not self._persist(lambda: self._broker.hold(key, limit, delivery)):
                # Its lease is gone: parked, or somebody else's.
                return Settlement(delivery, fence="none")
        return None

    def _until_its_turn(self, delivery: Delivery, message: Message, task: Task[Any]) -> Settlement | None:
        rate = str(task.rate_limit)
        if message.headers.get("canvas_rate") == rate:
            return None
        every = interval(task.rate_limit)
        if not every:
            return None
        scope = task.name if task.rate_limit_scope == "global" else f"{self._hostname}:{task.name}"
        due = self._persist(lambda: self._broker.reserve(scope, every))
        if not due:
            return None
        payload = wire.with_headers(delivery.payload, canvas_rate=rate)
        publish = Publish("", delivery.queue, message.properties.get("priority") or 0, payload)
        return Settlement(delivery, deferrals=[Deferral(due, publish)])

    def at_start(self, delivery: Delivery, message: Message, task: Task[Any]) -> list[Callable[[], Any]]:
        """What the broker is told as the task starts: calls. Its lock goes now, where it says so; and where its
        worker died before, that is noted."""
        calls: list[Callable[[], Any]] = []
        if message.headers.get("canvas_deliveries") or task.reject_on_worker_lost is False:
            calls.append(partial(self._broker.starts, delivery))
        if task.unique_for and task.unique_until == "start":
            lock = self._lock(message, task)
            if lock is not None:
                calls.append(partial(self._broker.unlock, lock))
        return [partial(self._persist, call) for call in calls] if calls else calls

    def leave(self, settlement: Settlement, message: Message, task: Task[Any] | None, outcome: Outcome) -> None:
        """Give up, in the settlement that ends the task, its place and its lock."""
        if task is None:
            return
        if task.concurrency_limit:
            key = self._key(concurrency_key, task, message)
            settlement.frees = [key] if key is not None else []
        again = isinstance(outcome, Retried) or (isinstance(outcome, Rejected) and outcome.requeue)
        if task.unique_for and not again and self._ends_with(task, outcome):
            lock = self._lock(message, task)
            settlement.unlocks = [lock] if lock is not None else []

    def _ends_with(self, task: Task[Any], outcome: Outcome) -> bool:
        if task.unique_until == "success":
            return not isinstance(outcome, Failure | Rejected | Replaced)
        return task.unique_until in ("finish", "start")

    def _lock(self, message: Message, task: Task[Any]) -> Lock | None:
        key = self._key(unique_key, task, message)
        return Lock(key, message.id) if key is not None else None

    def _key(self, read: Callable[..., str], task: Task[Any], message: Message) -> str | None:
        """``None`` for arguments that the task, or its own function of them, does not take: calling it says so."""
        try:
            return read(task, message.args, message.kwargs)
        except Exception:  # noqa: BLE001 - as said above
            return None
