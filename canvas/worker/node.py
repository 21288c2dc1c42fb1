"""A node: one ``canvas worker`` command. Decides what it runs, says so, runs it, ends."""

import os
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from canvas.app import Canvas
from canvas.drivers.base import Binding
from canvas.errors import ConfigurationError
from canvas.telemetry import emit
from canvas.worker.banner import banner
from canvas.worker.pidbox import Pidbox
from canvas.worker.prefork import Prefork
from canvas.worker.process import Plan, WorkerProcess, new_worker_id

_LISTENING_WITHIN = 5.0
POOLS = ("prefork", "threads", "solo")


def plan_node(
    app: Canvas,
    *,
    hostname: str | None = None,
    queues: Iterable[str] = (),
    exclude_queues: Iterable[str] = (),
    concurrency: int | None = None,
    pool: str | None = None,
    prefetch_multiplier: int | None = None,
) -> Plan:
    """What the command line and the settings come to. Raises ConfigurationError naming what is wrong."""
    conf = app.conf
    pool = pool or conf.worker_pool or "prefork"
    pool = {"processes": "prefork"}.get(pool, pool)
    if pool not in POOLS:
        raise ConfigurationError(f"pool: expected one of {', '.join(POOLS)}; got {pool!r}")
    slots = 1 if pool == "solo" else concurrency or conf.worker_concurrency or os.cpu_count() or 1
    per_process = 1 if pool == "prefork" else slots
    multiplier = prefetch_multiplier if prefetch_multiplier is not None else conf.worker_prefetch_multiplier
    ample = prefetch_multiplier is None and multiplier == 4
    names = [binding.queue for binding in bindings(app, queues, exclude_queues)]
    return Plan(
        hostname=node_name(hostname),
        queues=names,
        concurrency=slots,
        pool=pool,
        remote_control=bool(conf.worker_enable_remote_control),
        prefetch_limit=2 * conf.worker_batch_size if ample else per_process * max(0, multiplier - 1),
    )


def bindings(app: Canvas, queues: Iterable[str] = (), exclude: Iterable[str] = ()) -> list[Binding]:
    """The queues to consume, with their bindings."""
    found = app.router.consumed(list(queues), list(exclude))
    return [Binding(q.name, q.exchange, q.routing_key, q.exchange_type) for q in found]


def node_name(template: str | None) -> str:
    """``name@host`` from Celery's templates: ``%h`` host name, ``%n`` its first part, ``%d`` its domain."""
    host = socket.gethostname()
    short, _, domain = host.partition(".")
    name = (template or "celery@%h").replace("%h", host).replace("%n", short).replace("%d", domain)
    return name if "@" in name else f"{name}@{host}"


def run_node(app: Canvas, plan: Plan, say: Callable[[str], None] | None = None, selected: Iterable[str] = ()) -> int:
    """Run until stopped; the exit code."""
    app.import_task_modules()
    emit("worker.preparing", hostname=plan.hostname)
    emit("worker.init", hostname=plan.hostname)
    if say is not None:
        say(banner(app, plan))
    app.driver.broker.declare(bindings(app, selected or plan.queues))
    _warn_of_limits(app, plan)
    if plan.pool == "prefork":
        prefork = Prefork(app, plan)
        control = Pidbox(app, plan, prefork)
        code = prefork.run(on_ready=lambda: _open(control, plan))
        emit("worker.shutdown", hostname=plan.hostname)
        return code
    process = WorkerProcess(app, plan, plan.concurrency, new_worker_id(plan.hostname))
    control = Pidbox(app, plan, Alone(process))
    process.handle_signals()
    process.run(on_ready=lambda: _open(control, plan))
    control.stop()
    emit("worker.shutdown", hostname=plan.hostname)
    sys.stdout.flush()
    return 0


def _open(control: Pidbox, plan: Plan) -> None:
    if plan.remote_control:
        control.start()
        control.wait_until_listening(_LISTENING_WITHIN)
    emit("worker.ready", hostname=plan.hostname)


class Alone:
    """The pool of a node that is one process."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process

    def ask(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        return [self._process.ask(question)]

    def resize(self, by: int) -> None:
        raise ValueError("only the prefork pool can grow and shrink")


def _warn_of_limits(app: Canvas, plan: Plan) -> None:
    """Only a process can be ended from outside: elsewhere hard time limits have no effect, which is said once."""
    if plan.pool == "prefork":
        return
    limited = sorted(task.name for task in app.tasks.values() if task.time_limit)
    if app.conf.task_time_limit or limited:
        who = ", ".join(limited[:5]) or "task_time_limit"
        emit("worker.unlimited", pool=plan.pool, who=who)
