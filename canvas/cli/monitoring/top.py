"""``canvas top``: workers, queues and rates, live in a terminal."""

import time
from typing import Any, Literal

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from canvas.dashboard.collecting.collector import Collector
from canvas.dashboard.options import DashboardOptions

_TASKS = 2_000
"""Tasks that are kept in memory."""
_PROBLEMS = 5
"""Sentences about problems that are listed."""
_LISTED = 30
"""Workers and queues that are listed, each."""
_NARROW = 72
"""Columns of a terminal below which the tables leave out figures, so that names can be read."""


@click.command()
@click.option("--interval", type=click.FloatRange(min=0.1), default=1.0, show_default=True,
              help="Seconds between two pictures.")  # fmt: skip
@click.option("--once", type=click.FloatRange(min=0.0), metavar="SECONDS",
              help="Look for N seconds, print one picture, and end.")  # fmt: skip
@click.option("--enable-events/--no-enable-events", default=True, show_default=True,
              help="Ask workers to send events of their tasks.")  # fmt: skip
@click.pass_obj
def top(obj: Any, /, interval: float, once: float | None, enable_events: bool) -> None:
    """Show workers, queues and rates until interrupted. For example: canvas -A proj top"""
    collector = Collector(obj.app, DashboardOptions(max_tasks=_TASKS, enable_events=enable_events))
    console = Console()
    collector.start()
    try:
        if once is not None:
            time.sleep(once)
            console.print(picture(collector, console.width))
            return
        shown = picture(collector, console.width)
        with Live(shown, console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                time.sleep(interval)
                live.update(picture(collector, console.width), refresh=True)
    except KeyboardInterrupt:
        return
    finally:
        collector.stop()


def picture(collector: Collector, width: int) -> RenderableType:
    """The figures, workers and queues of a collector, as tables for a terminal with ``width`` columns."""
    narrow = width < _NARROW
    return Group(_head(collector), _workers(collector, narrow), _queues(collector, narrow))


def _head(collector: Collector) -> Text:
    figures = collector.overview()
    alive = figures["workers"]["alive"]
    rates, latency, runs = figures["rates"], figures["latency"], figures["runs"]
    text = Text.assemble(
        (f"{alive}", "bold"), " worker  " if alive == 1 else " workers  ",
        (f"{rates.get('succeeded', 0.0):,.1f}", "bold"), " tasks/s  ",
        (f"{figures['totals'].get('failed', 0):,}", "bold red" if figures["totals"].get("failed") else "bold"),
        " failed  ",
        *_latency(latency["runtime"]["p50"], latency["runtime"]["p95"], latency["wait"]["p50"]),
    )  # fmt: skip
    if runs:
        text.append(f"  workflows {runs['running']} running, {runs['failed']} failed")
    for problem in collector.problems[:_PROBLEMS]:
        text.append(f"\n{problem.text}", "yellow")
    for name, source in figures["sources"].items():
        if not source["ok"]:
            text.append(f"\n{name} cannot be read: {source['error']}", "red")
    return text


def _latency(runtime: float | None, slowest: float | None, wait: float | None) -> list[str]:
    """Medians of the last minutes, as far as tasks have ended, and events have said when they were sent."""
    if runtime is None or slowest is None:
        return ["no task has ended lately"]
    waited = "unknown: task_send_sent_event is off" if wait is None else _time(wait)
    return [f"runtime {_time(runtime)} (95 %: {_time(slowest)})  wait {waited}"]


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _table(first: str, narrow: bool, *columns: tuple[str, Literal["left", "right"]]) -> Table:
    """A table whose first column has names, which a narrow terminal shows whole, on several lines."""
    table = Table(box=box.SIMPLE if narrow else box.HEAVY_HEAD, padding=(0, 1, 0, 0) if narrow else (0, 1))
    table.add_column(first, overflow="fold", min_width=10)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=not narrow)
    return table


def _workers(collector: Collector, narrow: bool) -> Table:
    more: tuple[str, ...] = () if narrow else ("processed", "load")
    table = _table(
        "worker", narrow, ("status", "left"), ("pool", "left"), ("running", "right"), *((one, "right") for one in more)
    )
    workers = sorted(collector.cluster.workers_now(), key=lambda worker: (not worker.alive, worker.hostname or ""))
    for worker in workers[:_LISTED]:
        pool = (collector.answers.one(worker.hostname or "").get("stats") or {}).get("pool") or {}
        kind = str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2]
        status = Text("online", "green") if worker.alive else Text("offline", "red")
        size = f"{kind} × {pool.get('max-concurrency')}" if kind else ""
        load: Any = worker.loadavg
        figures = [f"{worker.processed or 0:,}", f"{load[0]:.1f}" if load else ""]
        table.add_row(
            Text(worker.hostname or ""), status, Text(size), str(worker.active or 0), *figures[: len(more)]
        )  # fmt: skip
    return table


def _queues(collector: Collector, narrow: bool) -> Table:
    more: tuple[str, ...] = () if narrow else ("dead letters", "in/s", "out/s")
    names = ("waiting", "oldest", "consumers", *more)
    table = _table("queue", narrow, *((one, "right") for one in names))
    for queue in list(collector.queues.states.values())[:_LISTED]:
        rates = ("–" if rate is None else f"{rate:,.1f}" for rate in (queue.incoming, queue.outgoing))
        figures: list[Text | str] = [Text(f"{queue.dead:,}", "red" if queue.dead else ""), *rates]
        oldest = "" if queue.oldest is None else f"{'≥ ' if queue.oldest_at_least else ''}{_time(queue.oldest)}"
        table.add_row(
            Text(queue.name), f"{queue.waiting:,}", oldest, str(len(queue.consumers)), *figures[: len(more)]
        )  # fmt: skip
    return table
