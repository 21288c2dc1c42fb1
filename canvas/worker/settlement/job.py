"""A delivery whose task may run: the facts that the steps of the pipeline and the settlement share."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias, final

from canvas.errors import Reject, TimeLimitExceeded, WorkerLostError
from canvas.model.message import Delivery, Message
from canvas.model.outcome import Outcome
from canvas.model.request import Request
from canvas.model.settlement import Fence, UniqueLock
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.worker.stopping import exit_status


@dataclass(frozen=True, slots=True)
class LimitKeys:
    """The keys of a call, read from its arguments before the task can change them."""

    permits: Sequence[tuple[str, int]] = ()
    """The concurrency keys under which it needs a permit, each with the number of its permits."""
    lock: UniqueLock | None = None
    fault: BaseException | None = None
    """Why the concurrency key cannot be read: the arguments don't fit, or the task's own function of them raised."""


NO_KEYS = LimitKeys()

DELIVERIES = "canvas_delivery_count"
"""The header that counts the deliveries of a message whose workers died."""
UNREGISTERED = "canvas_unregistered_retries"
"""The header of a message that has waited for a worker that knows its task."""


@lru_cache(maxsize=8)
def _text_of(second: int) -> str:
    """A time in UTC, in ISO 8601 without its zone. A worker writes that of a second once."""
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


@final
class Job:
    """A delivery that may run. Most fields keep the values of the class: to set them for each task would take time."""

    task: Any
    """The registered task; ``None`` where this worker has none of the message's name."""
    node: NodeRef | None
    """The node of a workflow's run that it is, if it is one."""
    keys: LimitKeys = NO_KEYS
    to_ack = False
    """Its message is to be acked before its task runs."""
    hard: float | None = None
    """The hard time limit, seconds."""
    soft: float | None = None
    """The soft time limit, seconds."""
    broken_off = False
    """Its task ended in an exception that no code catches, such as SystemExit: no hook is called."""
    began: float | None = None
    """Unix time at which its task started."""
    terminate: Callable[[], object] | None = None
    """While the task runs, this ends it from another thread, if the pool may end the whole process for that."""
    end_signal: int | None = None
    """The number of the signal that a command named to end its task."""
    ignores_result = False
    """Its result is not stored: the call says so, or else the task when it was admitted."""
    reported = False
    """Its end is reported to hooks and signals; that happens once."""

    def __init__(
        self, delivery: Delivery, message: Message, request: Request, task: Any, fence: Fence,
        node: NodeRef | None = None,
    ) -> None:  # fmt: skip
        self.delivery = delivery
        self.message = message
        self.request = request
        self.task = task
        self.fence = fence
        self.node = node
        self.started = time.perf_counter()

    @property
    def has_plain_success(self) -> bool:
        """Whether its success has no other effect than a record, in its usual form, and an ack; of a node, besides the
        next steps of its run."""
        embed, request = self.message.embed, self.request
        return not (
            embed["callbacks"] is not None
            or embed["chain"] is not None
            or embed["chord"] is not None
            or request.children
            or request.additions
            or request.retries_sent
            or request.ready_chords
            or self.reported
            or (self.node is None and RUN_HEADER in self.message.headers)
        )

    def date_start(self, offset: float) -> str | None:
        """When its task started, in ISO 8601. ``offset``: the seconds by which the broker's clock is ahead."""
        if self.began is None:
            return None
        moment = self.began + offset
        second = int(moment)
        return f"{_text_of(second)}.{int((moment - second) * 1_000_000):06}+00:00"

    def acks_failure(self, exc: BaseException) -> bool:
        """Whether its message is acked when its task fails with ``exc``."""
        task = self.task
        if task is None:
            return True
        return bool(task.acks_on_timeout if isinstance(exc, TimeLimitExceeded) else task.acks_on_failure)

    @property
    def early(self) -> bool:
        """Whether its message is acked before its task runs."""
        return self.fence == "early_acked"


Report: TypeAlias = Callable[[Job, Outcome], Reject | None]
"""Reports how a task ended; returns the Reject of a hook."""


def worker_lost(message: Message, code: int | None = None) -> WorkerLostError:
    """The error of a task whose worker died while it ran; ``code`` as in ``OrphanReason``."""
    task = f"{message.task}[{message.id}]"
    if code is None:
        return WorkerLostError(f"{task}: its worker died while it ran")
    # As Celery writes it, for those who search their logs for it.
    return WorkerLostError(f"Worker exited prematurely: {exit_status(code)} while it ran {task}")
