"""Remote control commands of a node, and their replies (protocol.md §6)."""

import sys
from collections.abc import Callable, Sequence
from importlib import reload as reload_module
from signal import Signals
from typing import Any

from canvas.config.queue_forms import queue_of
from canvas.errors import ConfigurationError
from canvas.remote.signal_names import signal_named
from canvas.task.limits import rate_to_interval
from canvas.telemetry import emit
from canvas.worker.consumer.topology import declare, own_behind_fanouts
from canvas.worker.control.inspection import Inspection
from canvas.worker.control.replies import NO_REPLY, Answer
from canvas.worker.control.user_commands import CommandState, find_command
from canvas.worker.pipeline.admission import time_limits
from canvas.worker.pools.child_commands import (
    ConsumeQueues,
    ReadRevoked,
    SetRateLimit,
    SetTimeLimits,
    SwitchEvents,
    Terminate,
)

_LISTENING_WITHIN = 5.0
_MOST_SLOTS = 100
"""The slots that one command adds or removes at most."""


def _number_of(signal: Any) -> int:
    """The number of a signal, from itself or from its name with or without SIG. Raises ValueError for other values."""
    if isinstance(signal, int):
        return Signals(signal)
    found = signal_named(str(signal))
    if found is None:
        raise ValueError(f"signal: {signal!r} is not the name of a signal; expected a name such as SIGKILL")
    return found


