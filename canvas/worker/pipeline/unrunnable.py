"""The settlements of deliveries whose task does not run here, or whose end cannot be settled as it is."""

from typing import Protocol

from canvas import telemetry
from canvas.app.application import Canvas
from canvas.drivers.stored_messages import redelivered, task_id_of
from canvas.errors import (
    BrokerError,
    CanvasError,
    InvalidTaskError,
    NotRegistered,
    OperationalError,
    SignatureError,
    TimeLimitExceeded,
    WireError,
    WorkerLostError,
)
from canvas.execution.executor import broken_off
from canvas.execution.signal_arguments import RefusedMessage
from canvas.model import states
from canvas.model.message import Delivery, Message, Publish, int_header
from canvas.model.outcome import Failure, OrphanReason, Outcome, Revoked
from canvas.model.record import Record
from canvas.model.settlement import (
    DelayedPublish,
    Fence,
    Orphan,
    ReadyChord,
    RefusedEnd,
    ResultWrite,
    Settlement,
)
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.producer.outbox import NodeEnd, Outbox
from canvas.telemetry import emit
from canvas.text import safe_repr
from canvas.worker.consumer.buffer import Work
from canvas.worker.consumer.revoked import Revocations
from canvas.worker.pipeline.active_tasks import ActiveTasks
from canvas.worker.pipeline.admission import MessageDecoder
from canvas.worker.pipeline.reports import TaskReports
from canvas.worker.pipeline.throttle import Throttle
from canvas.worker.settlement.deep_calls import with_deep_calls
from canvas.worker.settlement.job import UNREGISTERED, Job, Report, worker_lost
from canvas.worker.settlement.kept_chords import keeps
from canvas.worker.settlement.refused_ends import bare_failure, has_failed, next_failure
from canvas.worker.settlement.settler import Settler
from canvas.workflows.steps.engine import advance_all
from canvas.workflows.steps.unknown_tasks import awaiting_task, is_of_run
from canvas.workflows.store import RunStore

_IN_RUNS = {"wait": "wait", "fail": "dead_letter"}
_UNKNOWN_FIRST_DELAY = 1.0
_UNKNOWN_LAST_DELAY = 60.0
_MOST_DOUBLINGS = 10


class Steps(Protocol):
    """The steps of the pipeline that an end without a task needs."""

    task_throttle: Throttle
    decoder: MessageDecoder
    reports: TaskReports
    revocations: Revocations
    active_tasks: ActiveTasks

    def new_job(self, delivery: Delivery, message: Message, fence: Fence) -> Job: ...
    def conclude(self, job: Job, outcome: Outcome) -> Settlement: ...
    def settle_once(self, job: Job, outcome: Outcome, report: Report) -> tuple[Settlement, Outcome]: ...


