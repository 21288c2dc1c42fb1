"""The latest answers of workers to questions."""

import threading
import time
import warnings
from typing import Any

from canvas.app.application import Canvas
from canvas.caller_warnings import DuplicateNodenameWarning
from canvas.dashboard.collecting.memory import MemoryGrowth
from canvas.remote.cluster_entries import Worker

OF_ALL = ("active_queues", "stats")
"""Questions that are asked regularly."""
OF_FLOWER = ("stats", "active_queues", "registered", "scheduled", "active", "reserved", "revoked", "conf")
"""Questions whose answers Flower shows."""
_TASK_LISTS = frozenset({"scheduled", "active", "reserved", "revoked"})
_WORKERS = 1_000


class Answers:
    """The answers of workers, by their names."""

    def __init__(self, app: Canvas, timeout: float) -> None:
        self._app = app
        self._timeout = timeout
        self._known: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self.memory = MemoryGrowth()

    def ask(self, questions: tuple[str, ...] = OF_ALL, worker: str | None = None, expected: int = 0) -> None:
        """Ask all workers, or one; ``expected``: the number of answers after which the wait ends. Raises
        BrokerError."""
        for question in questions:
            found = self._broadcast(question, worker, expected)
            with self._lock:
                for name, answer in found.items():
                    if len(self._known) < _WORKERS or name in self._known:
                        self._known.setdefault(name, {}).update({question: answer, "timestamp": time.time()})
                        if question == "stats":
                            self.memory.take(name, answer, time.time())

    def _broadcast(self, question: str, worker: str | None, expected: int) -> dict[str, Any]:
        destination = None if worker is None else [worker]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DuplicateNodenameWarning)
            asked = self._app.control.inspect(destination, self._timeout, limit=expected or None)
            if question == "active":
                return asked.active(safe=True) or {}
            return getattr(asked, question)() or {}

    def one(self, worker: str) -> dict[str, Any]:
        """All that a worker has answered."""
        with self._lock:
            return dict(self._known.get(worker, {}))

    def library_of(self, worker: Worker) -> str:
        """``canvas`` or ``celery``, as the worker's events or its answers say."""
        stats = self.one(worker.hostname or "").get("stats")
        pool = stats.get("pool") if isinstance(stats, dict) else None
        implementation = pool.get("implementation") if isinstance(pool, dict) else ""
        return "canvas" if is_of_canvas(worker.sw_ident) or is_of_canvas(implementation) else "celery"

    def all(self) -> dict[str, dict[str, Any]]:
        """All that workers have answered, by worker."""
        with self._lock:
            return {name: dict(answers) for name, answers in self._known.items()}

    def forget(self, worker: str) -> None:
        """Delete the answers of a worker that is gone."""
        with self._lock:
            self._known.pop(worker, None)
            self.memory.forget(worker)


def is_of_canvas(name: object) -> bool:
    """Whether canvas has given itself, or its pool, this name."""
    return isinstance(name, str) and name.startswith("canvas")


def questions_of(worker: str | None) -> tuple[str, ...]:
    """Flower's questions: lists of tasks can be long, so that only one worker is asked for them."""
    return OF_FLOWER if worker is not None else tuple(one for one in OF_FLOWER if one not in _TASK_LISTS)
