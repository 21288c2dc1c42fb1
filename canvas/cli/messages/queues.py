"""``canvas queues`` and ``canvas purge``."""

import json
from typing import Any

import click

from canvas.cli.options import comma_separated
from canvas.producer.purge import purge as purge_queue


@click.command()
@click.option("-f", "--force", is_flag=True, help="Don't ask.")
@click.option("-Q", "--queues", callback=comma_separated, help="Queues, comma-separated; the app's own without it.")
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
@click.option("-Q", "--queues", "names", callback=comma_separated, help="Queues, comma-separated; the app's without.")
@click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def queues(obj: Any, /, names: list[str], as_json: bool) -> None:
    """Count the messages of each queue: waiting, leased, delayed and blocked ones, and dead letters."""
    app = obj.app
    admin = app.driver.admin
    rows = [
        {"queue": one.name, "exchange": one.exchange, "routing_key": one.routing_key,
         "waiting": admin.queue_length(one.name), "dead": admin.dead_letter_count(one.name)}
        for one in app.router.consumed(names)
    ]  # fmt: skip
    totals = admin.in_flight()._asdict()
    if as_json:
        click.echo(json.dumps({"queues": rows, **totals}))
        return
    for row in rows:
        click.echo(f"{row['queue']:<24} waiting {row['waiting']:>8}   dead {row['dead']:>6}")
    click.echo("all queues: " + ", ".join(f"{count} {state}" for state, count in totals.items()))
