"""``python -m benchmarks.rabbitmq``: canvas beside Celery on one RabbitMQ.

Rounds alternate between the libraries. Celery's worker stalls at random on RabbitMQ: a measurement that takes longer
than 25 seconds counts as stalled. The ratio of a row is the median over the rounds in which neither library stalled.
"""

import argparse
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import amqp
from kombu.transport.native_delayed_delivery import calculate_routing_key

from benchmarks import measures
from benchmarks.arena import LIBRARIES, Arena, machine, seconds
from benchmarks.idle import processes, processor_seconds
from benchmarks.stalls import Figures, Stall, apart, cell, times, within
from benchmarks.table import Row
from benchmarks.tasks import make
from canvas.model.message import EncodedMessage, Publish
from canvas.model.queue import Queue
from canvas.model.settlement import DelayedPublish, Settlement
from tests.support.rabbitmq import RabbitMQNode

_REPLIES = "bench.replies"
_DELAY = 2
_PART = 500
_ARRIVED = 0.99
"""The part of the delayed messages that is waited for: Celery's ladder loses one of 5,000 now and then."""
_LINKS = 50
_WITHIN = 25.0
"""Seconds of a measurement, and of a worker's start."""
_AT_MOST = 120.0
"""Seconds of a measurement with its preparations."""
_UNSERVED = {"send", "delayed"}
"""The rows without a worker."""
_TARGETS = {"canvas": "flat", "celery": "arrived"}
"""The queues of delayed messages."""
_PATIENCE = 120_000
"""Milliseconds that RabbitMQ may read nothing: it slows down who sends to Celery's ladder. py-amqp waits for 1,000."""
ROWS = {
    "noop": Row("noop, Redis results, solo", "tasks/s", "6x"),
    "cpu": Row("RabbitMQ's processor time a task", "µs", "1x", False),
    "rpc": Row("noop, rpc:// results, solo", "tasks/s", "5x"),
    "chain": Row("chain of 50", "ms a link", "5x", False),
    "chords": Row("chords of 10", "chords/s", "10x"),
    "send": Row("delay, both with confirms", "tasks/s", "3x"),
    "delayed": Row("delayed messages beside Celery's ladder", "messages/s", "10x"),
}


class RabbitArena(Arena):
    """A RabbitMQ as the broker, with a vhost for each library and kind of results; the results are in Redis."""

    stops_within = 5.0

    def __init__(self, node: RabbitMQNode, vhost: str, library: str, results: str) -> None:
        """``results``: ``redis`` or ``rpc``."""
        super().__init__()
        self.node, self.vhost, self._library, self._kind = node, vhost, library, results
        self.broker_time = 0.0
        """Microseconds of RabbitMQ's processor time for a task that was drained."""

    def __enter__(self) -> "RabbitArena":
        super().__enter__()
        broker = f"amqp://guest:guest@127.0.0.1:{self.node.port}/{self.vhost}"
        self.urls = broker, "rpc://" if self._kind == "rpc" else self.urls[1]
        app = make(self._library, *self.urls)
        self.apps = {self._library: app}
        if self._library == "celery":
            app.conf.broker_transport_options = {"confirm_publish": True}
        elif self._kind == "redis":
            # Results are counted by the size of their database.
            app.conf.canvas_state = self._url(3)
        with self.channel() as channel:
            # A row that has stalled leaves messages.
            channel.queue_delete("celery")
        return self

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of the benchmark's own."""
        host, patient = f"127.0.0.1:{self.node.port}", {socket.TCP_USER_TIMEOUT: _PATIENCE}
        connection = amqp.Connection(host, virtual_host=self.vhost, socket_settings=patient)
        connection.connect()
        try:
            yield connection.channel()
        except BaseException:
            # A bound may have ended a read in the middle of a frame: there are no answers to wait for.
            connection.collect()
            raise
        connection.close()

    def fill(self, count: int, task: str = "bench.noop", key: str = "celery", **call: object) -> None:
        """As of Arena; the replies of ``rpc://`` go to a queue of the benchmark."""
        self.results.flushdb()
        headers = {"lang": "py", "task": task, "id": "", "root_id": "", "retries": 0, "ignore_result": False}
        with self.channel() as channel:
            channel.queue_declare(_REPLIES, durable=True, auto_delete=False)
            channel.queue_purge(_REPLIES)
            for number in range(count):
                task_id = f"{number:032x}"
                body = b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
                channel.basic_publish(
                    amqp.Message(
                        body, content_type="application/json", content_encoding="utf-8", correlation_id=task_id,
                        reply_to=_REPLIES, delivery_mode=2, priority=0,
                        application_headers={**headers, "id": task_id, "root_id": task_id},
                    ),
                    "", "celery",
                )  # fmt: skip

    def done(self) -> int:
        """How many results there are."""
        return int(self.results.dbsize()) if self._kind != "rpc" else self.waiting(_REPLIES)

    def ended(self) -> int:
        """How many tasks have a result in Redis."""
        return sum(1 for _ in self.results.scan_iter("celery-task-meta-*", count=1000))

    def waiting(self, queue: str) -> int:
        """How many messages a queue has."""
        with self.channel() as channel:
            return _length(channel, queue)

    def drained(self, count: int, task: str = "bench.noop") -> float:
        before = processor_seconds(processes(self.node.pid))
        rate = super().drained(count, task)
        self.broker_time = (processor_seconds(processes(self.node.pid)) - before) / count * 1e6
        return rate

    def rate(self, count: int) -> float:
        if self._kind != "rpc":
            return super().rate(count)
        with self.channel() as channel:
            self.wait(lambda: _length(channel, _REPLIES) >= count * 0.1)
            first, started = _length(channel, _REPLIES), time.perf_counter()
            self.wait(lambda: _length(channel, _REPLIES) >= count)
            return (count - first) / (time.perf_counter() - started)


