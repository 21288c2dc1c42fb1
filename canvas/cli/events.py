"""``canvas events``: print the events of workers and clients as they arrive."""

import json
import time
from contextlib import suppress
from itertools import islice
from typing import Any

import click

_COMMON = ("hostname", "utcoffset", "pid", "clock", "timestamp", "type", "uuid")


@click.command(short_help="Print events as they come.")
@click.option("-d", "--dump", is_flag=True, expose_value=False, help="Accepted; printing is all this command does.")
@click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("-l", "--limit", type=click.IntRange(min=1), help="End after so many.")
@click.option("-t", "--timeout", type=float, help="End when none comes for so many seconds.")
@click.option("--type", "types", multiple=True, help="Only these, such as task-failed; may be given again.")
@click.pass_obj
def events(obj: Any, /, as_json: bool, limit: int | None, timeout: float | None, types: tuple[str, ...]) -> None:
    """Print events of tasks and workers until interrupted."""
    found = (event for event in obj.app.events.capture(timeout=timeout) if not types or event["type"] in types)
    with suppress(KeyboardInterrupt):
        for event in islice(found, limit):
            click.echo(json.dumps(event) if as_json else _line(event))


def _line(event: dict[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(event.get("timestamp") or 0)))
    about = f"[{event['uuid']}]" if "uuid" in event else ""
    facts = " ".join(f"{name}={value!r}" for name, value in event.items() if name not in _COMMON)
    return f"{event.get('hostname')} [{moment}] {event['type']}{about} {facts}".rstrip()
