"""Memory of one worker process before, during and after many tasks: canvas, and Celery beside it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from benchmarks.throughput import fill
from canvas.embedded import EmbeddedRedis

TASKS = {"canvas": 200_000, "celery": 20_000}
LOOKS = 5


def resident(pid: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def worker(library: str, server: EmbeddedRedis) -> Iterator[int]:
    """A worker's process id."""
    environment = {
        **os.environ,
        "BENCH_LIBRARY": library,
        "BENCH_BROKER": server.url(0),
        "BENCH_BACKEND": server.url(1),
    }
    command = [sys.executable, "-m", library, "-A", "benchmarks.tasks:app", "worker", "-P", "solo", "-l", "ERROR"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def measure(library: str, server: EmbeddedRedis, client: redis.Redis, results: redis.Redis) -> list[float]:
    """Memory after each fifth of the tasks, which all wait before the worker starts."""
    count = TASKS[library]
    fill(client, count, server.url(0))
    found = []
    with worker(library, server) as pid:
        for look in range(1, LOOKS + 1):
            while results.dbsize() < count * look / LOOKS:
                time.sleep(0.05)
            found.append(resident(pid))
    return found


def main() -> None:
    """Print the table."""
    with EmbeddedRedis() as server:
        client = redis.Redis(unix_socket_path=server.socket, db=0)
        results = redis.Redis(unix_socket_path=server.socket, db=1)
        for library, count in TASKS.items():
            looks = measure(library, server, client, results)
            shown = "  ".join(f"{look:.1f}" for look in looks)
            print(f"{library:<8} {count:>8,} noop tasks, MiB after each fifth: {shown}")


if __name__ == "__main__":
    main()