def _length(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).message_count)


def delayed(arena: RabbitArena, library: str, count: int) -> float:
    """Messages a second that wait for two seconds and arrive, those two seconds left out."""
    queue = Queue("arrived", "arrived", "arrived", "topic", {"x-queue-type": "quorum"})
    app = make("canvas", arena.urls[0], arena._url(2))
    driver = app.driver
    driver.broker.declare([queue, Queue("flat")])
    target = _TARGETS[library]
    payload = driver.broker.codec.encode(_message(), "", target)

    def send() -> None:
        if library == "celery":
            with arena.channel() as channel:
                key = calculate_routing_key(_DELAY, "arrived")
                for _ in range(count):
                    channel.basic_publish(amqp.Message(payload, delivery_mode=2), "celery_delayed_27", key)
            return
        for first in range(0, count, _PART):
            # The queue of a delay is the next shorter whole second's.
            due = time.time() + _DELAY + 0.5
            part = [DelayedPublish(due, Publish("", "flat", 0, payload))] * min(_PART, count - first)
            driver.settler.settle([Settlement(None, fence="none", deferrals=part)])

    def all_arrived() -> None:
        send()
        arena.wait(lambda: driver.admin.queue_length(target) >= count * _ARRIVED)

    took = seconds(all_arrived) - _DELAY
    driver.admin.purge(target)
    app.close()
    return count * _ARRIVED / max(took, 0.001)


def _message() -> EncodedMessage:
    return EncodedMessage(b"x" * 300, "application/json", "utf-8", {"task": "bench.noop"}, {"delivery_mode": 2})


class Measured(NamedTuple):
    """A row of the table, of one library in one round."""

    call: Callable[[], float]
    done: Callable[[], int]
    """How much it has done so far."""
    of: int


def rows(arena: RabbitArena, library: str, count: int) -> dict[str, Measured]:
    """The rows; the results of the last are not in Redis."""
    sent, late, many = count // 10, count // 4, max(1, count // 200)
    return {
        "send": Measured(lambda: measures.send(arena, library, sent), lambda: arena.waiting("celery"), sent),
        "delayed": Measured(
            lambda: delayed(arena, library, late), lambda: arena.waiting(_TARGETS[library]), late
        ),
        "noop": Measured(lambda: arena.drained(count), arena.done, count),
        "chain": Measured(lambda: measures.chain(arena, library, _LINKS), arena.ended, _LINKS),
        "chords": Measured(lambda: measures.chords(arena, library, many), arena.ended, many * 11),
        "rpc": Measured(lambda: arena.drained(count), arena.done, count),
    }  # fmt: skip


def served(arena: RabbitArena, library: str, row: Measured) -> float | Stall:
    """The figure of a row that a worker serves."""
    with ExitStack() as stack:
        worker = arena.worker(library, BENCH_STATE=arena._url(3))
        started = within(_WITHIN, lambda: stack.enter_context(worker), lambda: 0, row.of)
        if isinstance(started, Stall):
            return started
        arena.results.flushdb()
        return within(_WITHIN, *row)


def one(node: RabbitMQNode, library: str, number: int, name: str, count: int) -> dict[str, float | Stall]:
    """The figure of a row, of one library in one round, and what else was measured with it."""
    kind = "rpc" if name == "rpc" else "redis"
    vhost = f"t{4 * number + 2 * LIBRARIES.index(library) + (kind == 'rpc')}"
    with RabbitArena(node, vhost, library, kind) as arena:
        row = rows(arena, library, count)[name]
        figure = within(_WITHIN, *row) if name in _UNSERVED else served(arena, library, row)
        if name == "noop":
            return {name: figure, "cpu": figure if isinstance(figure, Stall) else arena.broker_time}
        return {name: figure}


def measured(node: RabbitMQNode, rounds: int, count: int) -> dict[str, Figures]:
    """The figures of each row."""
    found: dict[str, Figures] = {name: {library: [] for library in LIBRARIES} for name in ROWS}
    for number, library in product(range(rounds), LIBRARIES):
        for row in [name for name in ROWS if name != "cpu"]:
            print(f"round {number + 1} of {rounds}: {library}, {row}", file=sys.stderr)
            for name, figure in apart(partial(one, node, library, number, row, count), _AT_MOST).items():
                found[name][library].append(figure)
    return found


def lines(found: dict[str, Figures]) -> Iterator[str]:
    """The table in Markdown."""
    yield "| work | canvas | Celery 5.7 | ratio | goal | unit |"
    yield "|---|---:|---:|---:|---:|---|"
    for name, row in ROWS.items():
        ours, theirs = (cell(found[name][library]) for library in LIBRARIES)
        yield f"| {row.name} | {ours} | {theirs} | {times(row, found[name])} | {row.goal} | {row.unit} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rabbitmq", description="canvas and Celery on RabbitMQ.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=10_000, help="tasks of a round")
    given = parser.parse_args()
    # The apps of all rounds have the same tasks.
    warnings.filterwarnings("ignore", message="Task name")
    with tempfile.TemporaryDirectory() as folder:
        node = RabbitMQNode(folder).start()
        try:
            found = measured(node, given.rounds, given.count)
        finally:
            node.stop()
    print(machine(), *lines(found), sep="\n")


if __name__ == "__main__":
    main()
