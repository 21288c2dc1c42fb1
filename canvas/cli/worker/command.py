"""``canvas worker``: Celery's flags, parsed into a node."""

import logging
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, TextIO

import click

from canvas.app.application import Canvas
from canvas.cli import daemon
from canvas.cli.extending.user_options import OpenCommand, all_options, take_settings, taken, usage_error
from canvas.cli.options import LOG_LEVELS, bounds, comma_separated, host_and_port
from canvas.cli.worker.embedded_beat import embedded_beat
from canvas.cli.worker.option_types import Pool, concurrency, only_fork
from canvas.errors import ConfigurationError
from canvas.integrations import prometheus
from canvas.telemetry import attach, emit
from canvas.worker.logs import streams
from canvas.worker.logs.setup import WorkerLog, log_level, own_log
from canvas.worker.monitoring.heartbeat import HEARTBEAT_INTERVAL
from canvas.worker.names import file_name, node_name
from canvas.worker.node import plan_node, run_node
from canvas.worker.options import NodeSetup
from canvas.worker.process_files import ProcessFiles
from canvas.worker.signal_handlers import put_back_afterwards
from canvas.worker.startup import warn_of_slips
from canvas.worker.stop_while_starting import end_while_loading

_DAEMON = ("logfile", "pidfile", "uid", "gid", "umask", "executable")
"""Options that may be settings, after ``worker_``."""


@click.command(name="worker", cls=OpenCommand, context_settings={"allow_extra_args": True})
@click.option(
    "-n",
    "--hostname",
    help="Node name, such as w1@%h: %h is the machine's name, %n its first part, %d its domain.  [default: celery@%h]",
)
@click.option(
    "-l",
    "--loglevel",
    default="WARNING",
    show_default=True,
    type=LOG_LEVELS,
    help="INFO logs each task's start and end.",
)
@click.option(
    "-f",
    "--logfile",
    type=click.Path(),
    help="Write the log here instead of stderr; %n is the node's name, %I the number of the pool's process.",
)
@click.option("--log-json", is_flag=True, help="Log one JSON object per line.")
@click.option(
    "-c",
    "--concurrency",
    metavar="N|auto",
    callback=concurrency,
    help="How many tasks run at once; auto heeds CPU limits.  [default: the number of cores]",
)
@click.option("-P", "--pool", type=Pool(), help="Where tasks run.  [default: prefork]")
@click.option(
    "-Q",
    "--queues",
    callback=comma_separated,
    help="Queues to consume, comma-separated.  [default: all of task_queues, else task_default_queue]",
)
@click.option("-X", "--exclude-queues", callback=comma_separated, help="Queues not to consume, comma-separated.")
@click.option("-I", "--include", callback=comma_separated, help="Modules to import, comma-separated.")
@click.option("--prefetch-multiplier", type=click.IntRange(min=0), help="Messages to hold per task that can run.")
@click.option("--disable-prefetch", is_flag=True, default=None, help="Hold no messages but those of running tasks.")
@click.option("--purge", "--discard", is_flag=True, help="Delete all messages of the queues first.")
@click.option(
    "-O",
    "--optimization",
    type=click.Choice(["default", "fair"]),
    default="default",
    show_default=True,
    help="fair: hold no messages but those of running tasks.",
)
@click.option("--autoscale", callback=bounds, help="MAX,MIN: the number of tasks that run at once follows the work.")
@click.option("--max-tasks-per-child", type=click.IntRange(min=1), help="Replace a prefork process after N tasks.")
@click.option("--max-memory-per-child", type=click.IntRange(min=1), help="Replace a prefork process above N KiB.")
@click.option("--time-limit", type=float, help="Hard time limit of tasks that have none, in seconds.")
@click.option("--soft-time-limit", type=float, help="Soft time limit of tasks that have none, in seconds.")
@click.option("-E", "--task-events/--no-task-events", "--events", default=None, help="Send task events, for monitors.")
@click.option(
    "--heartbeat-interval",
    type=click.FloatRange(min=0.1),
    default=HEARTBEAT_INTERVAL,
    show_default=True,
    help="Seconds between heartbeat events.",
)
@click.option("--without-heartbeat", is_flag=True, help="Send no heartbeat events.")
@click.option("--without-mingle", is_flag=True, help="Don't ask other workers at start which tasks are revoked.")
@click.option("--without-gossip", is_flag=True, expose_value=False, help="Accepted; canvas has no gossip.")
@click.option("-D", "--detach", is_flag=True, help="Run in the background; use with --logfile and --pidfile.")
@click.option("--pidfile", type=click.Path(), help="Write the process id here; refuse to start if its process runs.")
@click.option("--ready-file", type=click.Path(), help="A file that exists while the worker takes tasks.")
@click.option("--uid", help="User to become, by name or number.")
@click.option("--gid", help="Group to become, by name or number.")
@click.option("--umask", help="Mask of the files it creates, such as 022.")
@click.option("--executable", help="Python to run with --detach.")
@click.option(
    "--http-address",
    callback=host_and_port,
    help="Serve /health, /livez and /metrics on HOST:PORT (a bare PORT binds 127.0.0.1).",
)
@click.option(
    "--pool-start-method",
    type=click.Choice(["fork", "spawn"]),
    callback=only_fork,
    expose_value=False,
    help="Accepted; processes are always forked.",
)
@click.option("-B", "--beat", is_flag=True, help="Run beat too, which sends periodic tasks.")
@click.option("-S", "--statedb", hidden=True, expose_value=False)
@click.option("-s", "--schedule", "--schedule-filename", help="With -B: the file of Celery's beat; see canvas beat -s.")
@click.option("--scheduler", help="With -B: as canvas beat -S.")
@click.pass_context
def worker(context: click.Context, /, http_address: tuple[str, int] | None, **given: Any) -> None:
    """Run a worker: take tasks from queues and run them.

    For example: canvas -A proj worker -l INFO -Q high,low -c 4
    """
    streams.open_missing()
    # prometheus_client chooses the place of its values at its first import, which the app may do.
    with put_back_afterwards(), prometheus.directory() if http_address else nullcontext():
        end_while_loading()
        app = _app(context)
        try:
            take_settings(context, app, "worker")
            own = all_options(context, taken(context, app, "worker", given))
            started = _start(context, app, {key: given.pop(key) for key in _DAEMON}, given)
            code = 0 if started is None else _run(context, app, started, http_address, given, own)
        except ConfigurationError as exc:
            raise usage_error(exc) from exc
    streams.drop_unwritable()
    context.exit(code)


