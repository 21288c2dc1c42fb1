"""The limits of a task before it runs: its rate, a permit of its concurrency key, its lock.

A message that has to wait does so in the broker: deferred until its rate slot, or blocked until a permit is free. It
occupies no slot meanwhile.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from canvas.config.config import Config
from canvas.drivers.ports import Driver
from canvas.model.ids import outermost_run
from canvas.model.message import Delivery, Message, Publish
from canvas.model.outcome import Failure, Outcome, Rejected, ReplacedBy, Retried
from canvas.model.settlement import DelayedPublish, Settlement
from canvas.task.limits import concurrency_key, lock_of, rate_to_interval
from canvas.task.task import Task
from canvas.worker.settlement.job import LimitKeys
from canvas.workflows.steps.attempt import run_limit

Persist = Callable[[Callable[[], Any]], Any]


def keys_of(message: Message, task: Task[Any]) -> LimitKeys:
    """The keys of a call."""
    permits: list[tuple[str, int]] = []
    if task.concurrency_limit:
        try:
            permits.append((concurrency_key(task, message.args, message.kwargs), task.concurrency_limit))
        except BaseException as exc:  # noqa: BLE001 - the task fails with it, as if it had raised it
            return LimitKeys(fault=exc)
    limited = run_limit(message.headers.get("stamps"))
    if limited is not None:
        run, at_once = limited
        permits.append((f"run:{outermost_run(run)}", at_once))
    return LimitKeys(permits, lock_of(task, message) if task.unique_for else None)


class Throttle:
    """The limits of tasks, for one node's processes."""

    def __init__(self, driver: Driver, conf: Config, hostname: str, persist: Persist) -> None:
        """``persist`` repeats a call until the broker takes it."""
        self._coordination, self._recovery, self._codec = driver.coordination, driver.recovery, driver.broker.codec
        self._hostname = hostname
        self._persist = persist
        self._conf = conf

    def bind(self, task: Task[Any], message: Message) -> bool:
        """Whether this message of the task may have to wait."""
        stamps = message.headers.get("stamps")
        return bool(task.rate_limit or task.concurrency_limit or (stamps and run_limit(stamps)))

    def throttle(self, delivery: Delivery, message: Message, task: Task[Any], keys: LimitKeys) -> Settlement | None:
        """The settlement of a message that may not run yet; ``None`` when it may."""
        if task.rate_limit and not self._conf.worker_disable_rate_limits:
            deferred = self._until_its_turn(delivery, message, task)
            if deferred is not None:
                return deferred
        for key, limit in keys.permits:
            if not self._persist(partial(self._coordination.acquire_permit, key, limit, delivery)):
                # The message is blocked, or another worker has its lease. A permit that it has got already ends with
                # its lease.
                return Settlement(delivery, fence="none")
        return None

    def _until_its_turn(self, delivery: Delivery, message: Message, task: Task[Any]) -> Settlement | None:
        rate = str(task.rate_limit)
        if message.headers.get("canvas_rate_reserved") == rate:
            return None
        every = rate_to_interval(task.rate_limit)
        if not every:
            return None
        scope = task.name if task.rate_limit_scope == "global" else f"{self._hostname}:{task.name}"
        due = self._persist(lambda: self._coordination.reserve_rate_slot(scope, every))
        if not due:
            return None
        payload = self._codec.with_headers(delivery.payload, {"canvas_rate_reserved": rate, "canvas_received": True})
        publish = Publish("", delivery.queue, message.properties.get("priority") or 0, payload)
        return Settlement(delivery, deferrals=[DelayedPublish(due, publish)])

    def at_start(
        self, delivery: Delivery, message: Message, task: Task[Any], keys: LimitKeys
    ) -> list[Callable[[], Any]]:
        """The calls to the broker as the task starts: release its lock, if that ends with the start; note the start, if
        a worker died with the task before."""
        calls: list[Callable[[], Any]] = []
        if message.headers.get("canvas_delivery_count") or task.reject_on_worker_lost is False:
            calls.append(partial(self._recovery.mark_started, delivery))
        if keys.lock is not None and task.unique_until == "start":
            calls.append(partial(self._coordination.release_lock, keys.lock))
        return [partial(self._persist, call) for call in calls] if calls else calls

    def with_releases(
        self, settlement: Settlement, task: Task[Any] | None, keys: LimitKeys, outcome: Outcome
    ) -> Settlement:
        """The settlement that ends the task, with the release of its permit and of its lock."""
        if task is None:
            return settlement
        if keys.permits:
            settlement = settlement._replace(releases_permits=[key for key, _ in keys.permits])
        again = isinstance(outcome, Retried) or (isinstance(outcome, Rejected) and outcome.requeue)
        if keys.lock is not None and not again and _ends_with(task, outcome):
            settlement = settlement._replace(releases_locks=[keys.lock])
        return settlement


def _ends_with(task: Task[Any], outcome: Outcome) -> bool:
    """Whether a unique task's lock ends with this outcome."""
    if task.unique_until == "success":
        return not isinstance(outcome, Failure | Rejected | ReplacedBy)
    return task.unique_until in ("finish", "start")
