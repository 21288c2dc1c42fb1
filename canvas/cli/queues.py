"""``canvas purge``."""

from typing import Any

import click

from canvas.cli.options import comma_separated


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
        raise click.UsageError(f"no queue is left to purge when {', '.join(exclude_queues)} are excluded")
    if not force:
        click.confirm(f"This deletes all messages of {', '.join(names)}. Go on?", abort=True)
    deleted = sum(app.driver.broker.purge(name) for name in names)
    click.echo(f"Purged {deleted} messages from {len(names)} known task queues." if deleted else "No messages purged.")
