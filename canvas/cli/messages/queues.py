"""``canvas queues`` and ``canvas purge``."""

import json
from typing import Any

import click

from canvas.cli.options import comma_separated
from canvas.producer.purge import purge as purge_queue

_LOOKS = 10
"""How often the broker is asked for queues that the app does not know: each answer covers a part of its keys."""


@click.command()
@click.option("-f", "--force", is_flag=True, help="Delete without a question.")
@click.option("-Q", "--queues", callback=comma_separated, help="Queues, comma-separated. Default: those of the app.")
@click.option("-X", "--exclude-queues", callback=comma_separated, help="Queues to leave alone.")
@click.pass_obj
def purge(obj: Any, /, force: bool, queues: list[str], exclude_queues: list[str]) -> None:
    """Delete all messages that wait in the queues."""
    app = obj.app
    names = [queue.name for queue in app.router.consumed(queues, exclude_queues)]
    if not names:
        return
    if not force:
        click.confirm(f"This deletes all messages of {', '.join(names)}. Go on?", abort=True)
    deleted = sum(purge_queue(app, name) for name in names)
    queue = "queue" if len(names) == 1 else "queues"
    if deleted:
        message = "message" if deleted == 1 else "messages"
        click.echo(f"Purged {deleted} {message} from {len(names)} known task {queue}.")
    else:
        click.echo(f"No messages purged from {len(names)} {queue}.")


@click.command()
@click.option("-Q", "--queues", "names", callback=comma_separated,
              help="Queues, comma-separated. Default: those of the app, and others that hold messages.")  # fmt: skip
@click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def queues(obj: Any, /, names: list[str], as_json: bool) -> None:
    """Count the messages of each queue: waiting, leased, delayed and blocked ones, and dead letters."""
    app = obj.app
    admin = app.driver.admin
    known = {one.name: (one.exchange, one.routing_key) for one in app.router.consumed(names)}
    if not names:
        found = {queue for _ in range(_LOOKS) for queue in admin.find_queues()}
        known |= {name: ("", name) for name in sorted(found - known.keys())}
    rows = [
        {"queue": name, "exchange": exchange, "routing_key": key,
         "waiting": admin.queue_length(name), "dead": admin.dead_letter_count(name)}
        for name, (exchange, key) in known.items()
    ]  # fmt: skip
    totals = admin.in_flight()._asdict()
    if as_json:
        click.echo(json.dumps({"queues": rows, **totals}))
        return
    widths = {
        column: max((len(str(row[column])) for row in rows), default=0) for column in ("queue", "waiting", "dead")
    }
    for row in rows:
        name, waiting, dead = (f"{row[column]:{widths[column]}}" for column in widths)
        click.echo(f"{name}  waiting {waiting}  dead {dead}")
    click.echo("all queues: " + ", ".join(f"{count} {state}" for state, count in totals.items()))
