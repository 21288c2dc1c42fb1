"""Remote control commands of a node, and what each replies (protocol.md §6)."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib import reload as reload_module
from importlib.util import find_spec
from tempfile import NamedTemporaryFile
from typing import Any

from canvas.app.application import Canvas
from canvas.drivers.base import Binding
from canvas.errors import ConfigurationError
from canvas.model.revocation import revoked_ids
from canvas.task.limits import rate_to_interval
from canvas.worker.control import replies
from canvas.worker.control.child_commands import (
    ConsumeQueues,
    ReadRevoked,
    ReportState,
    SetRateLimit,
    SetTimeLimits,
    SwitchEvents,
    Terminate,
)
from canvas.worker.control.replies import Answer
from canvas.worker.control.scheduled import scheduled
from canvas.worker.monitoring.heartbeat import WorkerHeartbeat
from canvas.worker.pools.autoscaler import Autoscaler
from canvas.worker.pools.base import Pool
from canvas.worker.pools.recycling import resident_memory
from canvas.worker.pools.shared_memory import SharedMemory
from canvas.worker.process import WorkerOptions

_TASK_INFO = ("exchange", "routing_key", "rate_limit")
"""What is said of each registered task, where nobody asks for more."""
_MOST_PLACES = 100
"""That one command adds or takes away."""


class Panel:
    """The commands by name; a command's arguments are its method's."""

    def __init__(
        self,
        app: Canvas,
        plan: WorkerOptions,
        pool: Pool,
        board: SharedMemory,
        heart: WorkerHeartbeat | None,
        autoscaler: Autoscaler | None,
    ) -> None:
        self._app = app
        self._plan = plan
        self._pool = pool
        self._board = board
        self._heart = heart
        self._autoscaler = autoscaler
        self._since = time.time()
        self._samples: list[str] = []

    def call(self, command: str, arguments: dict[str, Any]) -> Any:
        """The reply to a command; what goes wrong is a reply too. ``None`` from a command is the reply ``null``."""
        method = _COMMANDS.get(command)
        if method is None:
            return {"error": repr(KeyError(command))}
        try:
            return method(self, **arguments)
        except Exception as exc:  # noqa: BLE001 - whoever asked learns it; the worker goes on
            return {"error": repr(exc)}

    # -- looking

    def ping(self) -> Answer:
        return {"ok": "pong"}

    def clock(self) -> Answer:
        return {"clock": self._board.time}

    def active(self, safe: bool = False) -> list[Any]:
        return [replies.safe(info) if safe else info for state in self._states() for info in state["active"]]

    def reserved(self) -> list[Any]:
        return [info for state in self._states() for info in state["reserved"]]

    def scheduled(self) -> list[Any]:
        """The tasks of the node's queues that are due later, the first of them. They wait in the broker, so that each
        node that serves their queue reports them."""
        return scheduled(self._app, self._plan.hostname, self._plan.queues)

    def registered(self, taskinfoitems: Any = None, builtins: bool = False) -> list[str]:
        tasks = self._app.tasks
        names = sorted(tasks if builtins else tasks.regular())
        return [replies.described(tasks[name], taskinfoitems or _TASK_INFO) for name in names]

    def revoked(self) -> list[str]:
        return sorted(revoked_ids(self._app.driver.broker.revoked()))

    def query_task(self, ids: Any) -> Answer:
        wanted = {ids} if isinstance(ids, str) else set(ids)
        found: Answer = {}
        for state in self._states():
            for kind in ("reserved", "active"):
                found.update({info["id"]: [kind, info] for info in state[kind] if info["id"] in wanted})
        if wanted - found.keys():
            waiting = [entry["request"] for entry in self.scheduled()]
            found.update({info["id"]: ["scheduled", info] for info in waiting if info["id"] in wanted - found.keys()})
        return found

    def active_queues(self) -> list[Answer]:
        return [replies.queue(queue) for queue in self._app.router.consumed(self._plan.queues)]

    def conf(self, with_defaults: bool = False) -> Answer:
        return {name: replies.plain(value) for name, value in self._app.conf.table(with_defaults).items()}

    def report(self) -> Answer:
        return {"ok": self._app.bugreport()}

    def stats(self) -> Answer:
        states = self._states()
        total = Counter(self._board.ended)
        for state in states:
            total.update(state["total"])
        return {
            "total": dict(total),
            "pid": os.getpid(),
            "clock": str(self._board.time),
            "uptime": int(time.time() - self._since),
            "pool": self._pool_stats([state["pid"] for state in states]),
            "broker": replies.broker(str(self._app.conf.broker_url or "")),
            "prefetch_count": self._plan.concurrency + self._plan.prefetch_limit,
            "rusage": replies.rusage(),
            **({"autoscaler": self._autoscaler.stats()} if self._autoscaler is not None else {}),
        }

    def memsample(self) -> str:
        used = f"{resident_memory() / 1024:.2f}MB"
        self._samples.append(used)
        return used

    def memdump(self, samples: int = 10) -> str:
        """What ``memsample`` found so far, the latest last."""
        taken = self._samples[-int(samples) :]
        if not taken:
            return "- rss: (no data)."
        lines = "\n".join(f"- {number}: {used}" for number, used in enumerate(taken, 1))
        return f"- rss (sample):\n{lines}\n- rss (end): {resident_memory() / 1024:.2f}MB."

    def objgraph(self, num: int = 200, max_depth: int = 10, type: str = "Request") -> Answer:
        if find_spec("objgraph") is None:
            raise ImportError("Requires the objgraph library")
        objgraph = import_module("objgraph")
        with NamedTemporaryFile(prefix="cobjg", suffix=".png", delete=False) as picture:
            objgraph.show_backrefs(objgraph.by_type(type)[: int(num)], max_depth=int(max_depth), filename=picture.name)
        return {"filename": picture.name}

    def _pool_stats(self, pids: list[int]) -> Answer:
        plan = self._plan
        stats: Answer = {"implementation": f"canvas.{plan.pool}", "max-concurrency": plan.concurrency}
        if plan.pool in ("threads", "asyncio"):
            return {**stats, "threads": plan.concurrency}
        return {
            **stats,
            "processes": pids,
            "max-tasks-per-child": plan.max_tasks_per_child or "N/A",
            "put-guarded-by-semaphore": True,
            "timeouts": [],
        }

    def _states(self) -> list[Answer]:
        return [state for state in self._pool.ask(ReportState()) if "active" in state]

    # -- steering

    def revoke(self, task_id: Any, terminate: bool = False, signal: str = "SIGTERM") -> Answer:
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        self._app.control.keep_revoked(ids)
        self._pool.ask(ReadRevoked())
        if terminate:
            return self.terminate(ids, signal)
        return {"ok": f"tasks {set(ids)} flagged as revoked"}

    def terminate(self, task_id: Any, signal: str = "SIGTERM") -> Answer:
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        return {"ok": f"terminate: {', '.join(self._end(signal, ids=ids)) or 'tasks unknown'}"}

    def _end(self, signal: str, ids: Sequence[str] = (), headers: dict[str, Any] | None = None) -> list[str]:
        told = self._pool.ask(Terminate(list(ids), headers, signal))
        return [one for answer in told for one in answer.get("terminated", ())]

    def revoke_by_stamped_headers(
        self, headers: dict[str, Any], terminate: bool = False, signal: str = "SIGTERM"
    ) -> Answer:
        self._app.control.keep_revoked_stamps(headers)
        self._pool.ask(ReadRevoked())
        if not terminate:
            return {"ok": f"headers {headers} flagged as revoked, but not terminated"}
        self._end(signal, headers=headers)
        return {"ok": f"headers {headers} revoked"}

    def time_limit(self, task_name: str, hard: float, soft: float | None = None) -> Answer:
        if task_name not in self._app.tasks:
            return {"error": "unknown task"}
        self._pool.ask(SetTimeLimits(task_name, soft, hard))
        return {"ok": "time limits set successfully"}

    def rate_limit(self, task_name: str, rate_limit: Any) -> Answer:
        try:
            every = rate_to_interval(rate_limit)
        except ConfigurationError as exc:
            return {"error": f"Invalid rate limit string: {exc}"}
        if task_name not in self._app.tasks:
            return {"error": "unknown task"}
        self._pool.ask(SetRateLimit(task_name, rate_limit if every else None))
        return {"ok": "new rate limit set successfully" if every else "rate limit disabled successfully"}

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
            # Only what the app itself has loaded: a message does not say what to import.
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
        if abs(by) > _MOST_PLACES:
            raise ValueError(f"expected at most {_MOST_PLACES} places more or fewer; got {by}")
        self._pool.resize(by)

    def autoscale(self, max: int | None = None, min: int | None = None) -> Answer:
        if self._autoscaler is None:
            raise ValueError("Autoscale not enabled")
        self._autoscaler.change(max, min)
        stats = self._autoscaler.stats()
        return {"ok": f"autoscale now max={stats['max']} min={stats['min']}"}

    def add_consumer(
        self, queue: str, exchange: str | None = None, exchange_type: str = "direct", routing_key: str | None = None,
        **_options: Any,
    ) -> Answer:  # fmt: skip
        if queue in self._plan.queues:
            return {"ok": f"already consuming from {queue!r}"}
        binding = Binding(queue, exchange or queue, routing_key or queue, exchange_type or "direct")
        self._app.driver.broker.declare([binding])
        self._pool.ask(ConsumeQueues([*self._plan.queues, queue]))
        return {"ok": f"add consumer {queue}"}

    def cancel_consumer(self, queue: str, **_options: Any) -> Answer:
        self._pool.ask(ConsumeQueues([name for name in self._plan.queues if name != queue]))
        return {"ok": f"no longer consuming from {queue}"}

    def hello(self, from_node: str, revoked: Any = None, **_more: Any) -> Answer | None:
        if from_node == self._plan.hostname:
            return None
        ids = [one for one in revoked or () if isinstance(one, str)]
        self._app.control.keep_revoked(ids)
        self._pool.ask(ReadRevoked())
        return {"revoked": self.revoked(), "clock": self._board.time}

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


NO_REPLY: Answer = {}
"""What a command returns that is not answered."""

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
