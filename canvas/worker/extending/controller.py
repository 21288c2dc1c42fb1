"""The worker and its consumer as bootsteps and receivers of signals see them: Celery's attributes that canvas has."""

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from types import ModuleType
from typing import Any

from canvas.app.application import Canvas
from canvas.errors import ConfigurationError
from canvas.exceptions import WorkerTerminate
from canvas.worker.extending.timer import Timer
from canvas.worker.options import WorkerOptions
from canvas.worker.pools.child_commands import ConsumeQueues
from canvas.worker.pools.pool import Pool

_INSTEAD = {
    "gossip": "workers exchange no news; app.events.Receiver reads the events of all workers",
    "strategies": "messages are run by canvas' own pipeline; use signals or the hooks of Task",
    "qos": "prefetching follows worker_prefetch_multiplier",
    "hub": "there is no event loop to add to; use the timer, or a thread of your own",
    "event_loop": "there is no event loop to add to; use the timer, or a thread of your own",
    "blueprint": "steps are in app.steps, and are started in the order that their requires give",
}

_POOL_MODULES = {name: f"celery.concurrency.{name.removesuffix('s')}" for name in ("prefork", "solo", "threads")}
"""By pool, the module of Celery's class."""


class _Part:
    """Refuses attributes of Celery's that canvas does not have, with the alternative."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _INSTEAD:
            raise AttributeError(f"the {type(self).__name__.lower()} of a canvas worker has no {name!r}")
        raise AttributeError(f"the {type(self).__name__.lower()} of a canvas worker has no {name}: {_INSTEAD[name]}")


class PoolView:
    """The pool, as steps see it."""

    def __init__(self, pool: Pool, plan: WorkerOptions) -> None:
        self._pool = pool
        self._plan = plan

    @property
    def num_processes(self) -> int:
        """How many tasks run at once."""
        return self._plan.concurrency

    limit = num_processes

    def grow(self, n: int = 1) -> None:
        self._pool.resize(n)

    def shrink(self, n: int = 1) -> None:
        self._pool.resize(-n)

    def restart(self) -> None:
        """Replace every process, warmly. Raises ValueError where the pool cannot."""
        self._pool.restart()


@cache
def pool_class(pool: str) -> type[PoolView]:
    """The class of views of a kind of pool; programs compare its module with Celery's."""
    module = _POOL_MODULES.get(pool)
    return PoolView if module is None else type("TaskPool", (PoolView,), {"__module__": module})


class Worker(_Part):
    """The parent of the steps in ``app.steps["worker"]``."""

    stats: Callable[[], dict[str, Any]]
    """The answer of ``inspect stats``. The node sets it."""

    def __init__(self, app: Canvas, plan: WorkerOptions, pool: Pool, options: Mapping[str, Any]) -> None:
        """``options``: those of the command line, by their names."""
        self.app = app
        self.hostname = plan.hostname
        self.options = dict(options)
        self.steps: list[Any] = []
        self.timer = Timer(on_exit=self._exit)
        self.loglevel = options.get("loglevel")
        self.logfile = options.get("logfile")
        self.pidfile = options.get("pidfile")
        self.pool = pool_class(plan.pool)(pool, plan)
        self._plan = plan
        self._pool = pool

    @property
    def concurrency(self) -> int:
        return self._plan.concurrency

    @property
    def pool_cls(self) -> type[PoolView]:
        """The class of ``pool``."""
        return pool_class(self._plan.pool)

    @property
    def queues(self) -> list[str]:
        """The names of the queues that it consumes."""
        return list(self._plan.queues)

    @property
    def state(self) -> ModuleType:
        """The module ``celery.worker.state``."""
        from canvas.worker.extending import state

        return state

    @property
    def active_requests(self) -> list[Any]:
        """The requests of the tasks that run."""
        found: list[Any] = self.state.active_requests
        return found

    @property
    def reserved_requests(self) -> list[Any]:
        """The requests of the tasks that are prefetched or run."""
        found: list[Any] = self.state.reserved_requests
        return found

    @cached_property
    def consumer(self) -> "Consumer":
        return Consumer(self)

    def stop(self, in_sighandler: bool = False, exitcode: int | None = None) -> None:
        """End after the tasks that run."""
        self._pool.stop()

    def terminate(self, in_sighandler: bool = False) -> None:
        """End after the tasks that run. A second signal (INT, or QUIT) ends the worker at once."""
        self._pool.stop()

    def reload(self, modules: Any = None, reload: bool = False, reloader: Any = None) -> None:
        """Nothing: a task that is registered is known at once."""

    def info(self) -> dict[str, Any]:
        """How many tasks of each name ran, the process id, the clock, and the seconds since the start."""
        stats = self.stats()
        return {name: stats[name] for name in ("total", "pid", "clock", "uptime")}

    def rusage(self) -> dict[str, Any]:
        """The resources that this process has used, as ``getrusage`` names them."""
        found: dict[str, Any] = self.stats()["rusage"]
        return found

    def consume(self, queues: list[str]) -> None:
        """Consume these queues from now on."""
        self._pool.ask(ConsumeQueues(queues))

    def _exit(self, exc: SystemExit) -> None:
        (self.terminate if isinstance(exc, WorkerTerminate) else self.stop)()

    def __repr__(self) -> str:
        return f"<Worker: {self.hostname}>"


class TaskConsumer:
    """The queues that a worker takes tasks from, under the names that kombu's consumer has."""

    def __init__(self, controller: Worker) -> None:
        self._controller = controller

    @property
    def queues(self) -> list[Any]:
        known = self._controller.app.amqp.queues
        return [known[name] for name in self._controller.queues]

    def consuming_from(self, queue: Any) -> bool:
        """``queue``: a queue, or its name."""
        return getattr(queue, "name", queue) in self._controller.queues

    def cancel_by_queue(self, queue: Any) -> None:
        """Take no more tasks from a queue."""
        self._controller.consumer.cancel_task_queue(getattr(queue, "name", queue))


class Consumer(_Part):
    """The parent of the steps in ``app.steps["consumer"]``, and the sender of ``worker_ready``."""

    def __init__(self, controller: Worker) -> None:
        self.controller = controller
        self.app = controller.app
        self.hostname = controller.hostname
        self.timer = controller.timer
        self.pool = controller.pool
        self.steps: list[Any] = []

    @cached_property
    def connection(self) -> Any:
        """A connection to the broker: kombu's where kombu is installed."""
        return self.app.connection()

    @cached_property
    def task_consumer(self) -> TaskConsumer:
        return TaskConsumer(self.controller)

    @cached_property
    def event_dispatcher(self) -> Any:
        """Sends events in the name of this worker."""
        return self.app.events.Dispatcher(hostname=self.hostname)

    def add_task_queue(self, queue: str, *address: Any, **options: Any) -> None:
        """Take tasks from one queue more. Raises ConfigurationError for an exchange, which remote control declares."""
        if address or options:
            raise ConfigurationError("add_task_queue: name an exchange by app.control.add_consumer")
        known = self.controller.queues
        self.controller.consume([*known, *([] if queue in known else [queue])])

    def cancel_task_queue(self, queue: str) -> None:
        """Take no more tasks from a queue."""
        self.controller.consume([name for name in self.controller.queues if name != queue])

    def __repr__(self) -> str:
        return f"<Consumer: {self.hostname}>"
