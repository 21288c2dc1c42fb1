"""``canvas demo``: a real workflow on a private Redis and several worker processes, in one command."""

import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from canvas.cli.demo.page import can_be_offered, demo_page
from canvas.testing.embedded_redis import EmbeddedRedis
from canvas.version import DOCUMENTATION

_READY_WITHIN = 30.0
_TOP = 10


class Workers:
    """Worker processes of the demonstration, with their logs in a folder of their own."""

    def __init__(self, count: int, environment: dict[str, str], folder: str) -> None:
        self._logs = [Path(folder) / f"worker{n}.log" for n in range(count)]
        self._processes = []
        for n, log in enumerate(self._logs):
            command = [
                sys.executable, "-m", "canvas", "-q", "-A", "canvas.cli.demo.tasks:app", "worker", "-l", "INFO",
                "-P", "solo", "-E", "-n", f"demo{n}@%h",
            ]  # fmt: skip
            with log.open("wb") as stream:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment,
                    start_new_session=True,
                )  # fmt: skip
            self._processes.append(process)

    def wait_ready(self) -> None:
        """Wait until each worker has reported that it is ready."""
        deadline = time.monotonic() + _READY_WITHIN
        for process, log in zip(self._processes, self._logs, strict=True):
            while " ready." not in log.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise click.ClickException(f"a worker did not start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.02)

    def tasks_each(self) -> list[int]:
        """How many tasks each has run."""
        return [log.read_text(errors="replace").count(" succeeded in ") for log in self._logs]

    def stop(self) -> None:
        """End them and wait."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@click.command()
@click.option("--workers", default=2, type=click.IntRange(1, 32), show_default=True, help="Number of worker processes.")
@click.option(
    "--files", default=1000, type=click.IntRange(1), show_default=True, help="How many files to read at most."
)
@click.option("--chunk", default=4, type=click.IntRange(1), show_default=True, help="Files that one task reads.")
@click.option("--page/--no-page", default=None,
              help="Serve the dashboard with the demonstration's run in it, until Enter is pressed. Default: on, if "
                   "the program runs in a terminal and the dashboard is installed.")  # fmt: skip
def demo(workers: int, files: int, chunk: int, page: bool | None) -> None:
    """Count the words of Python's standard library with a chord, on two workers and a private Redis."""
    console = Console()
    paths = library_files(files)
    pieces = [paths[start : start + chunk] for start in range(0, len(paths), chunk)]
    try:
        with tempfile.TemporaryDirectory(prefix="canvas-demo-") as folder, EmbeddedRedis() as server:
            environment = {
                **os.environ,
                "CANVAS_BROKER_URL": server.url(0),
                "CANVAS_RESULT_BACKEND": server.url(1),
            }
            with ExitStack() as opened:
                wanted = can_be_offered() and sys.stdin.isatty() if page is None else page
                _run(console, environment, folder, workers, paths, pieces, opened if wanted else None)
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left behind.")
        sys.exit(130)


def library_files(most: int) -> list[str]:
    """Python's own sources, in a fixed order."""
    root = Path(sysconfig.get_path("stdlib"))
    found = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts)
    return [str(path) for path in found[:most]]


def _run(
    console: Console,
    environment: dict[str, str],
    folder: str,
    workers: int,
    paths: list[str],
    pieces: list[list[str]],
    opened: ExitStack | None,
) -> None:
    """``opened``: closes the dashboard; ``None``: no dashboard is served."""
    console.print(f"[bold]canvas demo[/]: a private Redis and {workers} worker processes are starting …")
    running = Workers(workers, environment, folder)
    try:
        running.wait_ready()
        os.environ.update({k: environment[k] for k in ("CANVAS_BROKER_URL", "CANVAS_RESULT_BACKEND")})
        from canvas.cli.demo import tasks

        flow = tasks.workflow(pieces, _TOP)
        console.print(f"The workflow, compiled ({len(paths)} files of Python's standard library):\n")
        console.print(flow.draw(), highlight=False, markup=False)
        address = None if opened is None else opened.enter_context(demo_page(tasks.app))
        started = time.perf_counter()
        answer = _watched(console, flow.apply_async(), len(pieces))
        took = time.perf_counter() - started
        expected = [list(pair) for pair in tasks.plain_loop(paths, _TOP)]
        if address is None:
            tasks.app.close()
    finally:
        running.stop()
    _say(console, answer, expected, took, len(pieces) + 2, running.tasks_each())
    if address is not None:
        console.print(f"\nThe dashboard shows this run: [bold]{address}workflows[/]")
        with suppress(EOFError):
            console.input("Press Enter to end. ")


def _watched(console: Console, result: Any, pieces: int) -> Any:
    """Wait for the answer, showing how far the header has come."""
    header = result.parent
    columns = (TextColumn("counting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("counting", total=pieces)
        for done, _ in enumerate(header.iter_native(timeout=120), 1):
            progress.update(bar, completed=done)
    return result.get(timeout=120)


def _say(console: Console, answer: Any, expected: list[list[Any]], took: float, tasks: int, each: list[int]) -> None:
    table = Table("word", "times", title="The most frequent words")
    for word, times in answer:
        table.add_row(str(word), f"{times:,}")
    console.print(table)
    if [list(pair) for pair in answer] != expected:
        raise click.ClickException(f"the answer differs from a plain loop's: {expected}")
    console.print(
        f"[green]The same as a plain loop's answer.[/] {tasks} tasks in {took:.2f} s, {tasks / took:,.0f} a second"
    )
    console.print(f"Tasks run by each worker: {', '.join(map(str, each))}")
    console.print(
        "\nHow to go on:\n"
        f"  {DOCUMENTATION}    your own tasks and workflows\n"
        "  canvas -A yourmodule worker -l INFO    a worker of your own\n"
        f"  {Path(__file__).with_name('tasks.py')}\n      the workflow you have just seen"
    )
