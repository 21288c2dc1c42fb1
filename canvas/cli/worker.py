"""``canvas worker``: Celery's flags, parsed into a node."""

import sys
from contextlib import nullcontext
from functools import partial
from typing import Any

import click

from canvas.app import Canvas
from canvas.cli.options import bounds, comma_separated, host_and_port
from canvas.errors import ConfigurationError
from canvas.worker import metrics, streams
from canvas.worker.handlers import put_back_afterwards
from canvas.worker.heart import INTERVAL
from canvas.worker.log_setup import WorkerLog
from canvas.worker.names import file_name
from canvas.worker.node import POOLS, plan_node, run_node
from canvas.worker.presence import Presence
from canvas.worker.starting import end_while_loading

_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"]


@click.command(name="worker")
@click.option("-n", "--hostname", help="Node name; %h is the host's name, %n its first part, %d its domain.")
@click.option("-l", "--loglevel", default="WARNING", type=click.Choice(_LEVELS, case_sensitive=False))
@click.option("-f", "--logfile", type=click.Path(dir_okay=False), help="Write the log here instead of stderr.")
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="How many tasks run at once.")
@click.option("-P", "--pool", type=click.Choice([*POOLS, "processes"]), help="Where tasks run.")
@click.option("-Q", "--queues", callback=comma_separated, help="Queues to consume, comma-separated.")
@click.option("-X", "--exclude-queues", callback=comma_separated, help="Queues not to consume, comma-separated.")
@click.option("-I", "--include", callback=comma_separated, help="Modules to import, comma-separated.")
@click.option("--prefetch-multiplier", type=click.IntRange(min=0), help="Messages to hold per place to run.")
@click.option("--disable-prefetch", is_flag=True, default=None, help="Hold nothing beyond what runs.")
@click.option("--purge", "--discard", is_flag=True, help="Delete what waits in the queues first.")
@click.option("-O", "optimization", type=click.Choice(["default", "fair"]), default="default",
              help="fair: hold nothing beyond what runs.")  # fmt: skip
@click.option("--autoscale", callback=bounds, help="max,min: as many places as there is work for, between these.")
@click.option("--max-tasks-per-child", type=click.IntRange(min=1), help="Replace a prefork process after so many.")
@click.option("--max-memory-per-child", type=click.IntRange(min=1), help="… above so much memory, KiB.")
@click.option("--time-limit", type=float, help="Hard limit of tasks without one of their own, seconds.")
@click.option("--soft-time-limit", type=float, help="Soft limit, seconds.")
@click.option("-E", "--task-events/--no-task-events", default=None, help="Send events of tasks, for monitors.")
@click.option("--heartbeat-interval", type=click.FloatRange(min=0.1), default=INTERVAL, help="Seconds.")
@click.option("--without-heartbeat", is_flag=True, help="Send no heartbeat events.")
@click.option("--without-mingle", is_flag=True, help="Don't ask other workers what is revoked at start.")
@click.option("--without-gossip", is_flag=True, expose_value=False, help="Accepted; there is no gossip to leave out.")
@click.option("--pidfile", type=click.Path(dir_okay=False), help="Write the process id here; refuse if one runs.")
@click.option("--ready-file", type=click.Path(dir_okay=False), help="A file that is there while the worker takes work.")
@click.option("--http-address", callback=host_and_port,
              help="host:port of /health and /metrics; a port alone is loopback's.")  # fmt: skip
@click.option("--log-json", is_flag=True, help="One JSON object a line instead of text.")
@click.option(
    "-s", "--statedb", hidden=True, expose_value=False, help="Accepted; what is revoked is kept in the broker."
)
@click.pass_context
def worker(
    context: click.Context,
    /,
    loglevel: str,
    logfile: str | None,
    queues: list[str],
    include: list[str],
    prefetch_multiplier: int | None,
    disable_prefetch: bool | None,
    purge: bool,
    optimization: str,
    time_limit: float | None,
    soft_time_limit: float | None,
    task_events: bool | None,
    heartbeat_interval: float,
    without_heartbeat: bool,
    without_mingle: bool,
    pidfile: str | None,
    ready_file: str | None,
    http_address: tuple[str, int] | None,
    log_json: bool,
    **planned: Any,
) -> None:
    """Run a worker: take tasks from queues and run them."""
    streams.open_missing()
    # prometheus_client decides at its first import, perhaps by the app, where its values are.
    with put_back_afterwards(), metrics.directory() if http_address else nullcontext():
        end_while_loading()
        app: Canvas = context.obj.app
        if time_limit is not None:
            app.conf.task_time_limit = time_limit
        if soft_time_limit is not None:
            app.conf.task_soft_time_limit = soft_time_limit
        if include:
            app.conf.include = [*app.conf.include, *include]
        if disable_prefetch is not None:
            app.conf.worker_disable_prefetch = disable_prefetch
        if optimization == "fair" and prefetch_multiplier is None:
            prefetch_multiplier = 1
        planned |= {"queues": queues, "prefetch_multiplier": prefetch_multiplier, "events": task_events}
        try:
            plan = plan_node(app, heartbeat=None if without_heartbeat else heartbeat_interval, **planned)
            say = None if getattr(context.obj, "quiet", False) else partial(click.echo, file=sys.stdout)
            presence = Presence(*(file_name(path, plan.hostname) if path else None for path in (pidfile, ready_file)))
            log = WorkerLog(app.conf, plan.hostname, loglevel, logfile, log_json, context.color)
            try:
                log.open()
                code = run_node(app, plan, say, presence, not without_mingle, http_address, purge)
            finally:
                log.close()
        except ConfigurationError as exc:
            raise click.UsageError(str(exc)) from exc
    streams.drop_unwritable()
    sys.exit(code)
