"""``python -m benchmarks [--full] [--peers FOLDER]``: the table of speed, canvas beside Celery and the bare Redis loop.

All of it runs on one Redis, in turns (canvas, Celery, bare loop, canvas, …). A ratio is the median of the rounds'
ratios, so that it holds when the machine's speed drifts from round to round.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import measures, peers
from benchmarks.arena import LIBRARIES, Arena, machine, median
from benchmarks.bare import bare

Figures = dict[str, list[float]]
"""By library, one figure a round."""


class Row(NamedTuple):
    """What a line of the table measures."""

    name: str
    unit: str
    goal: str
    faster_is_more: bool = True


class Sizes(NamedTuple):
    """How much work a figure takes: canvas, then Celery, where they differ."""

    rounds: int
    noop: tuple[int, int]
    send: tuple[int, int]
    group: tuple[int, int]
    links: int
    chord: int
    chords: int
    starts: int


SHORT = Sizes(5, (8_000, 1_000), (1_000, 400), (4_000, 600), 100, 1_000, 60, 60)
FULL = Sizes(5, (20_000, 3_000), (5_000, 1_500), (10_000, 2_000), 100, 3_000, 2_000, 300)

ROWS = {
    "noop": Row("noop, result stored, solo", "tasks/s", "20x"),
    "bare": Row("  canvas beside the bare loop", "tasks/s", "0.5x"),
    "early": Row("noop, acks_late=False, solo", "tasks/s", "10x"),
    "prefork": Row("noop, prefork -c 2", "tasks/s", "15x"),
    "threads": Row("noop, threads -c 8", "tasks/s", "15x"),
    "asyncio": Row("noop, asyncio -c 100 (Celery: prefork)", "tasks/s", "15x"),
    "send": Row("send one by one (delay)", "tasks/s", "5x"),
    "group": Row("send as a group", "tasks/s", "20x"),
    "chain": Row("chain", "ms a link", "5x", False),
    "chord": Row("one chord, sent to body's result", "ms a part", "15x", False),
    "chords": Row("chords of 10", "chords/s", "10x"),
    "p50": Row("sent to started, idle worker, p50", "ms", "1x", False),
    "p99": Row("sent to started, idle worker, p99", "ms", "5 ms", False),
    "work": Row("1 ms tasks, solo: slots busy", "%", "95 %"),
    "rest": Row("5 ms sleeps, threads -c 8: slots busy", "%", "95 %"),
    "commands": Row("Redis commands a task", "", "fewer", False),
    "bytes": Row("Redis bytes a task, in and out", "", "fewer", False),
    "cpu": Row("Redis processor time a task", "µs", "fewer", False),
}


def _unserved(arena: Arena, library: str, at: int, sizes: Sizes) -> Iterator[tuple[str, float]]:
    yield "send", measures.send(arena, library, sizes.send[at])
    yield "group", measures.send_group(arena, library, sizes.group[at])


def _solo(arena: Arena, library: str, at: int, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with arena.worker(library):
        yield "noop", measures.noop(arena, library, sizes.noop[at])
        yield "chain", measures.chain(arena, library, sizes.links)
        yield "chord", measures.chord(arena, library, sizes.chord)
        yield "chords", measures.chords(arena, library, sizes.chords)
        starts = measures.latency(arena, library, sizes.starts)
        yield "p50", starts[len(starts) // 2]
        yield "p99", starts[int(len(starts) * 0.99)]
        yield "work", measures.busy(arena, library, "bench.work", sizes.noop[1], 1)
        yield from measures.cost(arena, library, sizes.noop[at]).items()


def _pools(arena: Arena, library: str, at: int, sizes: Sizes) -> Iterator[tuple[str, float]]:
    count = sizes.noop[at]
    with arena.worker(library, BENCH_EARLY="1"):
        yield "early", measures.noop(arena, library, count)
    with arena.worker(library, "prefork", 2):
        rate = measures.noop(arena, library, count)
        yield "prefork", rate
    with arena.worker(library, "threads", 8):
        yield "threads", measures.noop(arena, library, count)
        yield "rest", measures.busy(arena, library, "bench.rest", sizes.noop[1], 8)
    if library == "celery":
        yield "asyncio", rate
    else:
        with arena.worker(library, "asyncio", 100):
            yield "asyncio", measures.noop(arena, library, count, "bench.coroutine")


PARTS: tuple[Callable[[Arena, str, int, Sizes], Iterator[tuple[str, float]]], ...] = (_unserved, _solo, _pools)


def measured(arena: Arena, sizes: Sizes) -> dict[str, Figures]:
    """Every row's figures."""
    found: dict[str, Figures] = defaultdict(lambda: defaultdict(list))
    for _ in range(sizes.rounds):
        for part in PARTS:
            for at, library in enumerate(LIBRARIES):
                arena.flush()
                for name, figure in part(arena, library, at, sizes):
                    found[name][library].append(figure)
        arena.flush()
        found["bare"]["celery"].append(bare(arena, sizes.noop[0]))
        found["bare"]["canvas"].append(found["noop"]["canvas"][-1])
    return found


def ratio(row: Row, figures: Figures) -> float:
    """How many times better canvas is."""
    pairs = zip(figures["canvas"], figures["celery"], strict=True)
    return median([ours / theirs if row.faster_is_more else theirs / ours for ours, theirs in pairs])


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The table of speed.")
    parser.add_argument("--full", action="store_true", help="more rounds and more work in each")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="also other libraries, installed in FOLDER")
    given = parser.parse_args()
    sizes = FULL if given.full else SHORT
    started = time.perf_counter()
    with Arena() as arena:
        found = measured(arena, sizes)
    print(f"median of {sizes.rounds} rounds; {machine()}; {time.perf_counter() - started:.0f} s")
    print(f"| {'work':<42} | {'canvas':>9} | {'Celery 5.7':>10} | {'ratio':>6} | {'goal':>5} |  unit")
    print(f"|{'-' * 44}|{'-' * 10}:|{'-' * 11}:|{'-' * 7}:|{'-' * 6}:|")
    for name, row in ROWS.items():
        ours, theirs = (median(found[name][library]) for library in LIBRARIES)
        times = ratio(row, found[name])
        print(
            f"| {row.name:<42} | {shown(ours):>9} | {shown(theirs):>10} | {times:>5.1f}x | {row.goal:>5} |  {row.unit}"
        )
    if given.peers is not None:
        peers.table(given.peers)


if __name__ == "__main__":
    main()
