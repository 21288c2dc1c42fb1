"""The pictures of the README and of the site, drawn by canvas itself."""

from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console

from canvas import Canvas
from canvas.cli.monitoring.run_tree import run_tree
from canvas.workflows.compose.builder import Workflow
from canvas.workflows.progress.watch import MapCounts, RunProgress
from canvas.workflows.status import NodeStatus, RunStatus

STARTED = datetime(2026, 11, 28, 6, 30, tzinfo=UTC)
SECONDS = {"load": 0.21, "audit": 1.4, "amount": 3.72, "total": 0.05, "report": 0.3}


def day_end() -> Workflow:
    """The workflow of the README."""
    app = Canvas("shop", broker="memory://", set_as_current=False)
    load, audit, amount, total, report = (
        app.task(lambda *args, **kwargs: None, name=f"shop.{name}", typing=False) for name in SECONDS
    )
    flow = app.Workflow("day-end")
    rows = flow.add(load.s("monday"))
    audited = flow.add(audit.s(rows))
    totals = flow.add(total.s(flow.map(amount.s(), over=rows)))
    flow.add(report.s(totals), after=audited)
    return flow


def graph() -> str:
    """The picture of the workflow, as SVG."""
    return day_end().draw("svg")


def watch() -> str:
    """The screen of ``canvas workflow watch``, as SVG."""
    run = day_end().apply()
    nodes = [
        NodeStatus(name, "SUCCESS", "", STARTED, STARTED + timedelta(seconds=seconds))
        for name, seconds in SECONDS.items()
    ]
    status = RunStatus("3b6d41f0", "day-end", "SUCCESS", STARTED, STARTED + timedelta(seconds=5), nodes)
    progress = RunProgress(status, {"amount": MapCounts(100, 100, 0, 0)}, {})
    console = Console(record=True, width=72, file=StringIO(), force_terminal=True)
    console.print("[bold]$[/] canvas -A shop workflow watch 3b6d41f0")
    console.print(run_tree(run.nodes, progress))
    return console.export_svg(title="canvas", unique_id="watch")
