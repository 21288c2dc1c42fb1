"""Workflows: compile time and bytes by size, and a random graph's run beside the same tasks sent one by one."""

import random
import time

from benchmarks.arena import Arena, median
from canvas import Canvas, Workflow
from canvas.graph.dag import run_nodes
from canvas.runs import size_of

SIZES = (10, 1_000, 100_000)
NODES = 1_000
RUNS = 5


def drawn(app: Canvas, count: int) -> Workflow:
    """A random graph: each node takes the results of up to three of the fifty before it."""
    choose, flow, handles = random.Random(count), Workflow("drawn", app), []
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
        size = size_of(nodes, "json")
        ended = time.perf_counter()
        each = (composed - began) / count * 1e6, (ended - composed) / count * 1e6, size / count
        print(f"{count:>8,}  {each[0]:>7.1f} µs  {each[1]:>7.1f} µs  {each[2]:>8.0f}")


def seconds(app: Canvas) -> tuple[float, float]:
    """How long a run took, and the same tasks as a group of independent ones."""
    from canvas import group

    flow = drawn(app, NODES)
    began = time.perf_counter()
    flow.apply_async().get(timeout=120)
    between = time.perf_counter()
    group(app.tasks["bench.noop"].si() for _ in range(NODES)).apply_async().get(timeout=120)
    return between - began, time.perf_counter() - between


def main() -> None:
    """Measure and print."""
    with Arena() as arena:
        app = arena.apps["canvas"]
        compiled(app)
        with arena.worker("canvas"):
            found = [seconds(app) for _ in range(RUNS + 1)][1:]
    graph, alone = (median(column) for column in zip(*found, strict=True))
    print(f"random graph of {NODES:,} nodes, one process, median of {RUNS}: {graph:.2f} s")
    print(f"the same tasks independent: {alone:.2f} s; ratio {graph / alone:.2f}")


if __name__ == "__main__":
    main()
