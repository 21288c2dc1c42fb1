"""The remote control commands that report on a node and its tasks."""

import os
import time
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from tempfile import NamedTemporaryFile
from typing import Any

from canvas.app.application import Canvas
from canvas.app.broker_address import broker_address
from canvas.remote.revocation_entries import revoked_ids
from canvas.worker.control import replies
from canvas.worker.control.fanout import FanoutQueues
from canvas.worker.control.replies import Answer
from canvas.worker.control.scheduled import scheduled
from canvas.worker.monitoring.heartbeat import WorkerHeartbeat
from canvas.worker.monitoring.shared_memory import SharedMemory
from canvas.worker.options import WorkerOptions
from canvas.worker.pools.autoscaler import Autoscaler
from canvas.worker.pools.child_commands import (
    ReportState,
)
from canvas.worker.pools.pool import Pool
from canvas.worker.pools.recycling import memory_of, resident_memory

_TASK_INFO = ("exchange", "routing_key", "rate_limit")
"""The attributes shown of each registered task if the command names none."""


class Inspection:
    """A method for each command; its arguments are the command's."""

    def __init__(
        self,
        app: Canvas,
        plan: WorkerOptions,
        pool: Pool,
        memory: SharedMemory,
        heart: WorkerHeartbeat | None,
        autoscaler: Autoscaler | None,
        consumer: Any,
        fanout: FanoutQueues,
    ) -> None:
        self._app = app
        self._plan = plan
        self._pool = pool
        self._memory = memory
        self._heart = heart
        self._autoscaler = autoscaler
        self._consumer = consumer
        self._fanout = fanout
        self._since = time.time()
        self._samples: list[str] = []

    def ping(self) -> Answer:
        return {"ok": "pong"}

    def clock(self) -> Answer:
        return {"clock": self._memory.time}

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
        """The ids of revoked tasks, and of those that expired here."""
        expired = {one for state in self._states() for one in state.get("expired", ())}
        return sorted(expired.union(revoked_ids(self._app.driver.coordination.revoked()[1])))

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
        total = Counter(self._memory.ended)
        for state in states:
            total.update(state["total"])
        return {
            "total": dict(total),
            "pid": os.getpid(),
            "clock": str(self._memory.time),
            "uptime": int(time.time() - self._since),
            "pool": self._pool_stats(states),
            "broker": replies.broker(broker_address(self._app.conf)),
            "prefetch_count": self._plan.concurrency + self._plan.prefetch_limit,
            "rusage": replies.rusage(),
            "memory": self._memory_used(states),
            **({"autoscaler": self._autoscaler.stats()} if self._autoscaler is not None else {}),
        }

    def _memory_used(self, states: list[Answer]) -> dict[str, int]:
        """KiB of this process and of those of its pool, by process id; ``rusage`` is of this one alone, at its peak."""
        pids = {os.getpid(), *(state.get("pid", os.getpid()) for state in states)}
        used = {str(pid): memory_of(pid) for pid in sorted(pids)}
        return {pid: size for pid, size in used.items() if size is not None}

    def memsample(self) -> str:
        used = f"{resident_memory() / 1024:.2f}MB"
        self._samples.append(used)
        return used

    def memdump(self, samples: int = 10) -> str:
        """The samples of ``memsample`` so far, the latest last."""
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

    def _pool_stats(self, states: list[Answer]) -> Answer:
        plan = self._plan
        stats: Answer = {"implementation": f"canvas.{plan.pool}", "max-concurrency": plan.concurrency}
        if plan.pool in ("threads", "asyncio"):
            return {**stats, "threads": plan.concurrency}
        return {
            **stats,
            "processes": [state["pid"] for state in states],
            "max-tasks-per-child": plan.max_tasks_per_child or "N/A",
            "put-guarded-by-semaphore": True,
            "timeouts": [],
            "writes": _writes([sum(state["total"].values()) for state in states]),
        }

    def _states(self) -> list[Answer]:
        return [state for state in self._pool.ask(ReportState()) if "active" in state]


def _writes(taken: list[int]) -> Answer:
    """How many tasks each process has taken, in the form that Celery's prefork pool reports."""
    total = sum(taken)
    shares = [count / total if total else 0 for count in taken]
    return {
        "total": total,
        "avg": f"{1 / len(taken) if total else 0:.2f}",
        "all": ", ".join(f"{share:.2f}" for share in shares),
        "raw": ", ".join(map(str, taken)),
        "strategy": "fair",
        "inqueues": {"total": len(taken), "active": 0},
    }
