"""Two shards beside one server, where Redis is the limit.

A worker process takes more processor time for a task than Redis does: on a machine of few cores Redis is not the limit.
Here each broker gets a small share of a core. It is stopped when it has used that, and continued. Two worker processes
serve a queue each. Both queues are on one server, or each on a shard of its own. The results are on a server that is
not slowed.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.arena import machine, median
from tests.support.apps import make
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer

QUEUES = ("a", "b")
TASKS = 4_000
ROUNDS = 3
_SHARE = 0.04
"""Of a core, for each broker."""
_SAVED = 0.001
"""Seconds of processor time that a broker may have saved up."""
_LOOKS = 0.0005
_WITHIN = 300.0


class Slowed:
    """A server that gets ``_SHARE`` of a core."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._may_use = self._used()
        self._at = time.perf_counter()
        self._stopped = False

    def _used(self) -> float:
        """Seconds of processor time."""
        assert self._server.process is not None
        return int(Path(f"/proc/{self._server.process.pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9

    def look(self) -> None:
        """Stop it, or have it go on."""
        now, used = time.perf_counter(), self._used()
        self._may_use = min(self._may_use + (now - self._at) * _SHARE, used + _SAVED)
        self._at = now
        if (used > self._may_use) != self._stopped:
            self._stopped = not self._stopped
            self._server.send_signal(signal.SIGSTOP if self._stopped else signal.SIGCONT)

    def release(self) -> None:
        """Slow it no more."""
        self._server.send_signal(signal.SIGCONT)


@contextmanager
def slowed(servers: list[RedisServer]) -> Iterator[None]:
    """Slow these servers."""
    over, watched = threading.Event(), [Slowed(server) for server in servers]

    def watch() -> None:
        while not over.wait(_LOOKS):
            for one in watched:
                one.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for one in watched:
            one.release()


def rate(shards: int) -> float:
    """Tasks a second of both queues."""
    with ExitStack() as stack:
        servers = [stack.enter_context(RedisServer()) for _ in range(shards)]
        results = stack.enter_context(RedisServer())
        broker, settings = servers[0].url(0), {}
        if shards > 1:
            rules = {server.url(0): [queue] for server, queue in zip(servers, QUEUES, strict=True)}
            rules[servers[-1].url(0)].append("*")
            broker, settings = "", {"broker_shards": rules}
        app = stack.enter_context(make("canvas", broker or None, results.url(1), **settings))
        for queue in QUEUES:
            for _ in range(TASKS):
                app.tasks["t.add"].apply_async((1, 1), queue=queue)
        stack.enter_context(slowed(servers))
        told = {name: str(value) for name, value in settings.items()}
        for queue in QUEUES:
            options = ("-P", "solo", "-l", "ERROR", "-Q", queue, "-n", f"{queue}@%h")
            stack.enter_context(WorkerProcess("canvas", broker, results.url(1), *options, **told))
        done = results.client(db=1)
        first = _reached(done, 2 * TASKS // 5)
        started = time.perf_counter()
        return (_reached(done, 2 * TASKS) - first) / (time.perf_counter() - started)


def _reached(results: Any, count: int) -> int:
    """The number of results, once there are ``count``."""
    deadline = time.monotonic() + _WITHIN
    while (found := int(results.dbsize())) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} of {count} results within {_WITHIN:g} s")
        time.sleep(0.01)
    return found


def main() -> None:
    """Measure and print."""
    print(f"median of {ROUNDS}; {machine()}")
    print(f"each broker has {_SHARE:.0%} of a core")
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for shards, rates in found.items():
            rates.append(rate(shards))
    one, two = (median(rates) for rates in found.values())
    print(f"one server {one:,.0f} tasks/s, two shards {two:,.0f} tasks/s: {two / one:.2f}x")


if __name__ == "__main__":
    main()
