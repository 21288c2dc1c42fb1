"""``canvas purge`` and ``canvas dead``."""

from typing import Any

import click


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


@click.command()
@click.option("-f", "--force", is_flag=True, help="Don't ask.")
@click.option("-Q", "--queues", default="", help="Queues, comma-separated; the app's own without it.")
@click.option("-X", "--exclude-queues", default="", help="Queues to leave alone.")
@click.pass_obj
def purge(obj: Any, /, force: bool, queues: str, exclude_queues: str) -> None:
    """Delete all messages that wait in the queues."""
    app = obj.app
    names = [queue.name for queue in app.router.consumed(_listed(queues), _listed(exclude_queues))]
    if not names:
        raise click.UsageError(f"no queue is left to purge when {exclude_queues} are excluded")
    if not force:
        click.confirm(f"This deletes all messages of {', '.join(names)}. Go on?", abort=True)
    deleted = sum(app.driver.broker.purge(name) for name in names)
    click.echo(f"Purged {deleted} messages from {len(names)} known task queues." if deleted else "No messages purged.")
