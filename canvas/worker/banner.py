"""The lines that a worker prints when it starts, as Celery's does."""

import platform
import sys

from canvas.app.application import Canvas
from canvas.app.broker_address import broker_address
from canvas.config.config import Config
from canvas.masking import masked_url
from canvas.version import DOCUMENTATION, __version__
from canvas.worker.options import WorkerOptions

_LOGO = r"""
   ___ __ _ _ ____   ____ _ ___
  / __/ _` | '_ \ \ / / _` / __|
 | (_| (_| | | | \ V / (_| \__ \
  \___\__,_|_| |_|\_/ \__,_|___/
"""


def _brokers(conf: Config) -> str:
    """The broker, or the servers of ``broker_shards`` with their queues."""
    shards = [f"{masked_url(url)} ({', '.join(patterns)})" for url, patterns in conf.broker_shards.items()]
    return "\n                 ".join(shards) or masked_url(broker_address(conf))


def _results(app: Canvas) -> str:
    """The URL of the results. That of a class of result backends is known to the backend alone, which opens it."""
    url = app.conf.result_backend or "disabled://"
    return masked_url(url) if isinstance(url, str) and "://" in url else app.backend.as_uri()


def banner(app: Canvas, plan: WorkerOptions, http_address: tuple[str, int] | None = None) -> str:
    """App, broker, results, concurrency, limits, HTTP address, queues and tasks; passwords masked."""
    conf = app.conf
    queues = "\n".join(f" .> {queue:<16} exchange={queue} key={queue}" for queue in plan.queues)
    tasks = "\n".join(f"  . {name}" for name in sorted(app.tasks.regular()))
    return (
        f"{_LOGO}\n {plan.hostname}, canvas {__version__}\n"
        f" {platform.platform()} python {sys.version.split()[0]}\n\n"
        f" [config]\n"
        f" .> app:         {app.main or '__main__'}:{id(app):#x}\n"
        f" .> transport:   {_brokers(conf)}\n"
        f" .> results:     {_results(app)}\n"
        f" .> concurrency: {_concurrency(plan)}\n"
        f" .> task events: {'ON' if plan.events else 'OFF (enable -E to monitor tasks in this worker)'}\n"
        f" .> acks:        {_ACKS[bool(conf.task_acks_late)]}\n"
        f" .> time limits: {_limits(conf.task_time_limit, conf.task_soft_time_limit)}\n"
        f" .> http:        {_address(http_address)}\n"
        f" .> help:        {DOCUMENTATION}troubleshooting/\n\n"
        f" [queues]\n{queues}\n\n [tasks]\n{tasks or '  (none)'}\n"
    )


_ACKS = {True: "late (a task that is cut off runs again)", False: "early (a task that is cut off is lost)"}


def _concurrency(plan: WorkerOptions) -> str:
    if plan.autoscale is None:
        return f"{plan.concurrency} ({plan.pool})"
    most, fewest = plan.autoscale
    return f"{{min={fewest}, max={most}}} ({plan.pool})"


def _limits(hard: float | None, soft: float | None) -> str:
    """The limits of tasks that have none of their own."""
    limits = [f"{seconds:g} s {kind}" for seconds, kind in ((soft, "soft"), (hard, "hard")) if seconds]
    return ", ".join(limits) or "none (set task_time_limit, task_soft_time_limit)"


def _address(address: tuple[str, int] | None) -> str:
    if address is None:
        return "OFF (give --http-address for /health, /livez and /metrics)"
    host, port = address
    return f"http://{f'[{host}]' if ':' in host else host}:{port} (/health, /livez, /metrics)"
