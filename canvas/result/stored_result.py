"""The stored data of one task, read by its id: its state, its result, and the fields of an extended record."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from canvas.caller_warnings import ends_in_caller
from canvas.context import current_app
from canvas.errors import DecodeError
from canvas.model import states
from canvas.model.record import Handle, Record
from canvas.result.bases import ResultApp, ResultTree


@ends_in_caller(
    "state", "status", "result", "info", "traceback", "date_done", "exists", "ready", "successful", "failed", "name",
    "args", "kwargs", "worker", "retries", "queue",
)  # fmt: skip
class StoredResult(ResultTree, Handle):
    """The stored state of one task. A final state is read once and kept; until then every look is one read."""

    id: str = ""
    ignored: bool = False
    sent_to: str | None = None
    """The queue that its message went into; ``None`` if the handle was not made by sending one message."""
    eager: ClassVar[bool] = False
    """Whether the task ran in this process: its result is here, and nothing is waited for."""
    _awaiting: Sequence[Callable[[], Any]] = ()
    """Calls to make once the final state has been read."""
    _app: ResultApp | None = None
    """The app of its class, if that is ``app.AsyncResult``."""

    def __init__(
        self, id: str | bytes, backend: Any = None, task_name: str | None = None, app: ResultApp | None = None,
        parent: Any = None,
    ) -> None:  # fmt: skip
        if id is None:
            raise ValueError(f"AsyncResult requires a task id; got {id!r}")
        self.id = id.decode() if isinstance(id, bytes) else id
        if app is not None:
            self._app = app
        self.parent = parent
        self.task_name = task_name
        self._backend = backend
        self.final_record: Record | None = None

    @property
    def task_id(self) -> str:
        """Its id, by Celery's longer name."""
        return self.id

    @task_id.setter
    def task_id(self, value: str) -> None:
        self.id = value

    @property
    def app(self) -> Any:
        """The app whose result it is; the current one where none was given."""
        return self._app if self._app is not None else current_app()

    @app.setter
    def app(self, value: Any) -> None:
        self._app = value

    @property
    def backend(self) -> Any:
        """The result backend that it is read from: its own, or its app's."""
        return self._backend if self._backend is not None else self.app.backend

    def record(self) -> Record:
        """The stored record, read unless a final one is known; PENDING if none is stored. Raises OperationalError."""
        if self.final_record is not None:
            return self.final_record
        found = self.backend.get_records([self.id])[0]
        return self.keep(found) if found is not None else Record(self.id, states.PENDING)

    def keep(self, record: Record) -> Record:
        """Keep a record that was read, if it is final, and make the calls that wait for it. Returns the record."""
        if record.status in states.READY_STATES:
            self.final_record = record
            if self._awaiting:
                calls, self._awaiting = self._awaiting, ()
                for call in calls:
                    call()
        return record

    def is_settled(self, follow: bool) -> bool:
        """Whether nothing is left to be read: it has ended, and ``follow`` does not ask for the failure of an ancestor
        that may be the cause of its own."""
        record = self.final_record
        return record is not None and (not follow or self.parent is None or record.status == states.SUCCESS)

    def call_when_ready(self, call: Callable[[], Any]) -> None:
        """``call()`` now if the final state is known here, else when this handle has read it."""
        self.record()
        if self.final_record is not None:
            call()
        else:
            self._awaiting = [*self._awaiting, call]

    def _get_task_meta(self) -> dict[str, Any]:
        """The stored record by Celery's keys. Celery's method has an underscore, and progress bars call it."""
        if self.final_record is not None:
            return self.final_record.meta()
        found: dict[str, Any] = self.backend.get_task_meta(self.id)
        return found

    @property
    def supports_native_join(self) -> bool:
        """Whether many results are waited for at once: every result backend of canvas does so."""
        return True

    @property
    def state(self) -> str:
        """The stored state; PENDING when nothing is stored (semantics.md R2)."""
        return self.record().status

    status = state

    @property
    def result(self) -> Any:
        """The value, the exception, or a custom state's meta."""
        return self.record().result

    info = result

    @property
    def traceback(self) -> str | None:
        """The traceback of its exception as text; ``None`` without one."""
        return self.record().traceback

    @property
    def date_done(self) -> datetime | None:
        """When it ended; ``None`` until then. Raises DecodeError for a record with an invalid time."""
        done = self.record().date_done
        if done is None:
            return None
        try:
            return datetime.fromisoformat(done)
        except (ValueError, TypeError):
            raise DecodeError(f"date_done of {self.id}: expected ISO 8601 text; got {done!r:.100}") from None

    def exists(self) -> bool:
        """Whether anything is stored of it."""
        return bool(self.backend.task_result_exists(self.id))

    def ready(self) -> bool:
        """Whether it has ended: SUCCESS, FAILURE, REVOKED or IGNORED."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Whether it has ended in SUCCESS."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether it has ended in FAILURE."""
        return self.state == states.FAILURE

    def _extended(self, key: str) -> Any:
        return self.record().extra.get(key)

    @property
    def name(self) -> Any:
        """The task's name; ``None`` unless ``result_extended`` is on, or it was sent here."""
        return self._extended("name") or self.task_name

    @property
    def args(self) -> Any:
        """The positional arguments; ``None`` unless ``result_extended`` is on."""
        return self._extended("args")

    @property
    def kwargs(self) -> Any:
        """The keyword arguments; ``None`` unless ``result_extended`` is on."""
        return self._extended("kwargs")

    @property
    def worker(self) -> Any:
        """The name of the worker that ran it; ``None`` unless ``result_extended`` is on."""
        return self._extended("worker")

    @property
    def retries(self) -> Any:
        """How often it was retried; ``None`` unless ``result_extended`` is on."""
        return self._extended("retries")

    @property
    def queue(self) -> Any:
        """The queue of its message; ``None`` unless ``result_extended`` is on."""
        return self._extended("queue")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StoredResult):
            return self.id == other.id
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"
