"""``rpc://``: a result is a message to the queue of the process that sent the task. No other process can read it."""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from typing import NoReturn

from canvas.drivers.amqp.broker import AmqpBroker
from canvas.drivers.amqp.protocol.frames import Delivered
from canvas.drivers.amqp.rpc.reader import ReplyReader
from canvas.drivers.amqp.rpc.replies import Replies, RpcOptions
from canvas.drivers.memory.records import MemoryRecords
from canvas.drivers.memory.results import MemoryResults
from canvas.drivers.ports.results import AsyncWatch, Watch
from canvas.errors import BrokerError, NoResultBackend
from canvas.forks import in_forks
from canvas.model.settlement import ResultWrite
from canvas.wire.record import says_success

_CURE = "set result_backend to a redis:// or db+… URL, whose results every process can read"
_FORGETS_EVERY = 1000
"""Results after which those that have expired are dropped."""


class RpcResults:
    """The ResultStore of ``canvas.drivers.ports``, as far as this process sends the tasks."""

    expires_records = True
    shared = False
    serializer = None

    def __init__(self, broker: AmqpBroker, options: RpcOptions) -> None:
        self._broker = broker
        self._options = options
        self._replies = Replies(options)
        self._lock = threading.Lock()
        self._begin()
        broker.before_publishing = self.declare
        in_forks(self._begin)
        atexit.register(_close, weakref.ref(self), os.getpid())

    def _begin(self) -> None:
        """Start without a queue, as a new or a forked process does."""
        self._lock = threading.Lock()
        self._records = MemoryRecords()
        self._kept = MemoryResults(self._records)
        self._reader: ReplyReader | None = None
        self._declared = 0.0
        self._count = 0

    def declare(self) -> None:
        """Make the queue for the results of this process, before its first task is sent. Raises OperationalError."""
        expires = self._options.expires
        if self._declared and (not expires or time.monotonic() - self._declared < expires / 2):
            return
        self._make()

    def _make(self) -> int:
        """Make the queue. Returns how many results are in it."""
        name, arguments = self._options.queue(), self._options.arguments()
        found = self._broker.topology.call(
            lambda channel: channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)
        )
        self._declared = time.monotonic()
        return int(found.message_count)

    def _reading(self) -> MemoryResults:
        """The results that have come, once those that were in the queue have been read."""
        if not self._declared:
            raise NoResultBackend(
                "rpc:// results go to the process that sent the task, and this process has sent none: get the result "
                f"there, or {_CURE}"
            )
        with self._lock:
            if self._reader is None:
                reader = ReplyReader(lambda: self._broker.link(heartbeat=True), self._make, self._keep)
                self._reader = reader.start(self._options.queue())
        self._reader.wait_until_ready(self._broker.options.answer_within)
        return self._kept

    def _keep(self, message: Delivered) -> None:
        task_id, payload = message.content.properties.get("correlation_id"), message.content.body
        if isinstance(task_id, str):
            self._kept.store([ResultWrite(task_id, payload, self._options.expires, says_success(payload))])
            self._count += 1
            if self._count % _FORGETS_EVERY == 0:
                with self._records.lock:
                    for one in list(self._records.records):
                        self._records.record(one)

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        return self._reading().get(task_ids)

    async def aget(self, task_ids: Sequence[str]) -> list[bytes | None]:
        return (await self._areading()).get(task_ids)

    async def _areading(self) -> MemoryResults:
        if self._reader is not None:
            return self._reading()
        import asyncio

        return await asyncio.to_thread(self._reading)

    def read_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return self._reading().read_prefix(task_ids, size)

    async def aread_prefix(self, task_ids: Sequence[str], size: int) -> list[bytes]:
        return (await self._areading()).read_prefix(task_ids, size)

    def store(self, stores: Sequence[ResultWrite]) -> None:
        """Send records to the queues that they name; others are dropped."""
        self._broker.publisher.publish(self._replies.publications(stores))

    def forget(self, task_ids: Sequence[str]) -> None:
        self._kept.forget(task_ids)

    def watch(self, task_ids: Iterable[str]) -> AbstractContextManager[Watch]:
        return self._reading().watch(task_ids)

    def awatch(self, task_ids: Iterable[str]) -> AbstractAsyncContextManager[AsyncWatch]:
        return self._reading().awatch(task_ids)

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        self._refuse_groups()

    def get_group(self, group_id: str) -> bytes | None:
        self._refuse_groups()

    def delete_group(self, group_id: str) -> None:
        self._refuse_groups()

    def _refuse_groups(self) -> NoReturn:
        raise NoResultBackend(f"rpc:// results keep no GroupResult to be saved and restored: {_CURE}")

    def cleanup(self, seconds: float) -> int:
        return 0

    def close(self) -> None:
        """Delete the queue."""
        with self._lock:
            reader, self._reader = self._reader, None
            declared, self._declared = self._declared, 0.0
        if reader is not None:
            reader.close()
        if declared:
            with suppress(BrokerError):  # RabbitMQ deletes it when it has not been used for long
                self._broker.topology.call(lambda channel: channel.queue_delete(self._options.queue()))
            self._broker.topology.close()


def _close(reference: "weakref.ref[RpcResults]", pid: int) -> None:
    """Close results at the end of the process that made them."""
    results = reference()
    if results is not None and os.getpid() == pid:
        results.close()
