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
from collections.abc import Mapping
from pathlib import Path

from benchmarks.arena import Arena, commit, machine, median
from benchmarks.table import shown

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
        began, ended = (float(notes.get(name) or "nan") for name in ("began", "ended"))
        return TASKS / (ended - began)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def environments(folder: Path) -> dict[str, Path]:
    """The interpreter of each library, which is installed first where it is missing."""
    return {peer: installed(folder, peer) for peer in WORKERS}


def table(pythons: Mapping[str, Path], rounds: int = RUNS) -> str:
    """Measure in turns; the table in Markdown."""
    figures: dict[str, list[float]] = {"canvas": [], **{peer: [] for peer in WORKERS}}
    with Arena() as arena:
        for _ in range(rounds):
            arena.broker.flushall()
            with arena.worker("canvas"):
                figures["canvas"].append(arena.drained(TASKS * 4))
            for peer in WORKERS:
                figures[peer].append(rate(arena, pythons[peer], peer))
    lines = [
        f"noop, result stored, one worker process: median of {rounds} rounds; {machine()}; commit {commit()}",
        "",
        f"| {'library':<8} | {'tasks/s':>27} | canvas |",
        f"|{'-' * 10}|{'-' * 28}:|{'-' * 7}:|",
    ]
    for name, rates in figures.items():
        times = median([ours / theirs for ours, theirs in zip(figures["canvas"], rates, strict=True)])
        lines.append(f"| {name:<8} | {shown(rates):>27} | {times:>5.1f}x |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(table(environments(Path(sys.argv[1]))))
