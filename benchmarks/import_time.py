"""Milliseconds that an import takes in a new process: canvas, and the app and workflows of Celery."""

import os
import statistics
import subprocess
import sys
import tempfile

IMPORTS = {"canvas": "from canvas import Canvas, chain", "celery": "from celery import Celery, chain"}
RUNS = 15


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
    print(f"import, median of {RUNS}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    for name, taken in figures.items():
        print(f"  {name:<8} {statistics.median(taken):>7,.0f} ms   (from {min(taken):,.0f} to {max(taken):,.0f})")
    print(f"  canvas / celery    {statistics.median(figures['canvas']) / statistics.median(figures['celery']):.2f}")


if __name__ == "__main__":
    main()
