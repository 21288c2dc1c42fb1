"""Milliseconds that an import takes in a new process, and a worker from its start to its first result."""

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.arena import LIBRARIES, Arena, machine, median

IMPORTS = {"canvas": "from canvas import Canvas, chain", "celery": "from celery import Celery, chain"}
RUNS = 15
STARTS = 5


def milliseconds(statement: str, cache: str) -> float:
    """What one import of byte-compiled modules took."""
    code = f"import time; t = time.perf_counter(); {statement}; print((time.perf_counter() - t) * 1000)"
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def main() -> None:
    """Measure in turns and print the table."""
    figures: dict[str, list[float]] = {name: [] for name in IMPORTS}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(RUNS + 1):
            for name, statement in IMPORTS.items():
                taken = milliseconds(statement, cache)
                if number:
                    figures[name].append(taken)
    ready: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    with Arena() as arena:
        for _ in range(STARTS):
            for library in LIBRARIES:
                arena.flush()
                started = time.perf_counter()
                with arena.worker(library):
                    ready[library].append((time.perf_counter() - started) * 1000)
    show(f"import, median of {RUNS}; {machine()}", figures)
    show(f"worker -P solo, from its start to its first result, median of {STARTS}", ready)


def show(title: str, figures: dict[str, list[float]]) -> None:
    """Print both and their ratio."""
    print(title)
    for name, taken in figures.items():
        print(f"  {name:<8} {median(taken):>7,.0f} ms   (from {min(taken):,.0f} to {max(taken):,.0f})")
    print(f"  canvas / celery    {median(figures['canvas']) / median(figures['celery']):.2f}")


if __name__ == "__main__":
    main()
