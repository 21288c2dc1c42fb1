"""``canvas dead-letters``: list, show, requeue and delete the messages that no worker could run."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from canvas.cli.options import json_lines
from canvas.drivers.ports.codec import MessageCodec
from canvas.drivers.ports.values import DeadLetter
from canvas.drivers.stored_messages import as_new, task_id_of
from canvas.errors import CanvasError
from canvas.text import short_repr
from canvas.wire import task_message as wire

_queue = click.option("-Q", "--queue", help="The queue that they came from (default: the app's default queue).")
_all = click.option("--all", "everything", is_flag=True, help="All dead letters of the queue.")


@click.group()
def dead_letters() -> None:
    """Messages that no worker could run: look at them, run them again, delete them.

    They are known by their task's id, or by their number in the list.
    """


@dead_letters.command("list")
@_queue
@json_lines
@click.pass_obj
def list_letters(obj: Any, /, queue: str | None, as_json: bool) -> None:
    """List them, oldest first, with the reason."""
    codec, (_, letters) = obj.app.driver.broker.codec, _letters(obj, queue)
    for number, letter in enumerate(letters, 1):
        facts = _facts(codec, number, letter)
        if as_json:
            click.echo(json.dumps(facts))
        else:
            click.echo(f"{number:>3}  {facts['time']}  {facts['task'] or '?'}[{facts['id'] or '?'}]  {letter.reason}")


@dead_letters.command()
@click.argument("which")
@_queue
@click.pass_obj
def show(obj: Any, /, which: str, queue: str | None) -> None:
    """Print one dead letter: its properties, its arguments, and the stored message."""
    codec, (_, letters) = obj.app.driver.broker.codec, _letters(obj, queue)
    for number, letter in _chosen(codec, letters, (which,), everything=False):
        for name, value in _facts(codec, number, letter).items():
            click.echo(f"{name + ':':<8} {value}")
        try:
            message = wire.decode(codec.decode(letter.payload), accept=obj.app.accept_content, signer=obj.app.signer)
        except CanvasError as exc:
            click.echo(f"body:    cannot be read: {exc}")
        else:
            click.echo(f"args:    {short_repr(message.args)}\nkwargs:  {short_repr(message.kwargs)}")
        click.echo(f"\nmessage: {letter.payload.decode('utf-8', 'backslashreplace')}")


@dead_letters.command()
@click.argument("which", nargs=-1)
@_queue
@_all
@click.pass_obj
def requeue(obj: Any, /, which: tuple[str, ...], queue: str | None, everything: bool) -> None:
    """Put messages back into their queue. Each runs once more."""
    admin, codec = obj.app.driver.admin, obj.app.driver.broker.codec

    def put_back(name: str, letter: DeadLetter) -> bool:
        return bool(admin.requeue_dead_letter(name, letter, as_new(codec, letter.payload)))

    _each(obj, queue, which, everything, put_back, "put back")


@dead_letters.command()
@click.argument("which", nargs=-1)
@_queue
@_all
@click.pass_obj
def delete(obj: Any, /, which: tuple[str, ...], queue: str | None, everything: bool) -> None:
    """Delete messages for good."""
    _each(obj, queue, which, everything, obj.app.driver.admin.delete_dead_letter, "deleted")


def _each(
    obj: Any,
    queue: str | None,
    which: tuple[str, ...],
    everything: bool,
    act: Callable[[str, DeadLetter], bool],
    done: str,
) -> None:
    codec, (name, letters) = obj.app.driver.broker.codec, _letters(obj, queue)
    if not which and not everything:
        raise click.UsageError("no dead letter is named: give task ids or numbers, or --all")
    count = sum(act(name, letter) for _, letter in _chosen(codec, letters, which, everything))
    click.echo(f"{count} {done}")


def _letters(obj: Any, queue: str | None) -> tuple[str, list[DeadLetter]]:
    name = queue or obj.app.conf.task_default_queue
    return name, obj.app.driver.admin.dead_letters(name)


def _chosen(
    codec: MessageCodec, letters: list[DeadLetter], which: tuple[str, ...], everything: bool
) -> list[tuple[int, DeadLetter]]:
    numbered = list(enumerate(letters, 1))
    if everything:
        return numbered
    found = []
    for name in which:
        matching = [(n, letter) for n, letter in numbered if name in (str(n), task_id_of(codec, letter.payload))]
        if not matching:
            raise click.UsageError(f"no dead letter {name!r}: there are {len(letters)} in this queue")
        found += [one for one in matching if one not in found]
    return found


def _facts(codec: MessageCodec, number: int, letter: DeadLetter) -> dict[str, Any]:
    headers = codec.headers_of(letter.payload)
    when = datetime.fromtimestamp(letter.time, UTC).isoformat(timespec="seconds")
    about = {"number": number, "time": when, "reason": letter.reason, "bytes": len(letter.payload)}
    return {**about, "id": headers.get("id"), "task": headers.get("task")}
