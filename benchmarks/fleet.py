"""A thousand workers at one Redis: what they ask of it while they have no work, and what a task costs beside them.

The workers are simulated in one process. Each makes the periodic duties of a real node (``Maintenance``) at its own
times, with the real scripts, and keeps a connection for each of the four lists of its queue, on which it waits. They
run no tasks.
"""

import heapq
import resource
import sys
import time
from uuid import uuid4

from benchmarks.arena import machine, median
from canvas import Canvas
from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.ports.values import Lease
from canvas.drivers.redis.connection.resp import Connection
from canvas.model.message import Message, Publish
from canvas.model.settlement import ResultWrite, Settlement
from canvas.testing.embedded_redis import EmbeddedRedis
from canvas.wire import task_message
from canvas.worker.consumer.maintenance import LeaseHeartbeats, Maintenance

FLEETS = (1, 10, 100, 1_000)
SECONDS = 30.0
HEARTBEAT, LEASE = 10.0, 30.0
TASKS, BATCH = 4_000, 32
RUNS = 3
RESULT = b'{"status":"SUCCESS","result":3,"traceback":null,"children":[]}'


def main() -> None:
    """Measure and print."""
    print(machine())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    print("workers   requests/s   commands/s   Redis at work   us a task")
    for workers in FLEETS:
        with EmbeddedRedis() as server:
            requests, commands, share, task = Fleet(server.url(0), server.url(1), workers).measured()
        print(f"{workers:>7,} {requests:>12,.1f} {commands:>12,.1f} {share:>13.2f} % {task:>11.1f}")
        sys.stdout.flush()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Fleet:
    """Simulated workers at one server, and one that runs tasks beside them."""

    def __init__(self, broker: str, results: str, workers: int) -> None:
        self._app = Canvas("fleet", broker=broker, backend=results, set_as_current=False)
        self._driver = self._app.driver
        self._link = self._driver.broker.link  # type: ignore[attr-defined]
        self._waits: list[Connection] = []
        self._due: list[tuple[float, int, Maintenance]] = []
        now = time.monotonic()
        for number in range(workers):
            name = f"worker-{number}"
            heartbeats = LeaseHeartbeats(
                self._driver.recovery, self._app.conf, lambda name=name: [name], ["celery"],  # type: ignore[misc]
                lambda: None, lambda worker, renewal: None,
            )  # fmt: skip
            duties = Maintenance(self._driver, heartbeats, lambda found: None)
            self._due.append((now + HEARTBEAT * number / workers, number, duties))
            self._wait(name)
        heapq.heapify(self._due)

    def _wait(self, name: str) -> None:
        keys = self._driver.broker.keys  # type: ignore[attr-defined]
        for key in keys.queue_lists("celery"):
            connection = self._connected()
            connection.send([("BLMOVE", key, keys.prefetched(name, key), "RIGHT", "LEFT", 0)])
            self._waits.append(connection)

    def _connected(self) -> Connection:
        """A connection. A server that is busy with others refuses some for a moment."""
        while True:
            try:
                return self._link.connection()  # type: ignore[no-any-return]
            except OSError:
                time.sleep(0.05)

    def measured(self) -> tuple[float, float, float, float]:
        """Requests in a second, the commands that these make, the share of its time that Redis works, and its
        microseconds for a task."""
        self._live(HEARTBEAT + 2)  # each has sent its first heartbeat
        before, began = self._spent(), time.monotonic()
        self._live(SECONDS)
        after, took = self._spent(), time.monotonic() - began
        for connection in self._waits:
            self._link.drop(connection)
        cost = median([self._cost_of_tasks() for _ in range(RUNS)])
        self._driver.close()
        requests, commands, work = ((now - then) / took for now, then in zip(after, before, strict=True))
        return requests, commands, 100 * work, cost

    def _live(self, seconds: float) -> None:
        """Make the duties of all workers when they are due."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            at, number, duties = self._due[0]
            time.sleep(max(0.0, min(at, until) - time.monotonic()))
            if time.monotonic() < at:
                return
            pause = duties.tick()
            heapq.heapreplace(self._due, (time.monotonic() + pause, number, duties))

    def _spent(self) -> tuple[float, float, float]:
        """The requests that Redis has read, the commands that it has carried out, those inside scripts too, and the
        seconds that it has worked."""
        found = dict(
            line.split(":", 1)
            for section in ("stats", "cpu")
            for line in self._link.command("INFO", section).decode().splitlines()
            if ":" in line
        )
        worked = float(found["used_cpu_user"]) + float(found["used_cpu_sys"])
        return float(found["total_reads_processed"]), float(found["total_commands_processed"]), worked

    def _cost_of_tasks(self) -> float:
        """Redis' microseconds for a small task: leased, and settled with its result, in batches."""
        payloads = [_payload() for _ in range(TASKS)]
        self._driver.broker.publish([Publish("", "celery", 0, payload) for payload in payloads])
        lease, left = Lease("busy", ("celery",), BATCH), TASKS
        before = self._spent()[2]
        held = self._driver.settler.settle([], lease).deliveries
        while left:
            settled = [Settlement(one, stores=[ResultWrite(str(uuid4()), RESULT, 3600, True)]) for one in held]
            held = self._driver.settler.settle(settled, lease).deliveries
            left -= len(settled)
        return (self._spent()[2] - before) / TASKS * 1e6


def _payload() -> bytes:
    message = Message("t.add", str(uuid4()), [1, 2], {})
    return ENVELOPE.encode(task_message.encode(message), "", "celery")


if __name__ == "__main__":
    main()
