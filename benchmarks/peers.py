"""Tasks a second of one worker process of other libraries, beside canvas: noop, result stored, all tasks waiting.

``python -m benchmarks.peers FOLDER``: environments with their packages are made there, one each, for they ask for
different versions of the same libraries. A note is sent before the tasks and one after them; the rate is the
number of tasks by the time between the notes, in every library.
"""

import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.arena import Arena, machine, median

PACKAGES = {
    "dramatiq": ["dramatiq[redis]"],
    "rq": ["rq"],
    "huey": ["huey", "redis"],
    "arq": ["arq"],
    "saq": ["saq[redis]", "typing-extensions"],
    "taskiq": ["taskiq", "taskiq-redis"],
}
APPS = "benchmarks.peer_apps"
WORKERS = {
    "dramatiq": ["dramatiq", f"{APPS}.dramatiq_app", "--processes", "1", "--threads", "1"],
    "rq": [APPS, "rq", "work"],
    "huey": ["huey.bin.huey_consumer", f"{APPS}.huey_app.huey", "-w", "1"],
    "arq": ["arq", f"{APPS}.arq_app.WorkerSettings"],
    "saq": ["saq", f"{APPS}.saq_app.settings"],
    "taskiq": ["taskiq", "worker", f"{APPS}.taskiq_app:broker", "--workers", "1"],
}
TASKS = 2_000
RUNS = 5


def installed(folder: Path, peer: str) -> Path:
    """The interpreter of an environment that has a peer's packages."""
    python = folder / peer / "bin" / "python"
    if not python.exists():
        venv.create(folder / peer, with_pip=True)
        try:
            subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES[peer]], check=True)
        except BaseException:
            shutil.rmtree(folder / peer)
            raise
    return python


def rate(arena: Arena, python: Path, peer: str) -> float:
    """Tasks a second between the two notes."""
    arena.broker.flushall()
    environment = {**os.environ, "BENCH_SOCKET": arena.socket}
    subprocess.run([python, "-m", APPS, peer, str(TASKS)], env=environment, check=True)
    notes = arena.notes
    process = subprocess.Popen(
        [python, "-m", *WORKERS[peer]], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        arena.wait(lambda: notes.exists("began", "ended") == 2, within=120)
        return TASKS / (float(notes.get("ended")) - float(notes.get("began")))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def table(folder: Path) -> None:
    """Measure in turns and print."""
    pythons = {peer: installed(folder, peer) for peer in WORKERS}
    figures: dict[str, list[float]] = {"canvas": [], **{peer: [] for peer in WORKERS}}
    with Arena() as arena:
        for _ in range(RUNS):
            arena.broker.flushall()
            with arena.worker("canvas"):
                figures["canvas"].append(arena.drained(TASKS * 4))
            for peer in WORKERS:
                figures[peer].append(rate(arena, pythons[peer], peer))
    print(f"noop, result stored, one worker process, median of {RUNS}; {machine()}")
    for name, rates in figures.items():
        print(f"  {name:<9} {median(rates):>8,.0f} tasks/s   canvas: {median(figures['canvas']) / median(rates):.1f}x")


if __name__ == "__main__":
    table(Path(sys.argv[1]))
