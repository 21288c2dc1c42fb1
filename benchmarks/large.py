"""Large groups, chords, maps and workflows, and a value of 50 MB: what an item costs, and the memory of each process.

Each case has a client process, a worker and a Redis of its own: the greatest memory of each is that of the case.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.arena import Arena, machine
from canvas import Canvas, Workflow, chord, group

SIZES = (10_000, 100_000)
BYTES = 50_000_000
_WITHIN = 900


class Spent(NamedTuple):
    """Seconds of the processor that each has used so far."""

    client: float
    worker: float
    redis: float


def as_group(app: Canvas, count: int) -> None:
    """A group whose members a generator gives."""
    noop = app.tasks["bench.noop"]
    group(noop.si() for _ in range(count)).apply_async().get(timeout=_WITHIN)


def as_chord(app: Canvas, count: int) -> None:
    """A chord whose header is a list."""
    noop = app.tasks["bench.noop"]
    chord([noop.si() for _ in range(count)], app.tasks["bench.count"].s()).apply_async().get(timeout=_WITHIN)


def as_stream(app: Canvas, count: int) -> None:
    """A chord whose header a generator gives."""
    noop = app.tasks["bench.noop"]
    chord((noop.si() for _ in range(count)), app.tasks["bench.count"].s()).apply_async().get(timeout=_WITHIN)


def as_map(app: Canvas, count: int) -> None:
    """A map over a list that a node returns."""
    flow, link = Workflow("map", app), app.tasks["bench.link"]
    flow.map(link.s(), flow.add(link.si(list(range(count))), name="items"), name="each")
    flow.apply_async().get(timeout=_WITHIN)


def as_nodes(app: Canvas, count: int) -> None:
    """A workflow of nodes that do not depend on each other."""
    flow, noop = Workflow("nodes", app), app.tasks["bench.noop"]
    for number in range(count):
        flow.add(noop.si(), name=f"n{number}")
    flow.apply_async().get(timeout=_WITHIN)


def as_value(app: Canvas, count: int) -> None:
    """One task that takes and returns a text of ``count`` bytes."""
    assert len(app.tasks["bench.link"].delay("x" * count).get(timeout=_WITHIN)) == count


CASES: dict[str, Callable[[Canvas, int], None]] = {
    "group": as_group,
    "chord": as_chord,
    "chord of a generator": as_stream,
    "map": as_map,
    "nodes": as_nodes,
    "value": as_value,
}


def measure(case: str, count: int) -> None:
    """Measure one case in this process, and print its line of the table."""
    with Arena("tcp") as arena:
        app = arena.apps["canvas"]
        with arena.worker("canvas") as worker:
            server = int(arena.broker.info("server")["process_id"])
            before, started = _spent(worker, server), time.perf_counter()
            CASES[case](app, count)
            took, after = time.perf_counter() - started, _spent(worker, server)
            memory = _most_resident(None), _most_resident(worker), _most_resident(server)
    items = 1 if case == "value" else count
    each = "".join(f" {(now - then) / items * 1e6:>10,.0f} |" for now, then in zip(after, before, strict=True))
    most = "".join(f" {size:>10,.0f} |" for size in memory)
    print(f"| {case:<20} | {count:>10,} | {took:>8.1f} |{each}{most}", flush=True)


def _spent(worker: int, server: int) -> Spent:
    return Spent(time.process_time(), processor_seconds(worker), processor_seconds(server))


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _most_resident(pid: int | None) -> float:
    """MiB that a process has held at most; ``None``: this process."""
    status = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--size", type=int, action="append", help="how many items; may be repeated")
    parser.add_argument("--case", choices=CASES, action="append", help="only this one; may be repeated")
    parser.add_argument("--alone", action="store_true", help="measure the first case in this process")
    given = parser.parse_args()
    if given.alone:
        measure(given.case[0], given.size[0])
        return
    print(machine())
    print("| case                 |      count |  seconds | client, µs | worker, µs |  Redis, µs |"
          " client MiB | worker MiB |  Redis MiB |")  # fmt: skip
    print(f"|{'-' * 22}|{'-' * 11}:|{'-' * 9}:|{('-' * 11 + ':|') * 6}")
    for case in given.case or CASES:
        for count in (BYTES,) if case == "value" else given.size or SIZES:
            command = [sys.executable, "-m", "benchmarks.large", "--alone", "--case", case, "--size", str(count)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
