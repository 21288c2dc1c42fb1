"""A server and a worker that keep results and runs for a second only."""

from contextlib import contextmanager

from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer

EXPIRES = 1
"""Seconds for which results and runs are kept after their end."""


@contextmanager
def brief_bench(slots):
    """The server; ``bench.worker`` is the worker, with this many threads."""
    with RedisServer() as server:
        bench = Bench(server)
        broker, backend, ledger = bench.urls()
        options = {"ledger": ledger, "expires": EXPIRES, "run_expires": EXPIRES}
        with WorkerProcess("canvas", broker, backend, "-P", "threads", "-c", str(slots), **options) as worker:
            bench.worker = worker
            yield bench
