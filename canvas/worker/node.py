"""A node: one ``canvas worker`` command. Decides what it runs, says so, runs it, ends."""

import inspect
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from threading import Event
from typing import Any, Protocol

from canvas.app.application import Canvas
from canvas.config.ignored import ignored_settings
from canvas.errors import BrokerError, CanvasError
from canvas.integrations.prometheus import Metrics
from canvas.model.run_index import RunQuery
from canvas.producer.purge import purge as purge_queue
from canvas.remote.revocation_entries import revoked_ids
from canvas.telemetry import attach, emit
from canvas.worker.banner import banner
from canvas.worker.consumer.topology import add_own, changed_by_program, declare, names_of_all, own_behind_fanouts
from canvas.worker.control.commands import Panel
from canvas.worker.control.fanout import FanoutQueues
from canvas.worker.control.pidbox import Pidbox
from canvas.worker.extending.node_steps import UserSteps
from canvas.worker.extending.request import request_hooks
from canvas.worker.extending.senders import at_init, at_setup, once_made
from canvas.worker.logs.locks import hold_over_forks
from canvas.worker.logs.streams import flush
from canvas.worker.monitoring.health_server import Endpoint
from canvas.worker.monitoring.heartbeat import HEARTBEAT_INTERVAL, WorkerHeartbeat
from canvas.worker.monitoring.shared_memory import SharedMemory
from canvas.worker.names import node_name
from canvas.worker.options import NodeSetup, WorkerOptions, new_worker_id, pool_of, prefetch_limit, slots_of
from canvas.worker.outages import Outages
from canvas.worker.pipeline.batched_tasks import batched_tasks
from canvas.worker.pools.autoscaler import Autoscaler
from canvas.worker.pools.pool import InProcessPool, Pool
from canvas.worker.pools.prefork import Prefork
from canvas.worker.process import WorkerProcess
from canvas.worker.signal_handlers import put_back_afterwards
from canvas.worker.startup import check_limits, connect, load_tasks
from canvas.worker.stop_while_starting import Starting
from canvas.worker.stopping import report_running

_LISTENING_WITHIN = 5.0
_MINGLE_FOR = 1.0


def plan_node(
    app: Canvas, *, hostname: str | None = None, queues: Iterable[str] = (), exclude_queues: Iterable[str] = (),
    concurrency: int | None = None, pool: str | None = None, prefetch_multiplier: int | None = None,
    autoscale: tuple[int, int] | None = None, max_tasks_per_child: int | None = None,
    max_memory_per_child: int | None = None, events: bool | None = None,
    heartbeat: float | None = HEARTBEAT_INTERVAL, others: Mapping[str, Any] | None = None,
) -> WorkerOptions:  # fmt: skip
    """Load the tasks, let signals change what they like, and say what the command line and the settings come to.

    ``others``: further options of the command line, for ``celeryd_init``. Raises ConfigurationError.
    """
    load_tasks(app)
    conf, node = app.conf, node_name(hostname)
    own = {"queues": list(queues), "concurrency": concurrency, "pool": pool, "autoscale": autoscale}
    emit("worker.configuring", hostname=node, app=app, options={**(others or {}), **own})

    def pool_and_slots() -> tuple[str, int]:
        kind = pool_of(pool or conf.worker_pool or "prefork", autoscale)
        return kind, slots_of(conf, kind, concurrency, autoscale)

    kind, slots = pool_and_slots()
    emit("worker.init", hostname=node, app=app, known=at_init(kind, slots, autoscale, others or {}))
    kind, slots = pool_and_slots()  # receivers may change settings
    names = [queue.name for queue in app.router.consumed(list(queues), list(exclude_queues))]
    if conf.worker_direct:
        names.append(add_own(app, node))
    events = conf.worker_send_task_events if events is None else events
    return WorkerOptions(
        hostname=node,
        queues=names,
        concurrency=slots,
        pool=kind,
        remote_control=bool(conf.worker_enable_remote_control),
        autoscale=autoscale,
        max_tasks_per_child=max_tasks_per_child or conf.worker_max_tasks_per_child,
        max_memory_per_child=max_memory_per_child or conf.worker_max_memory_per_child,
        events=events,
        events_always=events,
        heartbeat=heartbeat,
        prefetch_limit=prefetch_limit(conf, 1 if kind == "prefork" else slots, prefetch_multiplier),
    )


