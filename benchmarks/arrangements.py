"""What each arrangement of servers costs a task, and how long it stands still when one of them is killed.

For each arrangement of Redis one worker process runs small tasks: the cost is the processor time of the worker and of
the servers for each task, and the commands that the servers carry out. (`make bench-rabbitmq` and `make bench-stores`
measure the others.) Then a client sends tasks one after the other. A
server is killed with -9 meanwhile, and the longest time between two results is printed. A server without a replica is
started again after a second, with what it had written to its file.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.arena import machine
from canvas.errors import BrokerError, TimeoutError
from tests.chaos.test_rabbitmq_cluster import Leader, cluster_of_three, of_all
from tests.support.apps import make
from tests.support.postgres import PostgresServer
from tests.support.processes import WorkerProcess, members
from tests.support.rabbitmq import RabbitMQNode
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.sentinel import MASTER, Watched

TASKS, RUNS = 2_000, 7
AWAY = 1.0
_KEPT = ("--appendonly", "yes", "--appendfsync", "always")
_TICKS = 100.0


class Arrangement(NamedTuple):
    """Servers, and how an app reaches them."""

    broker: str | None
    backend: str
    servers: list[Any]
    victim: Callable[[], Any]
    """The server to kill."""
    replaced: bool
    """Whether another server takes its place."""
    settings: dict[str, Any] = {}
    of_worker: dict[str, str] = {}
    """The same settings, as the tests' worker takes them."""


