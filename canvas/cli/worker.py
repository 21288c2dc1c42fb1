"""``canvas worker``: Celery's flags, parsed into a node."""

import sys

import click

from canvas.app import Canvas
from canvas.errors import ConfigurationError
from canvas.worker import log
from canvas.worker.node import POOLS, plan_node, run_node

_LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"]


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()] if value else []


@click.command(name="worker")
@click.option("-n", "--hostname", help="Node name; %h is the host's name, %n its first part, %d its domain.")
@click.option("-l", "--loglevel", default="WARNING", type=click.Choice(_LEVELS, case_sensitive=False))
@click.option("-f", "--logfile", type=click.Path(dir_okay=False), help="Write the log here instead of stderr.")
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="How many tasks run at once.")
@click.option("-P", "--pool", type=click.Choice([*POOLS, "processes"]), help="Where tasks run.")
@click.option("-Q", "--queues", callback=_names, help="Queues to consume, comma-separated.")
@click.option("-X", "--exclude-queues", callback=_names, help="Queues not to consume, comma-separated.")
@click.option("-I", "--include", callback=_names, help="Modules to import, comma-separated.")
@click.option("--prefetch-multiplier", type=click.IntRange(min=0), help="Messages to hold per place to run.")
@click.option("--purge", "--discard", is_flag=True, help="Delete what waits in the queues first.")
@click.option("-O", "optimization", type=click.Choice(["default", "fair"]), default="default",
              help="fair: hold nothing beyond what runs.")  # fmt: skip
@click.option("--without-gossip", is_flag=True, help="Accepted; there is no gossip to leave out.")
@click.option("--without-mingle", is_flag=True, help="Accepted; there is no mingling to leave out.")
@click.option("--without-heartbeat", is_flag=True, help="Accepted; heartbeat events are not sent.")
@click.pass_context
def worker(
    context: click.Context,
    /,
    hostname: str | None,
    loglevel: str,
    logfile: str | None,
    concurrency: int | None,
    pool: str | None,
    queues: list[str],
    exclude_queues: list[str],
    include: list[str],
    prefetch_multiplier: int | None,
    purge: bool,
    optimization: str,
    **_accepted: bool,
) -> None:
    """Run a worker: take tasks from queues and run them."""
    app: Canvas = context.obj.app
    log.set_up("CRITICAL" if loglevel.upper() == "FATAL" else loglevel.upper(), logfile=logfile)
    if include:
        app.conf.include = [*app.conf.include, *include]
    if optimization == "fair" and prefetch_multiplier is None:
        prefetch_multiplier = 1
    try:
        plan = plan_node(
            app,
            hostname=hostname,
            queues=queues,
            exclude_queues=exclude_queues,
            concurrency=concurrency,
            pool=pool,
            prefetch_multiplier=prefetch_multiplier,
        )
    except ConfigurationError as exc:
        raise click.UsageError(str(exc)) from exc
    if purge:
        for queue in plan.queues:
            app.driver.broker.purge(queue)
    quiet = bool(getattr(context.obj, "quiet", False))
    sys.exit(run_node(app, plan, None if quiet else click.echo, queues))