def run_node(app: Canvas, plan: WorkerOptions, setup: NodeSetup) -> int:
    """Run until stopped. Returns the exit code.

    Raises ConfigurationError, and OperationalError when the servers do not answer.
    """
    starting, known = Starting(plan.hostname), at_setup(plan, setup.options)
    hold_over_forks()
    with put_back_afterwards():
        starting.listen()
        setup.files.acquire()
        try:
            code = _run(app, plan, setup, starting, known)
        finally:
            setup.files.remove()
        emit("worker.shutdown", hostname=plan.hostname, app=app, known=known)
        flush()
    return code


def _run(app: Canvas, plan: WorkerOptions, setup: NodeSetup, starting: Starting, known: dict[str, Any]) -> int:
    """``known``: the attributes of the worker as the sender of its signals, which are added to."""
    hooks = request_hooks(app)
    batched_tasks(app, plan.pool)
    with ExitStack() as stack:
        if hooks is not None:
            stack.callback(hooks.close)
        _prepare(app, plan, setup, known)
        endpoint = Endpoint(app, setup.http_address) if setup.http_address else None
        if endpoint is not None:
            endpoint.start()
            stack.callback(endpoint.stop)
        starting.wait_for(lambda ended: _find_servers(app, plan, setup.purge, ended))
        if starting.stopped:
            return starting.exit_code
        _warn(app, plan)
        stack.callback(Outages().close)
        node = Node(app, plan, setup, starting, endpoint)
        known.update(once_made(node.steps.worker))
        stack.callback(node.close)
        return node.pool.run(on_ready=node.open)


def _prepare(app: Canvas, plan: WorkerOptions, setup: NodeSetup, known: dict[str, Any]) -> None:
    if plan.pool == "solo":
        emit("worker.process_init", hostname=plan.hostname)
    before = names_of_all(app)
    emit("worker.preparing", hostname=plan.hostname, app=app, known=known)
    plan.queues[:] = changed_by_program(app, plan.queues, before)
    if setup.say is not None:
        setup.say(banner(app, plan, setup.http_address))


def _find_servers(app: Canvas, plan: WorkerOptions, purge: bool, ended: Event) -> None:
    """Wait for the servers, until ``ended`` is set; declare the queues.

    Raises ConfigurationError for a task with a limit that the broker cannot keep.
    """
    check_limits(app)
    plan.queues[:] = own_behind_fanouts(app, plan.queues, plan.id)

    def begin() -> None:
        for queue in plan.queues if purge and not ended.is_set() else ():
            purge_queue(app, queue)
        if not ended.is_set():
            declare(app, plan.queues)

    connect(app, ended, begin)


def _warn(app: Canvas, plan: WorkerOptions) -> None:
    _warn_of_limits(app, plan)
    idle = ignored_settings(app.conf)
    if idle:
        emit("settings.ignored", settings=idle)


