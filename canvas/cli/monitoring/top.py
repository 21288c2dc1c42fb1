"""``canvas top``: workers, queues and rates, live in a terminal."""

import time
from typing import Any

import click
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
            console.print(picture(collector))
            return
        with Live(picture(collector), console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                time.sleep(interval)
                live.update(picture(collector), refresh=True)
    except KeyboardInterrupt:
        return
    finally:
        collector.stop()


def picture(collector: Collector) -> RenderableType:
    """The figures, workers and queues of a collector, as tables."""
    return Group(_head(collector), _workers(collector), _queues(collector))


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


def _workers(collector: Collector) -> Table:
    table = Table("worker", "status", "pool", title="", expand=False)
    for name in ("running", "processed", "load"):
        table.add_column(name, justify="right")
    workers = sorted(collector.cluster.workers_now(), key=lambda worker: (not worker.alive, worker.hostname or ""))
    for worker in workers[:_LISTED]:
        pool = (collector.answers.one(worker.hostname or "").get("stats") or {}).get("pool") or {}
        kind = str(pool.get("implementation", "")).partition(":")[0].rpartition(".")[2]
        status = Text("online", "green") if worker.alive else Text("offline", "red")
        size = f"{kind} × {pool.get('max-concurrency')}" if kind else ""
        load: Any = worker.loadavg
        table.add_row(
            Text(worker.hostname or ""), status, Text(size), str(worker.active or 0), f"{worker.processed or 0:,}",
            f"{load[0]:.1f}" if load else "",
        )  # fmt: skip
    return table


def _queues(collector: Collector) -> Table:
    table = Table("queue")
    for name in ("waiting", "oldest", "in/s", "out/s", "dead letters", "consumers"):
        table.add_column(name, justify="right")
    for queue in list(collector.queues.states.values())[:_LISTED]:
        dead = Text(f"{queue.dead:,}", "red" if queue.dead else "")
        oldest = "" if queue.oldest is None else _time(queue.oldest)
        rates = ("–" if rate is None else f"{rate:,.1f}" for rate in (queue.incoming, queue.outgoing))
        table.add_row(Text(queue.name), f"{queue.waiting:,}", oldest, *rates, dead, str(len(queue.consumers)))
    return table
