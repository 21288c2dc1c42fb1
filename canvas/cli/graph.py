"""``canvas graph``: look at a workflow before it runs."""

from typing import Any

import click

from canvas.errors import CanvasError


@click.command()
@click.argument("name")
@click.option("--format", "form", type=click.Choice(["text", "mermaid", "dot"]), default="text")
@click.pass_obj
def graph(obj: Any, /, name: str, form: str) -> None:
    """Draw the compiled graph of the signature at module:attribute NAME."""
    from canvas.cli.loading import find_object
    from canvas.graph import draw
    from canvas.model.signature import Signature

    try:
        found = find_object(name)
    except CanvasError as exc:
        raise click.UsageError(str(exc)) from exc
    if not isinstance(found, Signature):
        raise click.UsageError(f"{name}: expected a signature; found {type(found).__name__}")
    click.echo({"text": draw.text, "mermaid": draw.mermaid, "dot": draw.dot}[form](found))
