"""The table of figures: its rows, its ratios, and the file that keeps it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.arena import LIBRARIES, median

RESULTS = Path(__file__).parent / "results"
Figures = dict[str, list[float]]
"""By library, one figure a round."""


class Row(NamedTuple):
    """What a line of the table measures."""

    name: str
    unit: str
    goal: str
    faster_is_more: bool = True


ROWS = {
    "noop": Row("noop, result stored, solo", "tasks/s", "20x"),
    "bare": Row("  canvas beside the bare loop", "tasks/s", "0.6x"),
    "early": Row("noop, acks_late=False, solo", "tasks/s", "10x"),
    "prefork": Row("noop, prefork -c 2", "tasks/s", "15x"),
    "threads": Row("noop, threads -c 8", "tasks/s", "15x"),
    "asyncio": Row("noop, asyncio -c 100 (Celery: prefork)", "tasks/s", "15x"),
    "send": Row("send one by one (delay)", "tasks/s", "5x"),
    "group": Row("send as a group", "tasks/s", "20x"),
    "chain": Row("chain of 100", "ms a link", "6x", False),
    "chord": Row("one chord, sent to body's result", "ms a part", "15x", False),
    "chords": Row("chords of 10", "chords/s", "10x"),
    "p50": Row("sent to started, idle worker, p50", "ms", "1x", False),
    "p99": Row("sent to started, idle worker, p99", "ms", "5 ms", False),
    "work": Row("1 ms tasks, solo: slots busy", "%", "95 %"),
    "rest": Row("5 ms sleeps, threads -c 8: slots busy", "%", "95 %"),
    "commands": Row("Redis commands a task", "", "fewer", False),
    "bytes": Row("Redis bytes a task, in and out", "", "fewer", False),
    "cpu": Row("Redis processor time a task", "µs", "20 µs", False),
    "fails": Row("tasks that raise, solo", "tasks/s", "5x"),
    "retries": Row("tasks that retry once, solo", "tasks/s", "5x"),
    "later": Row("tasks due at one moment, prefork -c 2", "tasks/s", "5x"),
    "queued": Row("noop, 100,000 messages in the queue, solo", "tasks/s", "5x"),
    "model": Row("arguments by a pydantic model, solo", "tasks/s", "5x"),
    "msgpack": Row("noop, messages in MessagePack, solo", "tasks/s", "5x"),
    "threads16": Row("noop, threads -c 16", "tasks/s", "5x"),
    "pauses": Row("10 ms waits, asyncio -c 100 (or threads)", "tasks/s", "5x"),
    "import": Row("cold: import, and an app with a task", "ms", "100 ms", False),
    "first delay": Row("cold: the first delay after that", "ms", "1x", False),
    "first chain": Row("cold: a chain instead of that", "ms", "1x", False),
}


def ratio(row: Row, figures: Figures) -> float:
    """How many times better canvas is: the median of the rounds' ratios."""
    pairs = zip(figures["canvas"], figures["celery"], strict=True)
    return median([ours / theirs if row.faster_is_more else theirs / ours for ours, theirs in pairs])


def lines(found: dict[str, Figures]) -> Iterator[str]:
    """The table in Markdown. Beside each median stand the least and the greatest figure."""
    yield f"| {'work':<42} | {'canvas':>27} | {'Celery 5.7':>27} | {'ratio':>6} | {'goal':>6} | unit |"
    yield f"|{'-' * 44}|{'-' * 28}:|{'-' * 28}:|{'-' * 7}:|{'-' * 7}:|------|"
    for name, row in ROWS.items():
        if name not in found:
            continue
        ours, theirs = (shown(found[name][library]) for library in LIBRARIES)
        times = ratio(row, found[name])
        yield f"| {row.name:<42} | {ours:>27} | {theirs:>27} | {times:>5.1f}x | {row.goal:>6} | {row.unit} |"


def keep(name: str, text: str) -> Path:
    """Write a table to the folder of results; its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path


def shown(values: list[float]) -> str:
    """The median of some figures, the least and the greatest."""
    return f"{_number(median(values))} ({_number(min(values))} to {_number(max(values))})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
