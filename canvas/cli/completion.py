"""``canvas completion``: the script with which a shell completes canvas' commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, /, shell: str) -> None:
    """Print the completion script: ``eval "$(canvas completion bash)"`` in the shell's start-up file."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "canvas", "_CANVAS_COMPLETE").source())
