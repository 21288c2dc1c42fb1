"""``app.backend`` with the methods that code written for Celery calls."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from canvas.caller_warnings import ends_in_caller
from canvas.errors import TaskRevokedError, TimeoutError
from canvas.model import states
from canvas.model.outcome import ExceptionInfo
from canvas.result.keyed_backend import KeyedBackend
from canvas.wire import codecs
from canvas.wire.exceptions import decode_exception, encode_exception

if TYPE_CHECKING:
    from canvas.result.handles import GroupResult

RETRY_POLICY = {"max_retries": 20, "interval_start": 0, "interval_step": 1, "interval_max": 1}


@ends_in_caller()
class CeleryBackend(KeyedBackend):
    """The result side of an app, by Celery's names too."""

    READY_STATES, UNREADY_STATES = states.READY_STATES, states.UNREADY_STATES
    EXCEPTION_STATES = states.EXCEPTION_STATES
    persistent = True
    supports_native_join = True
    """Whether results of a group are read together: in every store."""

    _given_policy: dict[str, Any] | None = None

    @property
    def retry_policy(self) -> dict[str, Any]:
        """Celery's, changed by ``result_backend_transport_options``, or the one that a program has assigned. It has no
        effect: drivers try again by settings of their own."""
        if self._given_policy is not None:
            return self._given_policy
        return {**RETRY_POLICY, **(self._conf.result_backend_transport_options.get("retry_policy") or {})}

    @retry_policy.setter
    def retry_policy(self, policy: dict[str, Any]) -> None:
        self._given_policy = policy

    def mark_as_started(self, task_id: str, **meta: Any) -> Any:
        """Store STARTED, with ``meta`` as its result. This and the four methods below store a record and do nothing
        else: for a task that another program performs. Chords, chains and callbacks follow a task that a worker ends.
        """
        return self.store_result(task_id, meta, states.STARTED)

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        """Store a task's value."""
        self._marked(store_result, task_id, result, state, None, request)

    def mark_as_failure(
        self,
        task_id: str,
        exc: BaseException, traceback: str | None = None, request: Any = None, store_result: bool = True,
        call_errbacks: bool = True, state: str = states.FAILURE,
    ) -> None:  # fmt: skip
        """Store the exception of a task that failed. ``call_errbacks`` has no effect: a worker calls them."""
        self._marked(store_result, task_id, exc, state, traceback, request)

    def mark_as_retry(
        self,
        task_id: str,
        exc: BaseException,
        traceback: str | None = None,
        request: Any = None,
        store_result: bool = True,
        state: str = states.RETRY,
    ) -> Any:
        """Store the reason for which a task is to run again."""
        return self._marked(store_result, task_id, exc, state, traceback, request)

    def mark_as_revoked(
        self, task_id: str, reason: str = "", request: Any = None, store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:  # fmt: skip
        """Store that a task was revoked."""
        self._marked(store_result, task_id, TaskRevokedError(reason), state, None, request)

    def _marked(self, stores: bool, task_id: str, result: Any, state: str, traceback: str | None, request: Any) -> Any:
        return self.store_result(task_id, result, state, traceback, request) if stores else result

    def fail_from_current_stack(self, task_id: str, exc: BaseException | None = None) -> ExceptionInfo:
        """Store the exception that is being handled, or ``exc``, with its traceback, which is returned too."""
        import sys
        from traceback import format_exception

        from canvas.error_traits import without_pages

        found = exc or sys.exc_info()[1]
        if found is None:
            raise ValueError("fail_from_current_stack: no exception is being handled; give one as exc")
        text = without_pages("".join(format_exception(found)))
        self.mark_as_failure(task_id, found, text)
        return ExceptionInfo(found, text)

    def save_group(self, group_id: str, structure: Any, ignored: Collection[str] = ()) -> None:
        """Keep a GroupResult, or its tuple form, for ``restore_group``; ``ignored``: ids of tasks without a result."""
        as_tuple = getattr(structure, "as_tuple", None)
        super().save_group(group_id, structure if as_tuple is None else as_tuple(), ignored)

    def restore_group(self, group_id: str, cache: bool = True) -> "GroupResult | None":
        """The GroupResult kept under ``group_id``; ``None`` where there is none. Nothing is cached."""
        from canvas.result.handles import GroupResult

        return GroupResult.restore(group_id, backend=self)

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        """A task's record by its keys, PENDING and ``None`` where nothing is stored; children in tuple form. Nothing is
        cached; ``cache`` has no effect."""
        record = self.get_records([task_id])[0]
        return {"status": states.PENDING, "result": None} if record is None else record.meta()

    _get_task_meta_for = _get_task_meta = get_task_meta

    def get_many(
        self, task_ids: Iterable[str], timeout: float | None = None, interval: float | None = 0.5, no_ack: bool = True,
        on_message: Any = None, on_interval: Any = None, max_iterations: int | None = None,
        READY_STATES: Iterable[str] = states.READY_STATES,
    ) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
        """The ids of tasks and their records, by their keys, as the tasks end; ``timeout``: seconds to wait in all.

        ``on_message`` is called with each record. Raises TimeoutError. The store says when to look: ``interval``,
        ``on_interval`` and ``max_iterations`` have no effect.
        """
        import time

        ids, ready = set(task_ids), frozenset(READY_STATES)
        until = None if timeout is None else time.monotonic() + timeout
        with self.watch(ids) as watch:
            while ids:
                found = watch.next(None if until is None else max(0.0, until - time.monotonic()))
                if found is None:
                    raise TimeoutError(f"The operation timed out: {len(ids)} results are not ready after {timeout} s")
                task_id, record = found
                if task_id in ids and record.status in ready:
                    ids.discard(task_id)
                    watch.drop(task_id)
                    meta = record.meta()
                    if on_message is not None:
                        on_message(meta)
                    yield task_id, meta

    def get_state(self, task_id: str) -> str:
        return str(self.get_task_meta(task_id)["status"])

    get_status = get_state

    def get_result(self, task_id: str) -> Any:
        """The value, the exception, or a custom state's meta; ``None`` where nothing is stored."""
        return self.get_task_meta(task_id).get("result")

    def get_traceback(self, task_id: str) -> str | None:
        return self.get_task_meta(task_id).get("traceback")

    def get_children(self, task_id: str) -> list[Any] | None:
        """The results of the tasks that a task sent, in tuple form."""
        return self.get_task_meta(task_id).get("children")

    def task_result_exists(self, task_id: str) -> bool:
        """Whether anything is stored of a task."""
        return bool(self._results.read_prefix([task_id], 1)[0])

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        """``result``. Nothing has to be noted: a result is watched while it is waited for."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """``result``; nothing was noted."""
        return result

    def on_task_call(self, producer: Any = None, task_id: str | None = None) -> dict[str, Any]:
        """Nothing has to be prepared before a task is sent."""
        return {}

    def process_cleanup(self) -> None:
        """Nothing: there is nothing to clean up after a task."""

    def encode(self, data: Any) -> Any:
        """``data``, written by ``result_serializer``: text if it writes text, else bytes. Raises EncodeError."""
        _, encoding, written = codecs.encode(data, self.serializer)
        return written.decode() if encoding == "utf-8" else written

    def decode(self, payload: Any) -> Any:
        """The data in text or bytes that ``encode`` has written. Raises DecodeError."""
        written = payload.encode() if isinstance(payload, str) else bytes(payload)
        kind = codecs.named(self.serializer).content_type
        return codecs.decode(written, kind, accept=self.accept, max_depth=self.max_depth)

    def decode_result(self, payload: Any) -> dict[str, Any]:
        """A stored record by its keys; the result of a failure is the exception. Raises DecodeError."""
        return self._decode(payload.encode() if isinstance(payload, str) else bytes(payload)).meta()

    def meta_from_decoded(self, meta: dict[str, Any]) -> dict[str, Any]:
        """A record by its keys, with the exception of a failed task in the place of its stored form."""
        if meta["status"] in states.EXCEPTION_STATES:
            meta["result"] = self.exception_to_python(meta["result"])
        return meta

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """An exception as a record keeps it."""
        return encode_exception(exc, serializer or self.serializer, self.max_depth)

    def exception_to_python(self, exc: Any) -> Any:
        """The exception that ``prepare_exception`` has written."""
        return decode_exception(exc) if isinstance(exc, Mapping) else exc
