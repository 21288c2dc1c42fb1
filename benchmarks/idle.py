"""``python -m benchmarks.idle``: what a worker without work costs, canvas beside Celery.

Processor time of the whole node, commands that Redis executes (those that scripts make among them), open connections,
and the time from sending to the task's start.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

from benchmarks import measures
from benchmarks.arena import LIBRARIES, Arena, machine

_SETTLED_AFTER = 3.0
_OWN = ("cmdstat_info", "cmdstat_client|list")
"""What measuring itself costs."""
CASES = (
    ("prefork", 2),
    ("prefork", 8),
    ("prefork", 16),
    ("prefork", 32),
    ("threads", 8),
    ("solo", 1),
    ("asyncio", 100),
)


def processes(parent: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
    found = [parent]
    for pid in found:
        found += [child for child, of in parents.items() if of == pid]
    return found


def processor_seconds(pids: list[int]) -> float:
    """Processor time that processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def commands(arena: Arena) -> int:
    """How many commands Redis has executed so far."""
    stats: dict[str, Any] = arena.broker.info("commandstats")
    return sum(found["calls"] for name, found in stats.items() if name not in _OWN)


def idle(arena: Arena, library: str, pool: str, slots: int, seconds: float) -> tuple[float, float, int, float]:
    """Percent of a core, commands a second, connections, median milliseconds to a task's start."""
    before = {client["id"] for client in arena.broker.client_list()}
    with arena.worker(library, pool, slots) as worker:
        time.sleep(_SETTLED_AFTER)
        node = processes(worker)
        used, executed, since = processor_seconds(node), commands(arena), time.monotonic()
        time.sleep(seconds)
        lasted = time.monotonic() - since
        share = (processor_seconds(node) - used) / lasted * 100
        rate = (commands(arena) - executed) / lasted
        connections = sum(client["id"] not in before for client in arena.broker.client_list())
        starts = measures.latency(arena, library, 60)
    return share, rate, connections, starts[len(starts) // 2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description="What a worker without work costs.")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to look at each worker")
    given = parser.parse_args()
    print(machine())
    print("| worker            | library | % of a core | commands/s | connections | start p50, ms |")
    print("|-------------------|---------|------------:|-----------:|------------:|--------------:|")
    with Arena() as arena:
        for pool, slots in CASES:
            for library in LIBRARIES:
                if library == "celery" and pool == "asyncio":
                    continue
                arena.flush()
                share, rate, connections, start = idle(arena, library, pool, slots, given.seconds)
                head = f"| {f'{pool} -c {slots}':<17} | {library:<7} "
                print(f"{head}| {share:>11.2f} | {rate:>10.1f} | {connections:>11} | {start:>13.2f} |", flush=True)


if __name__ == "__main__":
    main()
