"""A user's result backend as a ResultStore: records are handed to its methods, and read back from them."""

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from canvas.drivers.polling import BlockingReads
from canvas.drivers.ports import StoreParts
from canvas.drivers.third_party.failures import failure_of
from canvas.errors import CanvasError
from canvas.forks import in_forks
from canvas.interruptions import raise_interruption
from canvas.model import states
from canvas.model.record import Record
from canvas.model.request import Request
from canvas.model.settlement import ResultWrite
from canvas.result.backend_classes.target import BackendApp
from canvas.result.handles import result_from_tuple
from canvas.wire import record as wire

T = TypeVar("T")


class UserBackend(Protocol):
    """The methods of a user's backend that the store calls."""

    app: BackendApp
    serializer: str
    max_depth: int
    supports_autoexpire: Any

    def exception_safe_to_retry(self, exc: BaseException) -> bool: ...

    def metas_of(self, task_ids: list[str]) -> list[dict[str, Any]]: ...

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None
    ) -> Any: ...

    def drop_record(self, task_id: str) -> None: ...

    def keep_group(self, group_id: str, result: Any) -> None: ...

    def kept_group(self, group_id: str) -> Any: ...

    def drop_group(self, group_id: str) -> None: ...

    def written_fields(self, payload: bytes) -> dict[str, Any]: ...

    def encode_group(self, structure: Any) -> bytes: ...

    def decode_group(self, payload: bytes) -> Any: ...


class _Child(NamedTuple):
    """A result of what a task has sent, of which only the tuple form is known."""

    structure: Any

    def as_tuple(self) -> Any:
        return self.structure


class StoreOfBackend(BlockingReads):
    """The ResultStore of ``canvas.drivers.ports``."""

    shared = True

    def __init__(self, backend: UserBackend) -> None:
        self._backend = backend
        self._local = threading.local()
        self._reset()
        in_forks(self._reset)

    def _reset(self) -> None:
        """A lock that another thread of the parent held is never released in a forked process."""
        self._lock = threading.RLock()

    @property
    def parts(self) -> StoreParts:
        """The store for a driver. Chords are ended by ``celery.chord_unlock``."""
        return StoreParts(self, None, None, frozenset({"results", "chords"}))

    @property
    def serializer(self) -> str | None:
        """The one that the backend has chosen."""
        return vars(self._backend).get("serializer")

    @property
    def expires_records(self) -> bool:
        return bool(self._backend.supports_autoexpire)

    @property
    def reads_raw(self) -> bool:
        """Whether records are being read for the driver, whose readers make the exceptions."""
        return getattr(self._local, "raw", False)

    def _call(self, call: Callable[[], T]) -> T:
        backend = self._backend
        safe = backend.app.conf.get("result_backend_thread_safe")
        try:
            with nullcontext() if safe else self._lock:
                return call()
        except CanvasError:
            raise
        except Exception as exc:
            raise_interruption(exc)
            where = f"result backend {type(backend).__name__}"
            raise failure_of(exc, where, backend.exception_safe_to_retry(exc)) from exc

    def get(self, task_ids: Sequence[str], retry: bool = True) -> list[bytes | None]:
        return [self._written(task_id, meta) for task_id, meta in zip(task_ids, self._read(task_ids), strict=True)]

    def _read(self, task_ids: Sequence[str]) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            self._local.raw = True
            try:
                return self._backend.metas_of(list(task_ids))
            finally:
                self._local.raw = False

        return self._call(read)

    def _written(self, task_id: str, meta: dict[str, Any]) -> bytes | None:
        if meta.get("status", states.PENDING) == states.PENDING and meta.get("result") is None:
            return None
        known = {"status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "task_id"}
        done = meta.get("date_done")
        record = Record(
            task_id, meta["status"], meta.get("result"), meta.get("traceback"), meta.get("children") or [],
            done.isoformat() if isinstance(done, datetime) else done, meta.get("group_id"), meta.get("parent_id"),
            {name: value for name, value in meta.items() if name not in known},
        )  # fmt: skip
        backend = self._backend
        return wire.encode(record, serializer=backend.serializer, max_depth=backend.max_depth)

    def store(self, stores: Sequence[ResultWrite]) -> None:
        for write in stores:
            self._store(write)

    def _store(self, write: ResultWrite) -> None:
        backend = self._backend
        fields = backend.written_fields(write.payload)
        request = _request(fields, write)
        self._call(
            lambda: backend.store_result(
                write.task_id, fields["result"], fields["status"], fields.get("traceback"), request=request
            )
        )

    def forget(self, task_ids: Sequence[str]) -> None:
        for task_id in task_ids:
            self._call(lambda task_id=task_id: self._backend.drop_record(task_id))  # type: ignore[misc]

    def save_group(self, group_id: str, payload: bytes, expires: int | None) -> None:
        backend = self._backend
        result = result_from_tuple(backend.decode_group(payload), backend.app)
        self._call(lambda: backend.keep_group(group_id, result))

    def get_group(self, group_id: str) -> bytes | None:
        backend = self._backend
        found = self._call(lambda: backend.kept_group(group_id))
        return None if found is None else backend.encode_group(found.as_tuple())

    def delete_group(self, group_id: str) -> None:
        self._call(lambda: self._backend.drop_group(group_id))

    def cleanup(self, seconds: float) -> int:
        """The backend's own ``cleanup`` is called in its place."""
        return 0

    def close(self) -> None:
        """The backend's connections are its own."""


def _request(fields: dict[str, Any], write: ResultWrite) -> Request:
    """The task's request, as far as a record and its write show it."""
    names = fields.get("stamped_headers") or ()
    return Request(
        None, id=write.task_id, root_id=None, parent_id=fields.get("parent_id"), group=fields.get("group_id"),
        children=[_Child(one) for one in fields.get("children") or ()], date_done=fields.get("date_done"),
        task=fields.get("name"), args=fields.get("args"), kwargs=fields.get("kwargs"), hostname=fields.get("worker"),
        retries=fields.get("retries"), delivery_info={"routing_key": fields.get("queue")}, reply_to=write.reply_to,
        stamped_headers=list(names), stamps={name: fields[name] for name in names if name in fields},
        **(write.about or {}),
    )  # fmt: skip
