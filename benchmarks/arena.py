"""One Redis, and the workers of either library on it: what every measurement needs."""

import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import redis

from benchmarks.tasks import make
from canvas.testing.embedded_redis import EmbeddedRedis

LIBRARIES = ("canvas", "celery")
TRANSPORTS = ("tcp", "socket")
_READY_WITHIN = 60.0
_DONE_WITHIN = 600.0


class Arena:
    """A Redis whose database 0 is the broker and 1 keeps the results. ``with Arena() as arena: …``"""

    stops_within = 30.0
    """Seconds in which a worker ends after SIGTERM; then it is killed."""

    def __init__(self, transport: str = "socket", results: str = "") -> None:
        """``transport``: ``tcp`` on the loopback interface, or a Unix ``socket``. The benchmark's own connections take
        the same way as those of the clients and workers that it measures. ``results``: the URL of another store."""
        self._store = results
        self._port = _free_port() if transport == "tcp" else 0
        self._server = EmbeddedRedis(*(("--port", str(self._port), "--bind", "127.0.0.1") if self._port else ()))

    def __enter__(self) -> Self:
        self._server.start()
        self.broker, self.results, self.notes = map(self._connection, range(3))
        self.socket = self._server.socket
        self.urls = self._url(0), self._store or self._url(1)
        self.apps = {library: make(library, *self.urls) for library in LIBRARIES}
        return self

    def __exit__(self, *_: object) -> None:
        for app in self.apps.values():
            app.close()
        self.broker.close()
        self.results.close()
        self.notes.close()
        self._server.stop()

    def _connection(self, db: int) -> redis.Redis:
        if self._port:
            return redis.Redis(port=self._port, db=db)
        return redis.Redis(unix_socket_path=self._server.socket, db=db)

    def _url(self, db: int) -> str:
        return f"redis://127.0.0.1:{self._port}/{db}" if self._port else self._server.url(db)

    @contextmanager
    def worker(self, library: str, pool: str = "solo", slots: int = 1, **environment: str) -> Iterator[int]:
        """A worker that is ready: its process id. ``environment`` as ``benchmarks.tasks`` reads it."""
        command = [sys.executable, "-m", library, "-A", "benchmarks.tasks:app", "worker"]
        command += ["-P", pool, "-c", str(slots), "-l", "ERROR"]
        if library == "celery":
            command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        told = {"BENCH_LIBRARY": library, "BENCH_BROKER": self.urls[0], "BENCH_BACKEND": self.urls[1], **environment}
        process = subprocess.Popen(
            command, env={**os.environ, **told}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self.apps[library].tasks["bench.noop"].apply_async(ignore_result=False).get(timeout=_READY_WITHIN)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(self.stops_within)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def fill(self, count: int, task: str = "bench.noop", key: str = "celery", **call: object) -> None:
        """Put ``count`` messages, encoded by Celery, into the list ``key``; no results are left. ``call``: options of
        ``send_task``."""
        messages = self._messages(count, task, call)
        self.results.flushdb()
        with self.broker.pipeline(transaction=False) as pipe:
            for first in range(0, count, 500):
                pipe.lpush(key, *messages[first : first + 500])
            pipe.execute()

    def drained(self, count: int, task: str = "bench.noop") -> float:
        """Tasks a second of whoever serves the queue."""
        self.fill(count, task)
        return self.rate(count)

    def rate(self, count: int) -> float:
        """Results a second, from when a tenth of ``count`` is there to when all are."""
        self.wait(lambda: self.results.dbsize() >= count * 0.1)
        first, started = self.results.dbsize(), time.perf_counter()
        self.wait(lambda: self.results.dbsize() >= count)
        return (count - first) / (time.perf_counter() - started)

    def _messages(self, count: int, task: str, call: Mapping[str, object]) -> list[bytes]:
        self.apps["celery"].send_task(task, queue="sample", ignore_result=False, **call)
        sample = json.loads(self.broker.lpop("sample"))  # type: ignore[arg-type]
        sample["properties"]["delivery_info"]["routing_key"] = "celery"
        found = []
        for number in range(count):
            task_id = f"{number:032x}"
            sample["headers"].update(id=task_id, root_id=task_id)
            sample["properties"].update(correlation_id=task_id, delivery_tag=f"tag-{number}")
            found.append(json.dumps(sample).encode())
        return found

    def wait(self, happened: Callable[[], bool], within: float = _DONE_WITHIN) -> None:
        """Return when it has happened, looked at each 5 ms. Raises TimeoutError."""
        deadline = time.monotonic() + within
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {within} s")
            time.sleep(0.005)

    def flush(self) -> None:
        """Empty both databases."""
        self.broker.flushdb()
        self.results.flushdb()


def resident(pid: int) -> float:
    """MiB of memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def machine() -> str:
    """What it was measured on."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    named = f"{processor[1]}, " if processor else ""
    return f"Python {platform.python_version()}, {named}{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"


def commit() -> str:
    """The commit that is measured, with a plus sign if files differ from it."""
    found = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown commit"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def seconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