class Unrunnable:
    """The ends of deliveries that no task here runs for."""

    def __init__(self, app: Canvas, hostname: str, runs: RunStore, steps: Steps, early_acked: set[str]) -> None:
        """``early_acked``: the tags of the messages that are acked before their turn."""
        self._app = app
        self._hostname = hostname
        self._conf = app.conf
        self._codec = app.driver.broker.codec
        self._runs = runs
        self._steps = steps
        self._early_acked = early_acked

    def refuse(self, delivery: Delivery, exc: Exception) -> Settlement:
        """A message that has just come and cannot be read as a task's: a dead letter, as ``invalid``."""
        if "message.refused" in telemetry.listeners:
            emit("message.refused", hostname=self._hostname, message=self._refused(delivery), exc=exc)
        return self.invalid(delivery, exc)

    def _refused(self, delivery: Delivery) -> RefusedMessage:
        try:
            found = self._codec.decode(delivery.payload)
        except WireError:
            headers, address = self._codec.headers_of(delivery.payload), {"routing_key": delivery.queue}
            return RefusedMessage(delivery.payload, headers, {}, address, None, None)
        properties = found.properties
        address = properties.get("delivery_info") or {}
        return RefusedMessage(
            found.body, found.headers, properties, address, found.content_type, found.content_encoding
        )

    def invalid(self, delivery: Delivery, exc: Exception, fence: Fence = "lease") -> Settlement:
        """``undecodable``, which also ends the task's chain and chord, if the rest of its message names them."""
        decoder = self._steps.decoder
        try:
            decode = decoder.decode_partial if isinstance(exc, InvalidTaskError) else decoder.decode_headers
            message = decode(delivery.payload)
        except WireError:  # not even its headers can be read
            message = None
        if message is None:
            return self.undecodable(delivery, exc, fence)
        reason = f"{type(exc).__name__}: {exc}"
        emit("message.dead_lettered", queue=delivery.queue, reason=str(exc))
        return self.dead_letter(self._steps.new_job(delivery, message, fence), exc, reason)

    def undecodable(self, delivery: Delivery, exc: Exception, fence: Fence = "lease") -> Settlement:
        """A dead letter with the reason. Where at least the id can be read, the task's result is a failure."""
        emit("message.dead_lettered", queue=delivery.queue, reason=str(exc))
        outbox = Outbox(self._app)
        outbox.disposal, outbox.reason = "dead_letter", f"{type(exc).__name__}: {exc}"
        # A forged message does not decide what a result says either.
        task_id = None if isinstance(exc, SignatureError) else task_id_of(self._codec, delivery.payload)
        if task_id:
            record = Record(task_id, states.FAILURE, exc, None, [])
            record.date_done = self._app.backend.date_done()
            place = NodeRef.of(self._codec.headers_of(delivery.payload).get(RUN_HEADER))
            outbox.record(record, in_run=place is not None)
            if place is not None:
                outbox.ends.append(NodeEnd(place, states.FAILURE, exc))
            advance_all(self._app, self._runs, outbox, task_id)
        return outbox.settlement(delivery, fence)

    def defer(self, delivery: Delivery, message: Message, due: float) -> Settlement:
        payload = delivery.payload
        if message.task in self._app.tasks and "canvas_received" not in message.headers:
            self._steps.reports.received(self._steps.new_job(delivery, message, "lease"))
            payload = self._codec.with_headers(payload, {"canvas_received": True})
        publish = self._republish(delivery, message, payload)
        return Settlement(delivery, deferrals=[DelayedPublish(due, publish)], keeps=keeps(self._app, message, due))

    def discard(self, job: Job, reason: str) -> Settlement:
        """A message that is revoked, or has expired, when its turn comes."""
        message = job.message
        if job.task is not None and "canvas_received" not in message.headers:
            known = message.headers.get("expires") is not None or self._steps.revocations.lists(message.id)
            # Celery looks for revoked stamps only after it has announced that the task is received.
            (self._steps.reports.discarding if known else self._steps.reports.received)(job)
        self._steps.active_tasks.discarded(message.id, reason)
        return self._steps.conclude(job, Revoked(reason))

    def unregistered(self, job: Job) -> Settlement:
        """A name that is not registered here. By ``worker_unknown_task``, and in a workflow's run by
        ``workflow_unknown_task``, the message is a dead letter, or waits for a worker that knows the name; the delays
        grow, so that workers do not pass it on to each other all the time."""
        delivery, message = job.delivery, job.message
        in_run = is_of_run(message.headers)
        action = _IN_RUNS[self._conf.workflow_unknown_task] if in_run else self._conf.worker_unknown_task
        emit("task.unregistered", message=message, queue=delivery.queue, action=action)
        if action != "dead_letter":
            tries = min(int_header(message.headers, UNREGISTERED), _MOST_DOUBLINGS)
            delay = min(_UNKNOWN_FIRST_DELAY * 2**tries, _UNKNOWN_LAST_DELAY)
            payload = redelivered(self._codec, delivery.payload, **{UNREGISTERED: tries + 1})
            publish = self._republish(delivery, message, payload)
            due = self._app.now().timestamp() + delay
            stores = self._await_task(message, message.task) if in_run else []
            waits = keeps(self._app, message, due)
            return Settlement(delivery, stores=stores, deferrals=[DelayedPublish(due, publish)], keeps=waits)
        reason = f"NotRegistered: no task named {message.task!r} in this worker"
        return self.dead_letter(job, NotRegistered(message.task), reason)

    def _await_task(self, message: Message, task: str | None) -> list[ResultWrite]:
        if self._app.driver.results is None:
            return []
        records = awaiting_task(self._app, self._runs, message.id, message.headers, task)
        return [self._app.backend.store_of(record, in_run=True) for record in records]

    def announce_found(self, message: Message) -> None:
        """Store that the task of a node which has waited for a worker that has it is started."""
        results = self._app.driver.results
        if results is not None and is_of_run(message.headers):
            stores = self._await_task(message, None)
            self._runs.persist(lambda: results.store(stores))

    def delivered_too_often(self, delivery: Delivery, message: Message) -> Settlement:
        """Every worker that has run the task has died: it fails, and its message is kept, instead of killing another
        worker."""
        died = f"delivered {self._conf.task_max_deliveries} times, and each time its worker died or its time was over"
        reason = f"WorkerLostError: {died}"
        lost = WorkerLostError(f"{message.task}[{message.id}]: {died}")
        emit("message.dead_lettered", queue=delivery.queue, reason=f"WorkerLostError: {lost}")
        return self.dead_letter(self._steps.new_job(delivery, message, "lease"), lost, reason)

    def settle_orphan(self, orphan: Orphan) -> Settlement:
        """The settlement of a task whose process is gone."""
        delivery = orphan.delivery
        try:
            message = self._steps.decoder.decode(delivery.payload)
        except (WireError, InvalidTaskError) as exc:
            return self.invalid(delivery, exc, "early_acked")
        return self._steps.conclude(
            self._steps.new_job(delivery, message, "early_acked"),
            _orphaned(message, OrphanReason.from_text(orphan.reason)),
        )

    def refused(self, work: RefusedEnd) -> Settlement:
        """The next end of a task whose end a server has refused: a value that is too large for it, for example."""
        before, backend = work.settlement, self._app.backend
        if before.ending != "own":
            return bare_failure(backend, work)
        try:
            message = self._steps.decoder.decode(work.delivery.payload)
        except (WireError, InvalidTaskError) as exc:
            return self.invalid(work.delivery, exc, before.fence)._replace(ending="failure")
        if has_failed(backend, message.id, before.stores):
            return next_failure(backend, work)
        job = self._steps.new_job(work.delivery, message, before.fence)
        settlement = self.dead_letter(job, BrokerError(work.reason), work.reason)._replace(ending="failure")
        if not work.nothing_sent and (before.publishes or before.deferrals):
            settlement = settlement._replace(publishes=(), deferrals=())
        return settlement._replace(releases_permits=before.releases_permits, releases_locks=before.releases_locks)

    def internal_error(self, work: Work, exc: BaseException) -> Settlement | None:
        """The pipeline itself failed on this work: its message is a dead letter with the reason, and the task's result
        is a failure. A chord whose end could not be computed stays ready, and maintenance tries it again."""
        if isinstance(work, ReadyChord) and isinstance(exc, OperationalError):
            emit("broker.unreachable", error=str(exc))
            return None
        emit("worker.internal_error", work=work, exc=exc)
        if isinstance(work, RefusedEnd):
            before, reason = work.settlement, work.reason
            return Settlement(work.delivery, before.fence, disposal="dead_letter", reason=reason, ending="dead_letter")
        if not isinstance(work, Delivery):
            return None
        reason = f"internal error: {safe_repr(exc)}"
        fence: Fence = "early_acked" if work.tag in self._early_acked else "lease"
        self._early_acked.discard(work.tag)
        try:
            job = self._steps.new_job(work, self._steps.decoder.decode(work.payload), fence)
            return self.dead_letter(job, WorkerLostError(reason), reason)
        except BaseException as again:  # noqa: BLE001 - the same fault may prevent this too
            emit("worker.internal_error", work=work, exc=again)
            return Settlement(work, fence, disposal="dead_letter", reason=reason)

    def dead_letter(self, job: Job, exc: Exception, reason: str) -> Settlement:
        """A dead letter, and a result that says FAILURE."""
        settlement, _ = self._steps.settle_once(job, Failure(exc), _silently)
        settlement = self._steps.task_throttle.with_releases(settlement, job.task, job.keys, Failure(exc))
        return settlement._replace(disposal="dead_letter", reason=reason)

    def unsettled(
        self, settler: Settler, job: Job, outcome: Outcome, report: Report, exc: BaseException
    ) -> tuple[Settlement, Outcome]:
        """The settlement of a job whose settlement raised ``exc``."""
        if isinstance(exc, RecursionError):
            try:
                return with_deep_calls(lambda: settler.settle(job, outcome, report))
            except BaseException as deeper:  # noqa: BLE001 - settled below, whatever it is
                exc = deeper
        if isinstance(exc, CanvasError):
            # The message's successors are invalid, which is not checked before the task runs.
            settlement = self.undecodable(job.delivery, exc, job.fence)
            if not job.reported:
                job.reported = True
                report(job, Failure(exc))
            return settlement, Failure(exc)
        # Nothing of what the task left behind is looked at again.
        anew = self._steps.new_job(job.delivery, job.message, job.fence)
        anew.began, anew.reported = job.began, job.reported
        return settler.settle(anew, broken_off(exc), report)

    def _republish(self, delivery: Delivery, message: Message, payload: bytes) -> Publish:
        """The message back into the queue it came from."""
        return Publish("", delivery.queue, message.properties.get("priority") or 0, payload)


def _silently(job: Job, outcome: Outcome) -> None:
    """Report nothing: other events do."""


def _orphaned(message: Message, reason: OrphanReason) -> Outcome:
    if reason.kind == "terminated":
        return Revoked(reason.kind)
    if reason.seconds is not None:
        return Failure(TimeLimitExceeded(reason.seconds))
    return Failure(worker_lost(message, reason.code))