class Postgres:
    """A PostgreSQL server that ends as if it had crashed."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def stop(self, number: int) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


@contextmanager
def one(*options: str) -> Iterator[Arrangement]:
    with RedisServer(*options) as server:
        yield Arrangement(server.url(0), server.url(1), [server], lambda: server, False)


@contextmanager
def two(*options: str) -> Iterator[Arrangement]:
    with RedisServer(*options) as broker, RedisServer(*options) as results:
        yield Arrangement(broker.url(0), results.url(1), [broker, results], lambda: broker, False)


@contextmanager
def sentinel(*_: str) -> Iterator[Arrangement]:
    with Watched() as watched:
        options = {"master_name": MASTER}
        settings = {"broker_transport_options": options, "result_backend_transport_options": options}
        master = lambda: next(one for one in watched.servers if one.port == watched.master())  # noqa: E731
        yield Arrangement(watched.url(0), watched.url(1), watched.servers, master, True, settings, {"master": MASTER})


@contextmanager
def cluster(*_: str) -> Iterator[Arrangement]:
    with RedisCluster(3, replicas=1, node_timeout=2000) as nodes:
        from tests.cluster.test_faults import OF_THE_QUEUE

        yield Arrangement(nodes.url(), nodes.url(), nodes.nodes, lambda: nodes.owner(OF_THE_QUEUE), True)


@contextmanager
def shards(*options: str) -> Iterator[Arrangement]:
    with RedisServer(*options) as far, RedisServer(*options) as near, RedisServer(*options) as results:
        rules = {far.url(0): ["far*"], near.url(0): ["*"]}
        servers = [far, near, results]
        settings = {"broker_shards": rules}
        yield Arrangement(None, results.url(1), servers, lambda: near, False, settings, {"broker_shards": str(rules)})


@contextmanager
def rabbitmq(*options: str) -> Iterator[Arrangement]:
    with TemporaryDirectory() as folder, RedisServer(*options) as results:
        node = RabbitMQNode(folder).start()
        yield Arrangement(node.url("t0"), results.url(1), [], lambda: node, False)
        node.stop()


@contextmanager
def rabbitmq_cluster(*options: str) -> Iterator[Arrangement]:
    with RedisServer(*options) as results, cluster_of_three() as nodes:
        settings, of_worker = {"task_default_queue_type": "quorum"}, {"queue_type": "quorum"}
        leader = Leader(nodes, "t0")
        yield Arrangement(of_all(nodes, "t0"), results.url(1), [], lambda: leader, False, settings, of_worker)


@contextmanager
def rabbitmq_postgresql(*_: str) -> Iterator[Arrangement]:
    with TemporaryDirectory() as folder, PostgresServer() as server:
        node = RabbitMQNode(folder).start()
        yield Arrangement(node.url("t0"), server.new_database(), [], lambda: Postgres(server), False)
        node.stop()


ARRANGEMENTS = {"one Redis": one, "two": two, "Sentinel": sentinel, "Cluster of six": cluster, "two shards": shards}


OF_RABBITMQ = {
    "RabbitMQ": rabbitmq, "three of RabbitMQ": rabbitmq_cluster, "and PostgreSQL": rabbitmq_postgresql,
}  # fmt: skip


def main() -> None:
    """Measure and print."""
    print(f"{machine()}; {TASKS:,} tasks, the least of {RUNS}")
    print("arrangement      us a task: worker   servers    commands a task   stood still after kill -9")
    for name, opened in ARRANGEMENTS.items():
        with opened() as arrangement:
            cost = _cost(arrangement)
        with opened(*_KEPT) as arrangement:
            pause = _pause(arrangement)
        print(f"{name:<16} {cost[0]:>17.0f} {cost[1]:>9.0f} {cost[2]:>18.1f} {pause:>20.1f} s", flush=True)
    for name, opened in OF_RABBITMQ.items():
        with opened(*_KEPT) as arrangement:
            print(f"{name:<16} {'':>17} {'':>9} {'':>18} {_pause(arrangement):>20.1f} s", flush=True)


@contextmanager
def _running(arrangement: Arrangement) -> Iterator[tuple[Any, WorkerProcess]]:
    app = make("canvas", arrangement.broker, arrangement.backend, **arrangement.settings)
    worker = WorkerProcess(
        "canvas", arrangement.broker or "", arrangement.backend, "-P", "solo", "-l", "ERROR", **arrangement.of_worker
    )
    try:
        app.tasks["t.add"].delay(1, 1).get(timeout=60)
        yield app, worker
    finally:
        worker.stop()
        app.close()


def _cost(arrangement: Arrangement) -> tuple[float, float, float]:
    """Microseconds of the worker and of the servers, and commands, for a task."""
    found = []
    with _running(arrangement) as (app, worker):
        for _ in range(RUNS):
            before = _spent(arrangement, worker)
            results = [app.tasks["t.add"].apply_async((1, 1)) for _ in range(TASKS)]
            results[-1].get(timeout=300)
            after = _spent(arrangement, worker)
            found.append([now - then for now, then in zip(after, before, strict=True)])
    worker_time, servers, commands = (min(one[place] for one in found) / TASKS for place in range(3))
    return worker_time * 1e6, servers * 1e6, commands


def _spent(arrangement: Arrangement, worker: WorkerProcess) -> tuple[float, float, float]:
    spent = sum(_processor(pid) for pid in members(worker.process.pid))
    infos = [server.client().info() for server in arrangement.servers]
    used = sum(info["used_cpu_user"] + info["used_cpu_sys"] for info in infos)
    return spent, used, sum(info["total_commands_processed"] for info in infos)


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _pause(arrangement: Arrangement) -> float:
    """The longest time between two results, in seconds, while a server is killed."""
    with _running(arrangement) as (app, _):
        gaps: list[float] = []
        over = threading.Event()

        def send() -> None:
            last = time.monotonic()
            while not over.is_set():
                try:
                    app.tasks["t.add"].apply_async((1, 1), retry=False).get(timeout=2)
                except (BrokerError, TimeoutError):
                    continue
                gaps.append(time.monotonic() - last)
                last = time.monotonic()

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        _until(lambda: len(gaps) > 20)
        victim = arrangement.victim()
        if arrangement.replaced:
            assert victim.client().wait(1, 10_000) >= 1
        seen = len(gaps)
        victim.stop(signal.SIGKILL)
        if not arrangement.replaced:
            time.sleep(AWAY)
            victim.start()
        _until(lambda: len(gaps) > seen + 20 and max(gaps[seen:]) > 0.2)
        over.set()
        thread.join(30)
        if arrangement.replaced:
            victim.start()
    return max(gaps[seen:])


def _until(happened: Callable[[], bool], within: float = 120) -> None:
    deadline = time.monotonic() + within
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
