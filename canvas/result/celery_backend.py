"""``app.backend`` with the methods that code written for Celery calls."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from canvas.errors import TaskRevokedError, TimeoutError
from canvas.masking import masked_url
from canvas.model import states
from canvas.model.settlement import ResultWrite, whole_seconds
from canvas.result.backend import Backend
from canvas.wire import codecs
from canvas.wire import record as wire

if TYPE_CHECKING:
    from canvas.result.handles import GroupResult

_TASK, _GROUP, _CHORD = "celery-task-meta-", "celery-taskset-meta-", "chord-unlock-"

_RETRY_POLICY = {"max_retries": 20, "interval_start": 0, "interval_step": 1, "interval_max": 1}


class CeleryBackend(Backend):
    """The result side of an app, by Celery's names too."""

    READY_STATES, UNREADY_STATES = states.READY_STATES, states.UNREADY_STATES
    EXCEPTION_STATES = states.EXCEPTION_STATES
    persistent = True
    supports_native_join = True
    """Whether results of a group are read together: in every store."""
    task_keyprefix, group_keyprefix, chord_keyprefix = _TASK.encode(), _GROUP.encode(), _CHORD.encode()

    @property
    def retry_policy(self) -> dict[str, Any]:
        """Celery's, changed by ``result_backend_transport_options``; drivers try again by settings of their own."""
        return {**_RETRY_POLICY, **(self._conf.result_backend_transport_options.get("retry_policy") or {})}

    # -- states of tasks that another program performs

    def mark_as_started(self, task_id: str, **meta: Any) -> Any:
        """Store STARTED, with ``meta`` as its result. This and the four methods below store a record and do nothing
        else: for a task that another program performs. Chords, chains and callbacks follow a task that a worker ends.
        """
        return self.store_result(task_id, meta, states.STARTED)

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> Any:
        """Store a task's value."""
        return self._marked(store_result, task_id, result, state, None, request)

    def mark_as_failure(
        self,
        task_id: str,
        exc: BaseException, traceback: str | None = None, request: Any = None, store_result: bool = True,
        call_errbacks: bool = True, state: str = states.FAILURE,
    ) -> Any:  # fmt: skip
        """Store the exception of a task that failed. ``call_errbacks`` has no effect: a worker calls them."""
        return self._marked(store_result, task_id, exc, state, traceback, request)

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
    ) -> Any:  # fmt: skip
        """Store that a task was revoked."""
        return self._marked(store_result, task_id, TaskRevokedError(reason), state, None, request)

    def _marked(self, stores: bool, task_id: str, result: Any, state: str, traceback: str | None, request: Any) -> Any:
        return self.store_result(task_id, result, state, traceback, request) if stores else result

    def fail_from_current_stack(self, task_id: str, exc: BaseException | None = None) -> Any:
        """Store the exception that is being handled, or ``exc``, with its traceback."""
        import sys
        from traceback import format_exception

        from canvas.error_pages import without_pages

        found = exc or sys.exc_info()[1]
        if found is None:
            raise ValueError("fail_from_current_stack: no exception is being handled; give one as exc")
        return self.mark_as_failure(task_id, found, without_pages("".join(format_exception(found))))

    # -- groups

    def save_group(self, group_id: str, structure: Any, ignored: Collection[str] = ()) -> None:
        """Keep a GroupResult, or its tuple form, for ``restore_group``; ``ignored``: ids of tasks without a result."""
        as_tuple = getattr(structure, "as_tuple", None)
        super().save_group(group_id, structure if as_tuple is None else as_tuple(), ignored)

    def restore_group(self, group_id: str, cache: bool = True) -> "GroupResult | None":
        """The GroupResult kept under ``group_id``; ``None`` where there is none. Nothing is cached."""
        from canvas.result.handles import GroupResult

        return GroupResult.restore(group_id, backend=self)

    # -- records as dictionaries

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

    @property
    def expires(self) -> int | None:
        """Seconds for which results are kept; ``None`` for no end."""
        return whole_seconds(self._conf.result_expires) or None

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

    # -- values as they are written

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

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """An exception as a record keeps it."""
        return wire.encode_exception(exc, serializer or self.serializer, self.max_depth)

    def exception_to_python(self, exc: Any) -> Any:
        """The exception that ``prepare_exception`` has written."""
        return wire.decode_exception(exc) if isinstance(exc, Mapping) else exc

    # -- keys

    @property
    def client(self) -> Any:
        """The library's client of the server that keeps the results: of Redis and of Memcached. Raises
        AttributeError for stores that have none."""
        found = getattr(self._results, "client", None)
        if found is None:
            raise AttributeError(
                f"app.backend.client: {type(self._results).__name__} has no client; read results by AsyncResult"
            )
        return found

    def as_uri(self, include_password: bool = False) -> str:
        """The result backend's URL; its password is masked unless ``include_password``."""
        url = str(self._conf.result_backend or "disabled://")
        return url if include_password else masked_url(url)

    @property
    def url(self) -> str:
        """The result backend's URL."""
        return self.as_uri(include_password=True)

    def get_key_for_task(self, task_id: Any, key: Any = "") -> bytes:
        """The key of a task's record in stores of values by key."""
        return _key(_TASK, "task_id", task_id, key)

    def get_key_for_group(self, group_id: Any, key: Any = "") -> bytes:
        """The key of a saved group."""
        return _key(_GROUP, "group_id", group_id, key)

    def get_key_for_chord(self, group_id: Any, key: Any = "") -> bytes:
        """The key of a chord's counter."""
        return _key(_CHORD, "group_id", group_id, key)

    def get(self, key: Any) -> bytes | None:
        """The value of a key of ``get_key_for_task`` or ``get_key_for_group``, in every store; of any other key where
        the store keeps values by key. Raises NotImplementedError elsewhere."""
        name = _text(key)
        if name.startswith(_TASK):
            return self._results.get([name.removeprefix(_TASK)])[0]
        if name.startswith(_GROUP):
            return self._results.get_group(name.removeprefix(_GROUP))
        found: bytes | None = self._of_keys("get_value")(name)
        return found

    def mget(self, keys: Sequence[Any]) -> list[bytes | None]:
        """The values of several keys."""
        return [self.get(key) for key in keys]

    def set(self, key: Any, value: Any) -> None:
        """Keep a value, for ``result_expires``, under a key as ``get`` takes it. A stored SUCCESS stays."""
        name, written = _text(key), value.encode() if isinstance(value, str) else bytes(value)
        if name.startswith(_TASK):
            success = self._decode(written).status == states.SUCCESS
            self._results.store([ResultWrite(name.removeprefix(_TASK), written, self.expires, success)])
        elif name.startswith(_GROUP):
            self._results.save_group(name.removeprefix(_GROUP), written, self.expires)
        else:
            self._of_keys("set_value")(name, written, self.expires)

    def delete(self, key: Any) -> None:
        """Delete a value, under a key as ``get`` takes it."""
        name = _text(key)
        if name.startswith(_TASK):
            self._results.forget([name.removeprefix(_TASK)])
        elif name.startswith(_GROUP):
            self._results.delete_group(name.removeprefix(_GROUP))
        else:
            self._of_keys("delete_value")(name)

    def _of_keys(self, name: str) -> Any:
        call = getattr(self._results, name, None)
        if call is None:
            raise NotImplementedError(
                f"{type(self._results).__name__} keeps records and groups only: use keys of get_key_for_task or "
                "get_key_for_group, or keep other values elsewhere"
            )
        return call


def _key(prefix: str, name: str, id: Any, key: Any) -> bytes:
    if not id:
        raise ValueError(f"{name} must not be empty. Got {id} instead.")
    return f"{prefix}{_text(id)}{_text(key)}".encode()


def _text(key: Any) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)
