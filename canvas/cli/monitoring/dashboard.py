"""``canvas dashboard``: serve the pages and the API that show workers, tasks, queues and workflows."""

import os
from collections.abc import Iterable
from typing import Any

import click

from canvas.cli.monitoring import flower_flags
from canvas.cli.monitoring.flower_flags import switch
from canvas.cli.options import comma_separated
from canvas.errors import ConfigurationError
from canvas.text import pip_install

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _env(name: str) -> list[str]:
    return [f"CANVAS_DASHBOARD_{name}", f"FLOWER_{name}"]


_OPTIONS = [
    click.option("--port", default=5555, show_default=True, type=click.IntRange(0, 65_535), envvar=_env("PORT"),
                 help="Port to listen on."),
    click.option("--address", default="127.0.0.1", show_default=True, envvar=_env("ADDRESS"),
                 help="Address to listen on; any other than loopback needs authentication."),
    click.option("--unix-socket", "--unix_socket", type=click.Path(), envvar=_env("UNIX_SOCKET"),
                 help="Listen on this socket instead of a port."),
    click.option("--basic-auth", "--basic_auth", callback=comma_separated, envvar=_env("BASIC_AUTH"),
                 help="Users and passwords: user:password, comma-separated."),
    click.option("--user-header", help="Header in which an authenticating proxy names the user, such as "
                                               "X-Forwarded-User; with --trusted-proxies."),
    click.option("--trusted-proxies", callback=comma_separated,
                 help="Addresses or networks of these proxies, comma-separated."),
    switch("--read-only", "--read_only", default=False, envvar=_env("READ_ONLY"), help="Refuse every action."),
    click.option("--mask", callback=comma_separated,
                 help="Never show arguments, results, or both: arguments,results."),
    click.option("--url-prefix", "--url_prefix", default="", envvar=_env("URL_PREFIX"),
                 help="Path below which a proxy serves the dashboard."),
    click.option("--max-tasks", "--max_tasks", default=20_000, show_default=True, type=click.IntRange(1),
                         envvar=_env("MAX_TASKS"), help="Tasks kept in memory."),
    click.option("--max-workers", "--max_workers", default=1_000, show_default=True, type=click.IntRange(1),
                         envvar=_env("MAX_WORKERS"), help="Workers kept in memory."),
    click.option("--store", envvar="CANVAS_DASHBOARD_STORE",
                 help="Keep history in this database: sqlite:///history.db or postgresql://…"),
    click.option("--store-days", default=7.0, show_default=True, type=click.FloatRange(min=0.001),
                 help="Days that history is kept."),
    click.option("--store-tasks", default=1_000_000, show_default=True, type=click.IntRange(1),
                 help="Tasks that history keeps."),
    click.option("--store-size", type=click.FloatRange(min=0, min_open=True), metavar="MEGABYTES",
                 help="Megabytes that history may take; the oldest tasks are deleted first."),
    switch("--persistent", default=False, envvar=_env("PERSISTENT"),
           help="Keep history in the file of --db; Flower's spelling of --store."),
    click.option("--db", default="flower", show_default=True, envvar=_env("DB"), metavar="NAME",
                 help="With --persistent: history is kept in NAME.history.sqlite."),
    switch("--enable-events", "--enable_events", default=True, envvar=_env("ENABLE_EVENTS"),
           help="Ask workers to send events."),
    click.option("--no-enable-events", "--no-enable_events", is_flag=True, help="The same as --enable-events=false."),
    switch("--auto-refresh", "--auto_refresh", default=True, envvar=_env("AUTO_REFRESH"),
           help="Let pages load their data again every two seconds."),
    click.option("--purge-offline-workers", "--purge_offline_workers", type=click.FloatRange(min=0), metavar="SECONDS",
                 envvar=_env("PURGE_OFFLINE_WORKERS"), help="Forget a worker this long after its last heartbeat."),
    click.option("--task-runtime-metric-buckets", "--task_runtime_metric_buckets", callback=comma_separated,
                 envvar=_env("TASK_RUNTIME_METRIC_BUCKETS"), metavar="SECONDS,SECONDS,…",
                 help="Bounds of the histograms of runtimes in /metrics."),
    click.option("--inspect-timeout", "--inspect_timeout", default=1000.0, show_default=True,
                         envvar=_env("INSPECT_TIMEOUT"), help="Milliseconds to wait for answers of workers."),
    click.option("--broker-api", "--broker_api", envvar=_env("BROKER_API"), metavar="URL",
                 help="RabbitMQ's management API, such as http://user:password@host:15672/api/: show all queues."),
    switch("--debug", default=False, envvar=_env("DEBUG"), help="Log requests, and errors of connections."),
    click.option("--conf", default=flower_flags.DEFAULT_FILE, show_default=True, envvar=_env("CONF"), type=click.Path(),
                 help="Python file with these options, as Flower's; canvas flower reads the default if it exists."),
    click.option("--ca-certs", "--ca_certs", type=click.Path(exists=True), envvar=_env("CA_CERTS"),
                 help="Certificates of authorities, for certificates of clients."),
    click.option("--certfile", type=click.Path(exists=True), envvar=_env("CERTFILE"),
                 help="File of the TLS certificate."),
    click.option("--keyfile", type=click.Path(exists=True), envvar=_env("KEYFILE"),
                 help="Private key of the certificate."),
    *flower_flags.options_without_effect(),
]  # fmt: skip


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_options
@click.pass_context
def dashboard(context: click.Context, /, **given: Any) -> None:
    """Serve a web page and an API that show workers, tasks, queues and workflows, and act on them.

    For example: canvas -A proj dashboard --port 5555
    """
    serve(context, given)