def _app(context: click.Context) -> Canvas:
    """The app; a worker without one would take messages that it cannot run."""
    known = context.obj
    if known.name is None and known.own is None and not (known.broker or known.config):
        raise click.UsageError(
            "name your app, as in: canvas -A proj worker. For a worker without one, give --broker URL"
        )
    app: Canvas = known.app
    return app


def _start(context: click.Context, app: Canvas, about: dict[str, Any], given: dict[str, Any]) -> dict[str, Any] | None:
    """Apply the options of a daemon; ``None`` in the process that has started the daemon."""
    about = {key: value if value is not None else getattr(app.conf, f"worker_{key}", None)
             for key, value in about.items()}  # fmt: skip
    node = node_name(given["hostname"])

    def check() -> None:
        daemon.drop_privileges(about["uid"], about["gid"])
        daemon.set_umask(about["umask"])
        if about["logfile"]:
            with open(file_name(about["logfile"], node), "a"):
                pass
        files = ProcessFiles(file_name(about["pidfile"], node) if about["pidfile"] else None)
        files.acquire()
        files.remove()

    if given.pop("detach"):
        if context.obj.own is not None:
            raise ConfigurationError(
                "--detach works with the canvas command only: a program that starts a worker has to detach itself"
            )
        logfile = file_name(about["logfile"], node) if about["logfile"] else None
        if daemon.detach(check, context.obj.started_in, os.path.abspath(logfile) if logfile else None,
                         about["executable"]):  # fmt: skip
            return None
    daemon.drop_privileges(about["uid"], about["gid"])
    daemon.set_umask(about["umask"])
    return about


def _run(
    context: click.Context, app: Canvas, about: dict[str, Any], http_address: tuple[str, int] | None,
    given: dict[str, Any], options: dict[str, Any],
) -> int:  # fmt: skip
    """Run the node. Returns its exit code. Bootsteps get ``options``."""
    level, log_json, ready_file = (given.pop(key) for key in ("loglevel", "log_json", "ready_file"))
    purge, mingles = given.pop("purge"), not given.pop("without_mingle")
    beat, schedule, scheduler = given.pop("beat"), given.pop("schedule"), given.pop("scheduler")
    _change_settings(app, given)
    plan = plan_node(app, **given, others={**options, "loglevel": log_level("loglevel", level)})
    say = None if getattr(context.obj, "quiet", False) else partial(_say, sys.stdout)
    files = ProcessFiles(*(file_name(path, plan.hostname) if path else None for path in (about["pidfile"], ready_file)))
    log = WorkerLog(app.conf, plan.hostname, level, about["logfile"], log_json, context.color, app.tasks, own_log(app))
    try:
        log.open()
        warn_of_slips(app, plan.queues)
        if say is not None and not logging.getLogger("celery.worker").isEnabledFor(logging.INFO):
            attach(partial(_ready, say), "worker.ready")
        metrics_of = plan.hostname if http_address else None
        with embedded_beat(app, schedule, scheduler, metrics_of) if beat else nullcontext():
            return run_node(app, plan, NodeSetup(say, files, mingles, http_address, purge, options))
    finally:
        log.close()


def _say(stdout: TextIO, text: str) -> None:
    """Print to the terminal. A worker whose output cannot be written, as on a full disk, runs all the same."""
    try:
        click.echo(text, file=stdout)
    except OSError as exc:
        emit("worker.output_lost", stream="stdout", error=str(exc))


def _ready(say: Callable[[str], None], hostname: str, **_: Any) -> None:
    """Print to the terminal the lines that the log shows at level INFO only."""
    say(f"{hostname} ready.")


def _change_settings(app: Canvas, given: dict[str, Any]) -> None:
    """The options that are settings too; the rest of ``given`` is left for ``plan_node``."""
    conf = app.conf
    limits = {f"task_{key}": given.pop(key) for key in ("time_limit", "soft_time_limit")}
    prefetch = {"worker_disable_prefetch": given.pop("disable_prefetch")}
    for name, value in (limits | prefetch).items():
        if value is not None:
            setattr(conf, name, value)
    include = given.pop("include")
    if include:
        conf.include = [*conf.include, *include]
    if given.pop("optimization") == "fair" and given["prefetch_multiplier"] is None:
        given["prefetch_multiplier"] = 1
    given["events"] = given.pop("task_events")
    interval, without = given.pop("heartbeat_interval"), given.pop("without_heartbeat")
    given["heartbeat"] = None if without else interval
