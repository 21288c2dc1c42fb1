"""The same two tasks in other libraries: one that does nothing, and one that notes when it ran.

Each module has ``fill(count)``, which sends a note, the tasks, and a note: ``python -m benchmarks.peer_apps rq 1000``.
"""

import os
import time

SOCKET = os.environ.get("BENCH_SOCKET", "")


def note_time(name: str) -> None:
    """Note when a task ran, as the worker's clock tells it."""
    import redis

    redis.Redis(unix_socket_path=SOCKET, db=2).set(name, repr(time.time()))
