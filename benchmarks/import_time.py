"""Milliseconds that an import takes in a new process, and a worker from its start to its first result."""

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.arena import LIBRARIES, Arena, machine, median

IMPORTS = {"canvas": "from canvas import Canvas, chain", "celery": "from celery import Celery, chain"}
CLASSES = {"canvas": "Canvas", "celery": "Celery"}
STEPS = {
    "import": """
from {library} import {app}, chain
app = {app}("cold", broker={broker!r}, backend={backend!r})
@app.task(name="add")
def add(x, y):
    return x + y
""",
    "first delay": "add.delay(1, 2)",
    "first chain": "chain(add.s(1, 2), add.s(3)).delay()",
}
"""What a new process does, one after the other."""
RUNS = 15
STARTS = 5


def milliseconds(statement: str, cache: str) -> float:
    """What one import of byte-compiled modules took."""
    return _timed([statement], cache)[0]


def cold(library: str, broker: str, backend: str, cache: str, leave_out: str = "") -> dict[str, float]:
    """Milliseconds of each of ``STEPS`` in a new process, without one of them."""
    names = [name for name in STEPS if name != leave_out]
    facts = {"library": library, "app": CLASSES[library], "broker": broker, "backend": backend}
    return dict(zip(names, _timed([STEPS[name].format(**facts) for name in names], cache), strict=True))


def _timed(statements: list[str], cache: str) -> list[float]:
    lines = ["import time; now = time.perf_counter"]
    for statement in statements:
        lines += ["t = now()", statement, "print((now() - t) * 1000)"]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return [float(line) for line in done.stdout.split()]


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
