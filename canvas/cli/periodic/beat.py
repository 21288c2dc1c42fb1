"""``canvas beat``: Celery's flags, and the service that sends periodic tasks."""

import signal
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import click

from canvas.app.application import Canvas
from canvas.app.broker_address import broker_address
from canvas.beat.running import BeatService
from canvas.beat.sources import service_of
from canvas.cli import daemon
from canvas.cli.extending.user_options import OpenCommand, take_settings, taken, usage_error
from canvas.cli.options import LOG_LEVELS, host_and_port
from canvas.cli.periodic.monitoring import monitored
from canvas.errors import ConfigurationError
from canvas.masking import masked_url
from canvas.version import __version__
from canvas.worker.logs.setup import WorkerLog, own_log
from canvas.worker.names import node_name
from canvas.worker.process_files import ProcessFiles
from canvas.worker.signal_handlers import handle, put_back_afterwards

_NAME = "celerybeat@%h"


@click.command(name="beat", cls=OpenCommand, context_settings={"allow_extra_args": True})
@click.option("--detach", is_flag=True, help="Run in the background; use with --logfile and --pidfile.")
@click.option("-s", "--schedule", "schedule_filename", type=click.Path(),
              help="File of Celery's beat, from which the last runs of entries are read once."
                   "  [default: celerybeat-schedule]")  # fmt: skip
@click.option("-S", "--scheduler",
              help="Where entries are kept: django (django-celery-beat's tables), redbeat (celery-redbeat's keys); "
                   "a scheduler class by its path. Default: in the broker.")  # fmt: skip
@click.option(
    "--max-interval", type=click.FloatRange(min=0), help="Longest wait between two checks for due entries, in seconds."
)
@click.option("-l", "--loglevel", default="WARNING", show_default=True,
              type=LOG_LEVELS, help="INFO logs each task that is sent.")  # fmt: skip
@click.option("-f", "--logfile", type=click.Path(), help="Write the log here instead of stderr.")
@click.option("--log-json", is_flag=True, help="Log one JSON object per line.")
@click.option("--pidfile", type=click.Path(), help="Write the process id here; refuse to start if its process runs.")
@click.option("--uid", help="User to become, by name or number.")
@click.option("--gid", help="Group to become, by name or number.")
@click.option("--umask", help="Mask of the files it creates, such as 022.")
@click.option("--executable", help="Python to run with --detach.")
@click.option("--http-address", callback=host_and_port,
              help="Serve /health, /livez and /metrics on HOST:PORT (a bare PORT binds 127.0.0.1).")  # fmt: skip
@click.option("-n", "--hostname", help="Name of this beat, such as beat1@%h.  [default: celerybeat@%h]")
@click.option("--enable-remote-control/--no-enable-remote-control", default=None,
              help="Answer canvas inspect ping and canvas status.  [default: beat_enable_remote_control]")  # fmt: skip
@click.pass_context
def beat(context: click.Context, /, **given: Any) -> None:
    """Send periodic tasks, and start periodic workflows, when they are due.

    Any number of beats may run for one app: each tick is sent once. For example: canvas -A proj beat -l INFO
    """
    app = _app(context)
    try:
        taken(context, app, "beat", given)
        take_settings(context, app)
        if not daemon.in_background(given, context.obj.started_in):
            _run(context, app, given)
    except ConfigurationError as exc:
        raise usage_error(exc) from exc


def _app(context: click.Context) -> Canvas:
    known = context.obj
    if known.name is None and known.own is None:
        raise click.UsageError("name your app, as in: canvas -A proj beat")
    app: Canvas = known.app
    return app


def _run(context: click.Context, app: Canvas, given: dict[str, Any]) -> None:
    app.import_task_modules()
    service = service_of(
        app, given["scheduler"] or app.conf.beat_scheduler, given["max_interval"], given["schedule_filename"]
    )
    files = ProcessFiles(given["pidfile"])
    name, remote_control = node_name(given["hostname"] or _NAME), given["enable_remote_control"]
    if remote_control is None:
        remote_control = app.conf.beat_enable_remote_control
    lines = given["loglevel"], given["logfile"], given["log_json"]
    log = WorkerLog(app.conf, name, *lines, context.color, app.tasks, own_log(app))
    if not context.obj.quiet:
        click.echo(f"canvas beat v{__version__} is starting.")
        click.echo(banner(app, service, given["logfile"], given["loglevel"]))
        if remote_control:
            click.echo(f"    . remote control -> {name}")
    with put_back_afterwards():
        files.acquire()
        try:
            log.open()
            stop: Callable[..., None] = partial(_stop, service)
            handle({signal.SIGTERM: stop, signal.SIGINT: stop})
            with monitored(app, service, name, given["http_address"], remote_control):
                service.start()
        finally:
            log.close()
            files.remove()
    context.exit(0)


def _stop(service: BeatService, *_: object) -> None:
    service.stop()


def banner(app: Canvas, service: BeatService, logfile: str | None, level: str) -> str:
    """The lines that beat shows at its start."""
    return (
        f"LocalTime -> {datetime.now().replace(microsecond=0)}\n"
        "Configuration ->\n"
        f"    . broker -> {masked_url(broker_address(app.conf))}\n"
        f"{service.about}\n"
        f"    . logfile -> {logfile or '[stderr]'}@%{level.upper()}\n"
        f"    . maxinterval -> {float(service.max_interval):.2f} s"
    )
