"""``python -m benchmarks``: tables of speed over TCP and a Unix socket, canvas beside Celery and the bare Redis loop.

Each table is measured on one Redis, in turns (canvas, Celery, bare loop, canvas, …). A ratio is the median of the
rounds' ratios, so that it holds when the machine's speed drifts from round to round.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import measures, peers
from benchmarks.arena import LIBRARIES, TRANSPORTS, Arena, commit, machine
from benchmarks.bare import bare
from benchmarks.import_time import cold
from benchmarks.shapes import shapes
from benchmarks.table import Figures, keep, lines


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


def _cold(arena: Arena, library: str, at: int, sizes: Sizes) -> Iterator[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as cache:
        for leave_out in ("first chain", "first delay"):
            cold(library, *arena.urls, cache, leave_out)  # which writes the byte code
            found = cold(library, *arena.urls, cache, leave_out)
            yield from (one for one in found.items() if leave_out == "first chain" or one[0] != "import")


def _shapes(arena: Arena, library: str, at: int, sizes: Sizes) -> Iterator[tuple[str, float]]:
    return shapes(arena, library, sizes.noop[at] // 2)


PARTS: dict[str, Callable[[Arena, str, int, Sizes], Iterator[tuple[str, float]]]] = {
    "send": _unserved,
    "solo": _solo,
    "pools": _pools,
    "shapes": _shapes,
    "cold": _cold,
}


def measured(arena: Arena, sizes: Sizes, parts: Sequence[str]) -> dict[str, Figures]:
    """The figures of every row of these parts."""
    found: dict[str, Figures] = defaultdict(lambda: defaultdict(list))
    for _ in range(sizes.rounds):
        for part in parts:
            for at, library in enumerate(LIBRARIES):
                arena.flush()
                for name, figure in PARTS[part](arena, library, at, sizes):
                    found[name][library].append(figure)
        if "solo" in parts:
            arena.flush()
            found["bare"]["celery"].append(bare(arena, sizes.noop[0]))
            found["bare"]["canvas"].append(found["noop"]["canvas"][-1])
    return found


def main() -> None:
    """Measure, print, and keep the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The tables of speed.")
    parser.add_argument("--full", action="store_true", help="more rounds and more work in each")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--transport", choices=TRANSPORTS, help="only this one; default: one after the other")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part of the rows; may be repeated")
    parser.add_argument("--keep", metavar="NAME", help="write the tables to benchmarks/results/NAME.md too")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="also other libraries, installed in FOLDER")
    given = parser.parse_args()
    sizes = FULL if given.full else SHORT
    sizes = sizes._replace(rounds=given.rounds or sizes.rounds)
    # What cannot be installed is to be known before the tables are measured.
    pythons = {} if given.peers is None else peers.environments(given.peers)
    tables = []
    for transport in [given.transport] if given.transport else TRANSPORTS:
        started = time.perf_counter()
        with Arena(transport) as arena:
            found = measured(arena, sizes, given.part or list(PARTS))
        took = f"{time.perf_counter() - started:.0f} s"
        head = f"{transport}: median of {sizes.rounds} rounds; {machine()}; commit {commit()}; {took}"
        table = "\n".join([head, "", *lines(found), ""])
        print(table, flush=True)
        tables.append(table)
    if pythons:
        tables.append(peers.table(pythons, sizes.rounds))
        print(tables[-1])
    if given.keep:
        keep(given.keep, "\n".join(tables))


if __name__ == "__main__":
    main()
