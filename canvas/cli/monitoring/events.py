"""``canvas events``: print the events of workers and clients as they arrive, or have a camera take pictures of them."""

import json
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click

from canvas.cli import daemon
from canvas.cli.options import LOG_LEVELS, json_lines
from canvas.errors import ConfigurationError

_WORDS = {"worker-offline": "shutdown", "worker-online": "started", "worker-heartbeat": "heartbeat"}
_TASKS_KNOWN = 4095
"""Tasks whose calls are shown with their later events."""
_OF_CAMERAS = ("detach", "pidfile", "logfile", "uid", "gid", "umask")


@click.command()
@click.option("-d", "--dump", is_flag=True, help="Print events as Celery's event dumper does; the default.")
@json_lines
@click.option("-n", "--limit", type=click.IntRange(min=1), help="End after N events.")
@click.option("-t", "--timeout", type=float, help="End when no event has come for N seconds.")
@click.option("--type", "types", multiple=True, help="Only these, such as task-failed; may be given again.")
@click.option("-c", "--camera", help="The path of a class, such as one derived from celery.events.snapshot.Polaroid, "
              "that takes pictures of the state of workers and tasks.")  # fmt: skip
@click.option("-F", "--frequency", "--freq", type=click.FloatRange(min=0.001), default=1.0,
              help="With --camera: seconds between two pictures.  [default: 1]")  # fmt: skip
@click.option("-r", "--maxrate", help="With --camera: take at most this many pictures, such as 10/m.")
@click.option("-l", "--loglevel", default="WARNING", show_default=True,
              type=LOG_LEVELS,
              help="With --camera: the level of its log.")  # fmt: skip
@click.option("-f", "--logfile", type=click.Path(), help="With --camera: write the log here instead of stderr.")
@click.option("--detach", is_flag=True, help="With --camera: run in the background.")
@click.option("--pidfile", type=click.Path(), help="With --camera: write the process id here.")
@click.option("--uid", help="With --camera: user to become, by name or number.")
@click.option("--gid", help="With --camera: group to become, by name or number.")
@click.option("--umask", help="With --camera: mask of the files it creates, such as 022.")
@click.option("--executable", help="Python to run with --detach.")
@click.pass_context
def events(context: click.Context, /, camera: str | None, **given: Any) -> None:
    """Print events of tasks and workers until interrupted."""
    if camera is not None:
        try:
            _take_pictures(context, camera, given)
        except ConfigurationError as exc:
            raise click.UsageError(str(exc)) from exc
        return
    unused = [f"--{name}" for name in _OF_CAMERAS if given[name]]
    if unused:
        raise click.UsageError(f"{', '.join(unused)}: expected --camera with it")
    write: Callable[[dict[str, Any]], str] = json.dumps if given["as_json"] else Lines()
    types = given["types"]
    captured = context.obj.app.events.capture(timeout=given["timeout"])
    with suppress(KeyboardInterrupt):
        for event in islice((event for event in captured if not types or event["type"] in types), given["limit"]):
            click.echo(write(event))


def _take_pictures(context: click.Context, camera: str, given: dict[str, Any]) -> None:
    from canvas.celery_names.parts.snapshot import evcam

    if daemon.in_background(given, context.obj.started_in):
        return
    app, seconds = context.obj.app, given["frequency"]
    click.echo(f"-> evcam: Taking snapshots with {camera} (every {seconds} secs.)")
    try:
        evcam(camera, seconds, given["maxrate"], given["loglevel"], given["logfile"], given["pidfile"], app=app)
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(f"--camera {camera}: cannot import it: {exc}") from exc


class Lines:
    """Events as the lines of Celery's event dumper."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, str] = OrderedDict()

    def __call__(self, event: dict[str, Any]) -> str:
        about = dict(event)
        moment = datetime.fromtimestamp(float(about.pop("timestamp", 0) or 0), UTC)
        kind, host = str(about.pop("type")).lower(), about.pop("hostname", None)
        words = _WORDS.get(kind, kind.replace("-", " "))
        call = self._call(kind, about) + " " if kind.startswith("task-") else ""
        fields = ", ".join(f"{key}={about[key]}" for key in sorted(about))
        return f"{host} [{moment}] {words}{':' if fields else ''} {call}{fields}"

    def _call(self, kind: str, about: dict[str, Any]) -> str:
        """The call of a task's event; only the first event has it."""
        task_id = str(about.pop("uuid", ""))
        if kind in ("task-received", "task-sent"):
            name, args, kwargs = (about.pop(key, None) for key in ("name", "args", "kwargs"))
            self._calls[task_id] = f"{name}({task_id}) args={args} kwargs={kwargs}"
            if len(self._calls) > _TASKS_KNOWN:
                self._calls.popitem(last=False)
        return self._calls.get(task_id, "")
