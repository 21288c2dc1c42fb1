"""The pictures of the README and of the site, drawn by canvas itself."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO

from rich.console import Console

from canvas import Canvas
from canvas.cli.monitoring.run_tree import run_tree
from canvas.model.workflow_run import RunNode
from canvas.workflows.compose.builder import Workflow
from canvas.workflows.progress.watch import MapCounts, RunProgress
from canvas.workflows.status import NodeStatus, RunStatus

STARTED = datetime(2026, 11, 28, 6, 30, tzinfo=UTC)
SECONDS = {"load": 0.21, "audit": 1.4, "amount": 3.72, "report": 0.3}
BEGINS = {"load": 0.0, "audit": 0.21, "amount": 0.21, "report": 3.93}
MOMENTS = (0.1, 0.5, 1.2, 1.9, 2.6, 3.3, 4.1, 4.25, 4.25)
"""The seconds after the run's start at which the recording shows the screen."""


def day_end() -> Workflow:
    """The workflow of the README."""
    app = Canvas("shop", broker="memory://", set_as_current=False)
    load, audit, amount, report = (
        app.task(lambda *args, **kwargs: None, name=f"shop.{name}", typing=False) for name in SECONDS
    )
    flow = app.Workflow("day-end")
    rows = flow.add(load.s("monday"))
    audited = flow.add(audit.s(rows))
    flow.add(report.s(flow.map(amount.s(), over=rows)), after=audited)
    return flow


def graph() -> str:
    """The picture of the workflow, as SVG."""
    return day_end().draw("svg")


def watch() -> str:
    """A recording of ``canvas workflow watch``, as an SVG that plays the screens one after the other."""
    nodes = day_end().apply().nodes
    screens = [_screen(nodes, number, at) for number, at in enumerate(MOMENTS)]
    size = re.search(r'viewBox="([^"]+)"', screens[0])
    assert size is not None
    share = 100 / len(screens)
    shown, hidden = f"0%, {share:.2f}% {{ visibility: visible }}", f"{share + 0.01:.2f}%, 100% {{ visibility: hidden }}"
    styles = [f"@keyframes screen {{ {shown} {hidden} }}"]
    styles += [f".screen {{ visibility: hidden; animation: screen {len(screens)}s infinite }}"]
    styles += [f"#screen-{number} {{ animation-delay: {number}s }}" for number in range(len(screens))]
    # Where animations are off, the last screen is the picture.
    styles += ["@media (prefers-reduced-motion: reduce) { .screen { animation: none }",
               f"#screen-{len(screens) - 1} {{ visibility: visible }} }}"]  # fmt: skip
    parts = [f'<g class="screen" id="screen-{number}">{screen}</g>' for number, screen in enumerate(screens)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size[1]}"><style>{" ".join(styles)}</style>'
    return "\n".join([head, *parts, "</svg>\n"])


def _screen(nodes: Sequence[RunNode], number: int, at: float) -> str:
    """The screen at a moment of the run, in seconds since its start."""
    states = [_node(name, at) for name in SECONDS]
    over = all(node.ended for node in states)
    status = RunStatus(
        "3b6d41f0", "day-end", "SUCCESS" if over else "STARTED", STARTED, STARTED + timedelta(seconds=at), states
    )
    begin, end = BEGINS["amount"], BEGINS["amount"] + SECONDS["amount"]
    done = round(100 * min(1, max(0, at - begin) / (end - begin)))
    maps = {"amount": MapCounts(100, done, 0, 4)} if at >= begin else {}
    console = Console(record=True, width=72, file=StringIO(), force_terminal=True)
    console.print("[bold]$[/] canvas -A shop workflow watch 3b6d41f0")
    console.print(run_tree(nodes, RunProgress(status, maps, {})))
    return console.export_svg(title="canvas", unique_id=f"watch{number}")


def _node(name: str, at: float) -> NodeStatus:
    begin, end = BEGINS[name], BEGINS[name] + SECONDS[name]
    if at < begin:
        return NodeStatus(name, "WAITING", "")
    if at < end:
        return NodeStatus(name, "STARTED", "")
    return NodeStatus(name, "SUCCESS", "", STARTED, STARTED + timedelta(seconds=SECONDS[name]))
