"""The options of a node, and how remote control changes them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from canvas.app.application import Canvas
from canvas.config.config import Config
from canvas.errors import ConfigurationError
from canvas.worker.pools.child_commands import ChildCommand, ConsumeQueues, SetRateLimit, SetTimeLimits
from canvas.worker.process_files import ProcessFiles

POOLS = ("prefork", "threads", "solo", "asyncio")
_GREEN = ("gevent", "eventlet")


@dataclass(slots=True)
class WorkerOptions:
    """The options of a node: decided once, from settings and command line."""

    hostname: str
    queues: list[str]
    concurrency: int
    pool: str
    prefetch_limit: int
    """Messages a process may hold beyond what its slots run."""
    remote_control: bool
    max_tasks_per_child: int | None
    max_memory_per_child: int | None
    """KiB."""
    autoscale: tuple[int, int] | None
    """The most and the fewest slots."""
    events: bool
    """Task events are sent, now."""
    events_always: bool
    """They are sent whatever remote control says (``-E``)."""
    heartbeat: float | None
    """Seconds between heartbeat events; ``None``: none."""
    id: str = field(default_factory=lambda: uuid4().hex)
    """Tells the node from others of its name."""


@dataclass(frozen=True)
class NodeSetup:
    """The parts of a node beside its tasks, and how it starts."""

    say: Callable[[str], None] | None = None
    """Prints the banner."""
    files: ProcessFiles = field(default_factory=ProcessFiles)
    mingles: bool = True
    """Whether it asks other workers for their revocations as it starts."""
    http_address: tuple[str, int] | None = None
    """Host and port of /health, /livez and /metrics."""
    purge: bool = False
    """Whether it empties its queues first."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """For bootsteps: the options of the command line."""


def no_green_pool(given: str) -> str:
    """The pools to use instead, if ``given`` names a pool of greenlets, or its class in Celery; otherwise nothing."""
    kind = next((kind for kind in _GREEN if kind in given), None)
    return f"there is no {kind} pool: use -P asyncio for async def tasks, -P threads for others" if kind else ""


def pool_of(given: str, autoscale: tuple[int, int] | None) -> str:
    """The kind of pool. Raises ConfigurationError for one that does not exist, or cannot grow."""
    pool = {"processes": "prefork"}.get(given, given)
    if pool not in POOLS:
        raise ConfigurationError(no_green_pool(pool) or f"pool: expected one of {', '.join(POOLS)}; got {pool!r}")
    if autoscale is not None and pool == "solo":
        raise ConfigurationError("autoscale: the solo pool has one slot; choose another pool")
    return pool


def slots_of(conf: Config, pool: str, concurrency: int | None, autoscale: tuple[int, int] | None) -> int:
    """How many tasks the node runs at once, at most."""
    if autoscale is not None:
        return autoscale[1]
    return 1 if pool == "solo" else concurrency or conf.worker_concurrency or os.cpu_count() or 1


def prefetch_limit(conf: Config, per_process: int, multiplier: int | None) -> int:
    """How many messages a process may hold beyond those that its slots run. Without a multiplier of the user's these
    are two batches."""
    if conf.worker_disable_prefetch:
        return 0
    if multiplier is None and conf.worker_prefetch_multiplier == 4:
        return 2 * int(conf.worker_settle_batch_size)
    chosen = conf.worker_prefetch_multiplier if multiplier is None else multiplier
    return per_process * max(0, chosen - 1)


def new_worker_id(hostname: str) -> str:
    """A worker id that no other process has or had."""
    return f"{hostname}.{os.getpid()}.{uuid4().hex[:8]}"


def change(app: Canvas, plan: WorkerOptions, command: ChildCommand) -> None:
    """Apply a change of remote control to the app and to the options of a process, for later forks too."""
    match command:
        case SetTimeLimits(name, soft, hard):
            task = app.tasks[name]
            task.soft_time_limit, task.time_limit = soft, hard
        case SetRateLimit(name, rate):
            app.tasks[name].rate_limit = rate
        case ConsumeQueues(queues):
            plan.queues[:] = queues
