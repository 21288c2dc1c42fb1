"""Celery's attributes of a worker, for the receivers of its signals."""

from collections.abc import Mapping
from typing import Any

from canvas.worker.extending import state
from canvas.worker.extending.controller import Worker, pool_class
from canvas.worker.options import WorkerOptions

_OF_WORKER = ("pool", "consumer", "timer", "steps", "stop", "terminate", "reload", "stats", "info", "rusage")


def at_init(
    pool: str, slots: int, autoscale: tuple[int, int] | None, options: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """The attributes of a worker that has no pool yet, as ``worker_init`` shows it: ``pool_cls`` is a name.

    ``options``: those of the command line.
    """
    most, fewest = autoscale or (None, slots)
    named = {name: options.get(name) for name in ("loglevel", "logfile", "pidfile")}
    about = {"pool_cls": pool, "concurrency": slots, "max_concurrency": most, "min_concurrency": fewest}
    absent = dict.fromkeys(("pool", "consumer", "blueprint", "semaphore", "exitcode"))
    return {**absent, **about, **named, "options": dict(options), "state": state}


def at_setup(plan: WorkerOptions, options: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a worker that knows its pool's class, as ``celeryd_after_setup`` shows it."""
    return {**at_init(plan.pool, plan.concurrency, plan.autoscale, options), "pool_cls": pool_class(plan.pool)}


def once_made(worker: Worker) -> dict[str, Any]:
    """The attributes that come with the parts of a worker, as ``worker_shutdown`` shows them."""
    return {name: getattr(worker, name) for name in _OF_WORKER}