class Companion(Protocol):
    """The services that run beside a pool."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Node:
    """A pool and its companions: remote control, heartbeat, autoscaling."""

    def __init__(
        self, app: Canvas, plan: WorkerOptions, setup: NodeSetup, starting: Starting, endpoint: Endpoint | None
    ) -> None:  # fmt: skip
        self._app = app
        self._plan = plan
        self._files = setup.files
        self._starting = starting
        self._mingles = setup.mingles and plan.remote_control
        self._detach = attach(lambda **_: setup.files.stopping(), "worker.stopping")
        self._memory = memory = SharedMemory()
        self.pool = _pool(app, plan, memory)
        self._quiet = attach(partial(report_running, self.pool.ask), "worker.stopping")
        heart = WorkerHeartbeat(app, plan.hostname, memory, plan.heartbeat) if plan.heartbeat else None
        scaler = Autoscaler(app, plan, memory, self.pool, *plan.autoscale) if plan.autoscale else None
        self.steps = UserSteps(app, plan, self.pool, memory, setup.options)
        self._fanout = FanoutQueues(app)
        panel = Panel(app, plan, self.pool, memory, heart, scaler, self.steps.consumer, self._fanout)
        self.steps.worker.stats = panel.stats
        self._control = Pidbox(app, plan.hostname, panel, memory)
        self._endpoint = endpoint
        self._metrics = None if endpoint is None else _metrics(app, plan, memory)
        self._companions: list[Companion] = [one for one in (heart, scaler, self.steps) if one is not None]

    def open(self) -> None:
        """Listen to remote control, start the pool's companions, and report that the node is ready. Nothing of that
        where the worker is to end already."""
        if self._starting.stopped:
            self._starting.hand_over()
            return
        if self._plan.remote_control:
            self._control.start()
            self._control.wait_until_listening(_LISTENING_WITHIN)
        for queue in self._app.router.consumed(self._plan.queues):
            self._fanout.serve(queue, _LISTENING_WITHIN)
        for companion in self._companions:
            companion.start()
        if self._endpoint is not None:
            self._endpoint.ready(self._metrics)
        if self._mingles:
            threading.Thread(target=self._mingle, name="canvas-mingle", daemon=True).start()
        self._files.ready()
        emit("worker.ready", hostname=self._plan.hostname, app=self._app, consumer=self.steps.consumer)

    def close(self) -> None:
        """Stop the services of the node."""
        self._control.stop()
        self._fanout.stop()
        for companion in self._companions:
            companion.stop()
        self._detach()
        self._quiet()

    def _mingle(self) -> None:
        """Exchange revocations and clocks with workers that keep them in memory: Celery's (protocol.md §6)."""
        app, me = self._app, self._plan.hostname
        try:
            known = revoked_ids(app.driver.coordination.revoked()[1])
            asked = {"from_node": me, "revoked": known, "canvas_node": self._plan.id}
            answers = app.control.broadcast("hello", asked, reply=True, timeout=_MINGLE_FOR) or []
            revoked: set[str] = set()
            if sum(me in answer for answer in answers) > 1:
                emit("worker.same_name", hostname=me)
            for node, answer in (item for found in answers for item in found.items()):
                if node != me and isinstance(answer, dict):
                    revoked.update(one for one in answer.get("revoked") or () if isinstance(one, str))
                    self._memory.adjust(int(answer.get("clock") or 0))
            app.control.keep_revoked(sorted(revoked.difference(known)))
            answered = [item for found in answers for item in found.items() if item[0] != me]
            self._look_at_celery([node for node, answer in answered if "canvas_node" not in (answer or ())])
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))
        except (CanvasError, ValueError, TypeError) as exc:
            emit("control.undecodable", reason=repr(exc))

    def _look_at_celery(self, others: list[str]) -> None:
        """Report the Celery workers among ``others`` that consume a queue of this one, all at once."""
        # Several may have one name.
        asked: Any = {"destination": others, "reply": True, "timeout": _MINGLE_FOR, "limit": len(others)}
        shared: dict[str, list[str]] = {}
        for answer in (self._app.control.broadcast("active_queues", **asked) if others else None) or ():
            for node, queues in answer.items():
                names = {one.get("name") for one in queues if isinstance(one, dict)} if isinstance(queues, list) else ()
                if found := set(self._plan.queues).intersection(names):
                    shared[node] = sorted(found.union(shared.get(node, ())))
        if shared:
            app = self._app
            runs = app.run_store.count(RunQuery()) if app.driver.runs is not None else 0
            emit("worker.beside_celery", workers=shared, runs=runs)


def _metrics(app: Canvas, plan: WorkerOptions, memory: SharedMemory) -> Metrics | None:
    if find_spec("prometheus_client") is None:
        return None
    metrics = Metrics(app.driver, plan.hostname, plan.queues, memory)
    metrics.listen()
    return metrics


def _pool(app: Canvas, plan: WorkerOptions, memory: SharedMemory) -> Pool:
    if plan.pool == "prefork":
        return Prefork(app, plan, memory)
    return InProcessPool(
        WorkerProcess(app, plan, plan.concurrency, new_worker_id(plan.hostname), memory, memory.open_row())
    )


def _warn_of_limits(app: Canvas, plan: WorkerOptions) -> None:
    """Only a process can be ended from outside: elsewhere hard time limits have no effect, which is said once."""
    if plan.pool == "prefork":
        return
    free = plan.pool == "asyncio"
    limited = sorted(
        task.name
        for task in app.tasks.values()
        if task.time_limit and not (free and inspect.iscoroutinefunction(task.run))
    )
    if app.conf.task_time_limit or limited:
        who = "task_time_limit" if app.conf.task_time_limit else ", ".join(limited[:5])
        emit("worker.time_limit_unsupported", pool=plan.pool, who=who)
