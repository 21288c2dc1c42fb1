"""Workflows: compile time and bytes by size; runs of a random graph and of independent nodes beside the same tasks."""

import random
import time
from typing import Any

from benchmarks.arena import Arena, median, seconds
from canvas import Canvas, Workflow, group
from canvas.graph.run_nodes import run_nodes
from canvas.wire.run_compression import encoded_chunks

SIZES = (10, 1_000, 100_000)
NODES = 1_000
RUNS = 5


def drawn(app: Canvas, count: int) -> Workflow:
    """A random graph: each node takes the results of up to three of the fifty before it."""
    choose, flow = random.Random(count), Workflow("drawn", app)
    handles: list[Any] = []
    noop = app.tasks["bench.noop"]
    for number in range(count):
        near = range(max(0, number - 50), number)
        parents = choose.sample(near, min(len(near), choose.randint(0, 3)))
        handles.append(flow.add(noop.s(), name=f"n{number}", after=[handles[parent] for parent in parents]))
    return flow


def compiled(app: Canvas) -> None:
    """Print microseconds and bytes a node."""
    print(f"{'nodes':>8}  {'compose':>10}  {'compile':>10}  {'bytes':>8}   each a node")
    for count in SIZES:
        began = time.perf_counter()
        flow = drawn(app, count)
        composed = time.perf_counter()
        nodes = run_nodes(flow.entries)
        size = sum(map(len, encoded_chunks(nodes, "json")))
        ended = time.perf_counter()
        each = (composed - began) / count * 1e6, (ended - composed) / count * 1e6, size / count
        print(f"{count:>8,}  {each[0]:>7.1f} µs  {each[1]:>7.1f} µs  {each[2]:>8.0f}")


def independent(app: Canvas, count: int) -> Workflow:
    """Nodes without edges."""
    flow = Workflow("independent", app)
    for number in range(count):
        flow.add(app.tasks["bench.noop"].s(), name=f"n{number}")
    return flow


def times(app: Canvas) -> tuple[float, float, float, float]:
    """Seconds of a random graph's run, of the same tasks sent one by one, as a group, and as independent nodes."""
    flow, loose, noop = drawn(app, NODES), independent(app, NODES), app.tasks["bench.noop"]

    def one_by_one() -> None:
        results = [noop.delay() for _ in range(NODES)]
        for result in results:
            result.get(timeout=120)

    return (
        seconds(lambda: flow.apply_async().get(timeout=120)),
        seconds(one_by_one),
        seconds(lambda: group(noop.si() for _ in range(NODES)).apply_async().get(timeout=120)),
        seconds(lambda: loose.apply_async().get(timeout=120)),
    )


def main() -> None:
    """Measure and print."""
    with Arena() as arena:
        app = arena.apps["canvas"]
        compiled(app)
        with arena.worker("canvas"):
            found = [times(app) for _ in range(RUNS + 1)][1:]
    print(f"random graph of {NODES:,} nodes, one process, median of {RUNS}: {median([one[0] for one in found]):.2f} s")
    for place, how in ((1, "sent one by one"), (2, "as a group")):
        alone, ratio = median([one[place] for one in found]), median([one[0] / one[place] for one in found])
        print(f"the same tasks, {how}: {alone:.2f} s; the graph takes {ratio:.2f} times as long")
    alone, ratio = median([one[3] for one in found]), median([one[3] / one[2] for one in found])
    print(f"the same tasks, as nodes without edges: {alone:.2f} s, {ratio:.2f} times as long as the group")


if __name__ == "__main__":
    main()
