"""``canvas logtool``: what the log files of workers say of tasks."""

import fileinput
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import click

_START = re.compile(r"^\[\d{4}-\d\d-\d\d ")
_TASK = re.compile(r"Task (?P<name>\S+)\[(?P<id>[^\]]+)\] (?P<end>received|succeeded|raised|retry|ignored|rejected)")


class Entry(NamedTuple):
    """A line of a log, with the lines of its traceback."""

    line: str
    more: list[str]
    name: str | None
    task_id: str | None
    end: str | None


def entries(files: tuple[str, ...]) -> Iterator[Entry]:
    """The entries of log files; of standard input without any."""
    line, more = "", list[str]()
    with fileinput.input(files, encoding="utf-8", errors="replace") as lines:
        for text in map(str.rstrip, lines):
            if not _START.match(text):
                more.append(text)
                continue
            if line:
                yield _entry(line, more)
            line, more = text, []
    if line:
        yield _entry(line, more)


def _entry(line: str, more: list[str]) -> Entry:
    found = _TASK.search(line)
    return Entry(line, more, *(found["name"], found["id"], found["end"]) if found else (None, None, None))


@click.group()
def logtool() -> None:
    """Read the log files of workers, written at level INFO."""


@logtool.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True))
def stats(files: tuple[str, ...]) -> None:
    """Count tasks by name and by end."""
    types: Counter[str] = Counter()
    ends: dict[str, str] = {}
    for entry in entries(files):
        if entry.task_id is not None and entry.name is not None:
            if entry.end == "received" and entry.task_id not in ends:
                types[entry.name] += 1
            ends[entry.task_id] = str(entry.end)
    done = Counter(ends.values())
    completed = sum(done.values()) - done["received"] - done["retry"]
    click.echo(
        f"Report\n======\n\nTask total: {len(ends)}\nTask errors: {done['raised']}\n"
        f"Task success: {done['succeeded']}\nTask completed: {completed}\n\nTasks\n====="
    )
    for name, number in types.most_common():
        click.echo(f"{name}: {number}")


@logtool.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True))
def errors(files: tuple[str, ...]) -> None:
    """Print the lines of tasks that failed."""
    for entry in entries(files):
        if entry.end == "raised":
            click.echo(entry.line)


@logtool.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True))
def traces(files: tuple[str, ...]) -> None:
    """Print lines with tracebacks, and the tracebacks."""
    for entry in entries(files):
        if entry.more:
            click.echo("\n".join([entry.line, *entry.more]))


@logtool.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True))
def incomplete(files: tuple[str, ...]) -> None:
    """Print the ids of tasks that were received and did not end."""
    ends: dict[str, str] = {}
    for entry in entries(files):
        if entry.task_id is not None:
            ends[entry.task_id] = str(entry.end)
    for task_id, end in ends.items():
        if end in ("received", "retry"):
            click.echo(f"Did not complete: {task_id}")


@logtool.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True))
def debug(files: tuple[str, ...]) -> None:
    """Print the lines that are not about a task."""
    for entry in entries(files):
        if entry.task_id is None:
            click.echo(entry.line)
