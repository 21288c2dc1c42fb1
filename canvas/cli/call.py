"""``canvas call`` and ``canvas result``."""

import json
from difflib import get_close_matches
from typing import Any

import click

from canvas.model import states


class Json(click.ParamType):  # type: ignore[type-arg]
    """A JSON value of one kind."""

    name = "json"

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, self._kind):
            return value
        try:
            found = json.loads(value)
        except ValueError as exc:
            self.fail(f"not JSON: {exc}", param, ctx)
        if not isinstance(found, self._kind):
            self.fail(f"expected a JSON {'array' if self._kind is list else 'object'}; got {value}", param, ctx)
        return found


def _seconds_or_moment(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return value


@click.command()
@click.argument("name")
@click.option("-a", "--args", "arguments", type=Json(list), default="[]", help="Positional arguments, JSON.")
@click.option("-k", "--kwargs", "keywords", type=Json(dict), default="{}", help="Keyword arguments, JSON.")
@click.option("--eta", help="When to run it, ISO 8601.")
@click.option("--countdown", type=float, help="Seconds from now until it may run.")
@click.option("--expires", callback=_seconds_or_moment, help="When the task expires: seconds from now, or ISO 8601.")
@click.option("--serializer", default=None, help="The serializer of the message, such as json or msgpack.")
@click.option("--queue", help="Queue to send it to, instead of the task's route.")
@click.option("--exchange", help="Exchange to publish it to.")
@click.option("--routing-key", help="Routing key of the message.")
@click.pass_obj
def call(obj: Any, /, name: str, arguments: list[Any], keywords: dict[str, Any], **options: Any) -> None:
    """Send task NAME; prints its id."""
    given = {key: value for key, value in options.items() if value is not None}
    app = obj.app
    try:
        # Sent by name, but checked against the function if it is registered here: people mistype on the command line.
        sig = app.signature(name, arguments, keywords)
        click.echo(app.sender.send(sig, app.sender.plan(sig, (), {}, given), given).id)
    except TypeError as exc:
        raise click.ClickException(str(exc)) from exc
    if name not in app.tasks:
        known = list(app.tasks.regular())
        near = [one for one in known if one.endswith(f".{name}")] or get_close_matches(name, known, n=1)
        if near:  # other apps may have a task of another name
            text = f"Warning: this app has no task {name!r}; did you mean {near[0]}? The message was sent."
            click.echo(text, err=True)


@click.command()
@click.argument("task_id")
@click.option("-t", "--task", help="Accepted as in Celery, and not needed: the record is complete.")
@click.option("--traceback", is_flag=True, help="Print the traceback instead of the value.")
@click.option("--timeout", type=float, default=None, help="The longest wait, in seconds.")
@click.pass_obj
def result(obj: Any, /, task_id: str, task: str | None, traceback: bool, timeout: float | None) -> None:
    """Wait for the result of TASK_ID and print it; exit code 1 when the task failed. --traceback does not wait, unless
    --timeout says how long."""
    handle = obj.app.AsyncResult(task_id)
    if traceback:
        if timeout is not None:
            handle.get(propagate=False, timeout=timeout)
        click.echo(handle.traceback or "")
        return
    value = handle.get(propagate=False, timeout=timeout)
    if handle.state in states.PROPAGATE_STATES:
        raise click.ClickException(f"{type(value).__name__}: {value}")
    else:
        click.echo(value)