@click.command()
@_options
@click.pass_context
def flower(context: click.Context, /, **given: Any) -> None:
    """Serve the dashboard; the same as canvas dashboard. Flower's flags of the same meaning have both spellings."""
    serve(context, given)


def checked_address(address: str, authenticates: bool, unix_socket: str | None) -> None:
    """Raises ConfigurationError for an address that others reach, without authentication."""
    if authenticates or unix_socket or address in _LOOPBACK:
        return
    raise ConfigurationError(
        f"--address {address or repr(address)}: others would reach the dashboard without authentication: give it "
        "--basic-auth user:password, or --user-header with --trusted-proxies, or listen on 127.0.0.1"
    )


def serve(context: click.Context, given: dict[str, Any]) -> None:
    """Serve until interrupted. Ends the program with exit code 2 for options that do not fit together."""
    from canvas.dashboard import DashboardOptions
    from canvas.dashboard import dashboard as application

    given = flower_flags.with_file(context, given)
    for line in flower_flags.check(given):
        click.echo(line, err=True)
    options = {
        "read_only": given["read_only"], "basic_auth": tuple(given["basic_auth"]),
        "user_header": given["user_header"], "trusted_proxies": tuple(given["trusted_proxies"]),
        "mask": tuple(given["mask"]), "max_tasks": given["max_tasks"], "max_workers": given["max_workers"],
        "store": _store(given), "store_age": given["store_days"] * 86_400, "store_tasks": given["store_tasks"],
        "store_bytes": None if given["store_size"] is None else max(1, int(given["store_size"] * 1_000_000)),
        "enable_events": given["enable_events"] and not given["no_enable_events"],
        "auto_refresh": given["auto_refresh"], "purge_offline": given["purge_offline_workers"],
        "runtime_buckets": _numbers("task-runtime-metric-buckets", given["task_runtime_metric_buckets"]),
        "inspect_timeout": given["inspect_timeout"] / 1000, "broker_api": given["broker_api"],
    }  # fmt: skip
    try:
        checked_address(given["address"], DashboardOptions(**options).authenticates, given["unix_socket"])
        context.obj.app.import_task_modules()
        found = application(context.obj.app, **options)
    except ConfigurationError as exc:
        raise click.UsageError(str(exc)) from exc
    _run(found, given)


def _store(given: dict[str, Any]) -> str | None:
    """The database of the history: that of ``store``, or the file that Flower's flags name."""
    if given["store"] is not None or not given["persistent"]:
        store: str | None = given["store"]
        return store
    return f"sqlite:///{os.path.abspath(given['db'])}.history.sqlite"


def _numbers(name: str, texts: Iterable[str]) -> tuple[float, ...]:
    try:
        return tuple(map(float, texts))
    except ValueError as exc:
        raise click.UsageError(f"--{name}: expected numbers: {exc}") from exc


def _run(served: Any, given: dict[str, Any]) -> None:
    try:
        import uvicorn
    except ImportError as exc:
        raise click.UsageError(f"the dashboard needs uvicorn: {pip_install('dashboard')}") from exc
    prefix = f"/{given['url_prefix'].strip('/')}" if given["url_prefix"].strip("/") else ""
    config = uvicorn.Config(
        served, host=given["address"], port=given["port"], uds=given["unix_socket"], root_path=prefix,
        ssl_certfile=given["certfile"], ssl_keyfile=given["keyfile"], ssl_ca_certs=given["ca_certs"],
        log_level="debug" if given["debug"] else "warning", proxy_headers=False,
        server_header=False, timeout_graceful_shutdown=2,
    )  # fmt: skip
    socket = None if given["unix_socket"] else config.bind_socket()
    if socket is not None:
        scheme, port = "https" if given["certfile"] else "http", socket.getsockname()[1]
        host = f"[{given['address']}]" if ":" in given["address"] else given["address"]
        click.echo(f"canvas dashboard: {scheme}://{host}:{port}{prefix}/ (stop it with Ctrl-C)")
    else:
        click.echo(f"canvas dashboard: listens on {os.path.abspath(given['unix_socket'])}")
    uvicorn.Server(config).run(sockets=None if socket is None else [socket])