class Panel(Inspection):
    """The commands of one node: those of :class:`Inspection`, and those that change something."""

    def call(self, command: str, arguments: dict[str, Any]) -> Any:
        """The reply to a command; an error is a reply too. ``None`` from a command is the reply ``null``."""
        own, method = find_command(command), _COMMANDS.get(command)
        try:
            if own is not None:
                return own.function(CommandState(self._app, self._plan.hostname, self._consumer), **arguments)
            return {"error": repr(KeyError(command))} if method is None else method(self, **arguments)
        except Exception as exc:  # noqa: BLE001 - the caller gets the error; the worker goes on
            return {"error": repr(exc)}

    def revoke(self, task_id: Any, terminate: bool = False, signal: str = "SIGTERM") -> Answer:
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        self._app.control.keep_revoked(ids)
        self._pool.ask(ReadRevoked())
        if terminate:
            return self.terminate(ids, signal)
        emit("control.revoked", ids=ids)
        return {"ok": f"tasks {set(ids)} flagged as revoked"}

    def terminate(self, task_id: Any, signal: str = "SIGTERM") -> Answer:
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        return {"ok": f"terminate: {', '.join(self._end(signal, ids=ids)) or 'tasks unknown'}"}

    def _end(self, signal: str, ids: Sequence[str] = (), headers: dict[str, Any] | None = None) -> list[str]:
        answers = self._pool.ask(Terminate(list(ids), headers, signal, _number_of(signal)))
        return [one for answer in answers for one in answer.get("terminated", ())]

    def revoke_by_stamped_headers(
        self, headers: dict[str, Any], terminate: bool = False, signal: str = "SIGTERM"
    ) -> Answer:
        self._app.control.keep_revoked_stamps(headers)
        self._pool.ask(ReadRevoked())
        if not terminate:
            return {"ok": f"headers {headers} flagged as revoked, but not terminated"}
        self._end(signal, headers=headers)
        return {"ok": f"headers {headers} revoked"}

    def time_limit(self, task_name: str, hard: float | None, soft: float | None = None) -> Answer:
        if task_name not in self._app.tasks:
            return {"error": "unknown task"}
        hard, soft = time_limits([hard, soft])
        self._pool.ask(SetTimeLimits(task_name, soft, hard))
        emit("control.time_limits", task=task_name, soft=soft, hard=hard)
        return {"ok": "time limits set successfully"}

    def rate_limit(self, task_name: str, rate_limit: Any) -> Answer:
        try:
            every = rate_to_interval(rate_limit)
        except ConfigurationError as exc:
            return {"error": f"Invalid rate limit string: {exc}"}
        if task_name not in self._app.tasks:
            return {"error": "unknown task"}
        self._pool.ask(SetRateLimit(task_name, rate_limit if every else None))
        emit("control.rate_limit", task=task_name, limit=rate_limit)
        return {"ok": "new rate limit set successfully" if rate_limit else "rate limit disabled successfully"}

    def pool_grow(self, n: int = 1) -> Answer:
        self._resize(int(n))
        return {"ok": "pool will grow"}

    def pool_shrink(self, n: int = 1) -> Answer:
        self._resize(-int(n))
        return {"ok": "pool will shrink"}

    def pool_restart(self, modules: Any = None, reload: bool = False, reloader: Any = None) -> Answer:
        if not self._app.conf.worker_pool_restarts:
            raise ValueError("Pool restarts not enabled")
        for name in modules or ():
            # Only modules that are loaded already: a message must not choose code to import.
            module = sys.modules.get(str(name))
            if module is None:
                raise ValueError(f"{name}: expected a module that is loaded already")
            if reload:
                reload_module(module)
        self._pool.restart()
        return {"ok": "reload started"}

    def _resize(self, by: int) -> None:
        if self._autoscaler is not None:
            raise ValueError("the pool is autoscaled; use the autoscale command")
        if abs(by) > _MOST_SLOTS:
            raise ValueError(f"expected at most {_MOST_SLOTS} slots more or fewer; got {by}")
        self._pool.resize(by)

    def autoscale(self, max: int | None = None, min: int | None = None) -> Answer:
        if self._autoscaler is None:
            raise ValueError("Autoscale not enabled")
        self._autoscaler.change(max, min)
        stats = self._autoscaler.stats()
        return {"ok": f"autoscale now max={stats['max']} min={stats['min']}"}

    def add_consumer(
        self, queue: str, exchange: str | None = None, exchange_type: str = "direct", routing_key: str | None = None,
        **options: Any,
    ) -> Answer:  # fmt: skip
        if self._app.router.aliased(queue) not in self._plan.queues:
            address = {"exchange": exchange, "routing_key": routing_key, "exchange_type": exchange_type}
            declared = queue_of({**options, **address, "name": queue})
            self._app.router.add(declared)
            (name,) = own_behind_fanouts(self._app, [queue], self._plan.id)
            declare(self._app, [name])
            self._pool.ask(ConsumeQueues([*self._plan.queues, name]))
            self._fanout.serve(self._app.router.consumed([name])[0], _LISTENING_WITHIN)
        return {"ok": f"add consumer {queue}"}

    def cancel_consumer(self, queue: str, **_options: Any) -> Answer:
        gone = self._app.router.aliased(queue)
        self._pool.ask(ConsumeQueues([name for name in self._plan.queues if name != gone]))
        self._fanout.drop(gone)
        return {"ok": f"no longer consuming from {queue}"}

    def hello(self, from_node: str, revoked: Any = None, canvas_node: Any = None, **_more: Any) -> Answer | None:
        if from_node == self._plan.hostname:
            if canvas_node != self._plan.id:
                emit("worker.same_name", hostname=from_node)
            return None
        ids = [one for one in revoked or () if isinstance(one, str)]
        self._app.control.keep_revoked(ids)
        self._pool.ask(ReadRevoked())
        return {"revoked": self.revoked(), "clock": self._memory.time, "canvas_node": self._plan.id}

    def shutdown(self, msg: str = "", **_more: Any) -> Answer | None:
        self._pool.stop()
        return NO_REPLY

    def enable_events(self) -> Answer:
        return self._switch_events(True)

    def disable_events(self) -> Answer:
        return self._switch_events(False)

    def _switch_events(self, on: bool) -> Answer:
        state = "enabled" if on else "disabled"
        if self._plan.events_always or self._plan.events is on:
            return {"ok": f"task events already {state}"}
        self._plan.events = on
        self._pool.ask(SwitchEvents(on))
        return {"ok": f"task events {state}"}

    def heartbeat(self) -> None:
        if self._heart is not None:
            self._heart.beat()

    def nothing(self, **_arguments: Any) -> None:
        """Commands of Celery's gossip, which this worker takes no part in."""


_COMMANDS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(Panel, name)
        for name in (
            "ping", "clock", "active", "reserved", "scheduled", "registered", "revoked", "query_task", "active_queues",
            "conf", "report", "stats", "memsample", "memdump", "objgraph", "pool_restart",
             "revoke", "terminate", "revoke_by_stamped_headers", "time_limit",
            "rate_limit", "pool_grow", "pool_shrink", "add_consumer", "cancel_consumer", "hello", "shutdown",
            "enable_events", "disable_events", "heartbeat", "autoscale",
        )
    },
    "dump_active": Panel.active,
    "dump_reserved": Panel.reserved,
    "dump_schedule": Panel.scheduled,
    "dump_revoked": Panel.revoked,
    "dump_tasks": Panel.registered,
    "dump_conf": Panel.conf,
    "election": Panel.nothing,
}  # fmt: skip
