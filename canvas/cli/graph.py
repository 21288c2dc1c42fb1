"""``canvas graph``: look at a workflow before it runs."""

import inspect
from typing import Any

import click

from canvas.cli.options import shown_errors
from canvas.error_traits import message_and_page
from canvas.errors import CanvasError

_OF_CELERY = {"bootsteps": "canvas inspect stats", "workers": "canvas status, or canvas dashboard"}
"""The graphs that Celery's command draws, and where canvas shows the facts."""


@click.command()
@click.argument("name")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "dot", "svg"]),
    default="text",
    show_default=True,
    help="Form of the picture.",
)
@click.option("--compile", "compiled", is_flag=True, help="Print the messages that it would send, and their bytes.")
@click.pass_obj
def graph(obj: Any, /, name: str, form: str, compiled: bool) -> None:
    """Draw the workflow or the signature at module:attribute NAME."""
    from canvas.cli.find_app import find_object
    from canvas.primitives.misuse import advice
    from canvas.primitives.signature import Signature
    from canvas.workflows.compose.builder import Workflow

    if name in _OF_CELERY:
        raise click.UsageError(f"canvas draws workflows; for {name} see: {_OF_CELERY[name]}")
    try:
        found = find_object(name)
    except CanvasError as exc:
        raise click.UsageError(message_and_page(exc)) from exc
    with shown_errors():
        if isinstance(found, Workflow):
            click.echo(_of_workflow(found) if compiled else found.draw(form))
        elif isinstance(found, Signature):
            click.echo(_of_signature(found) if compiled else found.draw(form))
        else:
            hint = advice(found)
            if inspect.isfunction(found):
                hint = f"; assign what it returns to a name of the module, flow = {found.__name__}(…), and draw that"
            raise click.UsageError(f"{name}: expected a workflow or a signature; found {type(found).__name__}{hint}")


def _of_signature(sig: Any) -> str:
    app = sig.app
    outgoing, chords = app.sender.encode(app.sender.plan(sig, (), {}, {}))
    lines = [_message(out) for out in outgoing]
    lines += [f"chord {chord.group_id}: {chord.size} parts" for chord in chords]
    total = sum(len(out.publish.payload) for out in outgoing)
    return "\n".join([*lines, f"{len(outgoing)} messages, {total:,} bytes"])


def _of_workflow(flow: Any) -> str:
    from canvas.workflows.compose.preview import preview

    found = preview(flow)
    lines = [f"{found.nodes} nodes, {found.edges} edges", f"canvas workers: the plan has {found.plan_bytes:,} bytes"]
    if found.refusal is None:
        lines.append(f"stock Celery workers: {len(found.messages)} messages, {found.chords} chords")
        lines += [f"  {task}: {size:,} bytes" for task, size in found.messages]
    else:
        lines.append(f"stock Celery workers: {found.refusal}")
    return "\n".join(lines)


def _message(out: Any) -> str:
    return f"{out.message.task}[{out.message.id}] → {out.publish.routing_key}: {len(out.publish.payload):,} bytes"
