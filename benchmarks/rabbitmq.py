"""``python -m benchmarks.rabbitmq``: canvas beside Celery on one RabbitMQ.

Rounds alternate between the libraries, because Celery's worker stalls at random on RabbitMQ; the ratio of a row is the
median of its rounds' ratios.
"""

import argparse
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import amqp
from kombu.transport.native_delayed_delivery import calculate_routing_key

from benchmarks import measures
from benchmarks.arena import LIBRARIES, Arena, machine, seconds
from benchmarks.idle import processes, processor_seconds
from benchmarks.table import Figures, Row, ratio, shown
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

    def __init__(self, node: RabbitMQNode, vhost: str, library: str, results: str) -> None:
        """``results``: ``redis`` or ``rpc``."""
        super().__init__()
        self.node, self.vhost, self._library, self._kind = node, vhost, library, results

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
        return self

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of the benchmark's own."""
        host, patient = f"127.0.0.1:{self.node.port}", {socket.TCP_USER_TIMEOUT: _PATIENCE}
        with amqp.Connection(host, virtual_host=self.vhost, socket_settings=patient) as connection:
            yield connection.channel()

    def fill(self, count: int, task: str = "bench.noop") -> None:
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
        if self._kind != "rpc":
            return int(self.results.dbsize())
        with self.channel() as channel:
            return int(channel.queue_declare(_REPLIES, passive=True).message_count)

    def rate(self, count: int) -> float:
        self.wait(lambda: self.done() >= count * 0.1)
        first, started = self.done(), time.perf_counter()
        self.wait(lambda: self.done() >= count)
        return (count - first) / (time.perf_counter() - started)


def delayed(arena: RabbitArena, library: str, count: int) -> float:
    """Messages a second that wait for two seconds and arrive, those two seconds left out."""
    queue = Queue("arrived", "arrived", "arrived", "topic", {"x-queue-type": "quorum"})
    app = make("canvas", arena.urls[0], arena._url(2))
    driver = app.driver
    driver.broker.declare([queue, Queue("flat")])
    target = "arrived" if library == "celery" else "flat"
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


def one_round(node: RabbitMQNode, library: str, number: int, count: int) -> dict[str, float]:
    """The figures of one library in one round."""
    found = {}
    with ExitStack() as stack:
        arena = stack.enter_context(
            RabbitArena(node, f"t{4 * number + 2 * LIBRARIES.index(library)}", library, "redis")
        )
        found["send"] = measures.send(arena, library, count // 10)
        found["delayed"] = delayed(arena, library, count // 2)
        with arena.channel() as channel:
            channel.queue_purge("celery")
        with arena.worker(library, BENCH_STATE=arena._url(3)):
            before = processor_seconds(processes(node.pid))
            found["noop"] = arena.drained(count)
            found["cpu"] = (processor_seconds(processes(node.pid)) - before) / count * 1e6
            found["chain"] = measures.chain(arena, library, 50)
            found["chords"] = measures.chords(arena, library, max(1, count // 200))
    vhost = f"t{4 * number + 2 * LIBRARIES.index(library) + 1}"
    with RabbitArena(node, vhost, library, "rpc") as arena, arena.worker(library):
        found["rpc"] = arena.drained(count)
    return found


def lines(found: dict[str, Figures]) -> Iterator[str]:
    """The table in Markdown."""
    yield "| work | canvas | Celery 5.7 | ratio | goal | unit |"
    yield "|---|---:|---:|---:|---:|---|"
    for name, row in ROWS.items():
        ours, theirs = (shown(found[name][library]) for library in LIBRARIES)
        yield f"| {row.name} | {ours} | {theirs} | {ratio(row, found[name]):.1f}x | {row.goal} | {row.unit} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rabbitmq", description="canvas and Celery on RabbitMQ.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=10_000, help="tasks of a round")
    given = parser.parse_args()
    # The apps of all rounds have the same tasks.
    warnings.filterwarnings("ignore", message="Task name")
    found: dict[str, Figures] = {name: {library: [] for library in LIBRARIES} for name in ROWS}
    with tempfile.TemporaryDirectory() as folder:
        node = RabbitMQNode(folder).start()
        try:
            for number in range(given.rounds):
                for library in LIBRARIES:
                    for name, figure in one_round(node, library, number, given.count).items():
                        found[name][library].append(figure)
                print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
        finally:
            node.stop()
    print(machine(), *lines(found), sep="\n")


if __name__ == "__main__":
    main()
