"""The ends of tasks whose own end a server refuses: a value that is too large for it, for example."""

import sys
from collections.abc import Iterable

from canvas.errors import BrokerError
from canvas.model import states
from canvas.model.record import Record
from canvas.model.settlement import ResultWrite, Settlement
from canvas.result.backend import Backend
from canvas.wire.record import decode


def has_failed(backend: Backend, task_id: str, writes: Iterable[ResultWrite]) -> bool:
    """Whether one of these records is the failure, or the revocation, of a task."""
    return any(
        one.task_id == task_id and not one.success and _state(backend, one.payload) in states.READY_STATES
        for one in writes
    )


def without_messages(failure: Settlement, reason: str) -> Settlement:
    """A failure that a server refuses, as a dead letter without its messages: they may have been sent before the server
    refused one of them."""
    return failure._replace(publishes=(), deferrals=(), disposal="dead_letter", reason=reason, ending="failure")


def bare_failure(backend: Backend, failure: Settlement, reason: str) -> Settlement:
    """A failure that a server refuses, with ``reason`` in place of its error, and without anything else about the task.
    No errback is called again."""
    error = BrokerError(reason)
    stores = [one if one.success else _bare(backend, one, error) for one in failure.stores]
    parts = [one._replace(value=backend.encode_part(one.task_id, states.FAILURE, error)) for one in failure.parts]
    return without_messages(failure, reason)._replace(stores=stores, parts=parts, ending="bare_failure")


def _bare(backend: Backend, write: ResultWrite, error: BaseException) -> ResultWrite:
    record = Record(write.task_id, states.FAILURE, error, None, [], backend.date_done())
    return write._replace(payload=backend.store_of(record).payload, about=None)


def _state(backend: Backend, payload: bytes) -> str:
    """The state of a record of this process."""
    limits = {"max_bytes": sys.maxsize, "max_depth": backend.max_depth}
    return decode(payload, serializer=backend.serializer, accept=backend.accept, **limits).status
