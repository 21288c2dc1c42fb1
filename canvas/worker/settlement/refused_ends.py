"""The ends of tasks whose own end a server refuses: a value that is too large for it, for example."""

import sys
from collections.abc import Iterable

from canvas.errors import BrokerError
from canvas.model import states
from canvas.model.record import Record
from canvas.model.settlement import Part, RefusedEnd, ResultWrite, Settlement
from canvas.result.backend import Backend
from canvas.wire.record import decode


def has_failed(backend: Backend, task_id: str, writes: Iterable[ResultWrite]) -> bool:
    """Whether one of these records is the failure, or the revocation, of a task."""
    return any(
        one.task_id == task_id and not one.success and _state(backend, one.payload) in states.READY_STATES
        for one in writes
    )


def next_failure(backend: Backend, work: RefusedEnd) -> Settlement:
    """The end after a failure of a task's own. Where none of its messages has been sent, they go along with a bare
    record. Where some may have been sent, all are left out, and the record stays."""
    failure = work.settlement
    if work.nothing_sent and (failure.publishes or failure.deferrals):
        bare = bare_failure(backend, work)
        return bare._replace(publishes=failure.publishes, deferrals=failure.deferrals, ending="failure")
    if failure.publishes or failure.deferrals:
        return _without_messages(work)._replace(ending="failure")
    return bare_failure(backend, work)


def bare_failure(backend: Backend, work: RefusedEnd) -> Settlement:
    """The settlement that keeps the message of a failure as a dead letter, sends no messages, and has the reason in
    place of the task's error. No errback is called again. Successes, such as the default of
    a failed node of a run, stay."""
    failure, error = work.settlement, BrokerError(work.reason)
    stores = [one if one.success else _bare(backend, one, error) for one in failure.stores]
    parts = [_bare_part(backend, one, error) for one in failure.parts]
    return _without_messages(work)._replace(stores=stores, parts=parts, ending="bare_failure")


def _without_messages(work: RefusedEnd) -> Settlement:
    return work.settlement._replace(publishes=(), deferrals=(), disposal="dead_letter", reason=work.reason)


def _bare(backend: Backend, write: ResultWrite, error: BaseException) -> ResultWrite:
    record = Record(write.task_id, states.FAILURE, error, None, [], backend.date_done())
    return write._replace(payload=backend.store_of(record).payload, about=None)


def _bare_part(backend: Backend, part: Part, error: BaseException) -> Part:
    _, state, _ = backend.decode_part(part.value)
    return part if state == states.SUCCESS else part._replace(value=backend.encode_part(part.task_id, state, error))


def _state(backend: Backend, payload: bytes) -> str:
    """The state of a record of this process."""
    limits = {"max_bytes": sys.maxsize, "max_depth": backend.max_depth}
    return decode(payload, serializer=backend.serializer, accept=backend.accept, **limits).status
