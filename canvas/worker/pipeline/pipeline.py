"""One delivery, straight down: decode, admit, throttle, execute, settle. The result is a settlement, not yet sent."""

import time
from collections.abc import Callable
from contextvars import Token
from functools import partial
from typing import TYPE_CHECKING, Any

from canvas import telemetry
from canvas.app.application import Canvas
from canvas.context import enter_request, leave_request
from canvas.errors import InvalidTaskError, TimeLimitExceeded, WireError
from canvas.execution.executor import broken_off, execute, shared_loop
from canvas.model.message import Delivery, Message, int_header
from canvas.model.outcome import Failure, Outcome, Rejected, Revoked
from canvas.model.request import Request
from canvas.model.settlement import ChordDispatch, Fence, ReadyChord, RefusedEnd, Settlement
from canvas.model.workflow_run import RUN_HEADER, RUN_LIMIT, NodeRef
from canvas.task.task import Task
from canvas.worker.consumer.buffer import DueBatch, Kept, Work
from canvas.worker.consumer.revoked import Revocations
from canvas.worker.monitoring.lease_check import LeaseCheck
from canvas.worker.pipeline.acks_before_turn import EarlyAcks, may_ack_early
from canvas.worker.pipeline.active_tasks import ActiveTasks
from canvas.worker.pipeline.admission import RUN, Defer, Discard, MessageDecoder, acks_late, admit, time_limits
from canvas.worker.pipeline.batched_calls import BatchedCalls
from canvas.worker.pipeline.forked_copies import CopyCheck, end_copy
from canvas.worker.pipeline.reports import TaskReports
from canvas.worker.pipeline.throttle import Throttle, keys_of
from canvas.worker.pipeline.time_limits import TimeLimits, outcome_to_settle
from canvas.worker.pipeline.unrunnable import Unrunnable
from canvas.worker.settlement.chord import dispatch
from canvas.worker.settlement.job import DELIVERIES, NO_KEYS, UNREGISTERED, Job, Report, worker_lost
from canvas.worker.settlement.kept_chords import keeps
from canvas.worker.settlement.settler import Settler
from canvas.workflows.store import RunStore

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class TaskPipeline:
    """The steps of a delivery, in their order, for one process of one app; on an event loop: ``AwaitedPipeline``."""

    def __init__(
        self,
        app: Canvas,
        hostname: str,
        early_acks: EarlyAcks,
        exit_with: Callable[[Settlement], None] | None,
        revocations: Revocations,
        active_tasks: ActiveTasks,
        task_throttle: Throttle,
        runs: RunStore,
    ) -> None:
        """``exit_with`` commits a settlement and ends the process, as a hard time limit asks for."""
        self._app = app
        self.copies = CopyCheck()
        self.limits = TimeLimits()
        self.active_tasks = active_tasks
        self._exit_with = exit_with
        self.revocations = revocations
        self.task_throttle = task_throttle
        self._hostname = hostname
        self.reports = TaskReports(hostname)
        self.loop: AbstractEventLoop | None = None
        """The loop of the pool's coroutines, where it has one for all."""
        self.batches: BatchedCalls | None = None
        self.lease_check: LeaseCheck | None = None
        self.acknowledge = early_acks.acknowledge
        self._early_acked = early_acks.early_acked
        self.decoder = MessageDecoder(app)
        self.runs = runs
        self._settler = Settler(app, hostname, runs)
        self.unrunnable = Unrunnable(app, hostname, runs, self, self._early_acked)
        self._conf = app.conf
        self._tasks = app.tasks

    def do(self, work: Work) -> Settlement | ChordDispatch | Kept | None:
        """A piece of work, whichever it is."""
        if type(work) is Delivery:
            job = self.admit(work)
            if type(job) is not Job:
                return job
            if self.batches is not None and job.task.name in self.batches:
                return self.batches.add(job)
            return self.throttle(job) or self.perform(job)
        if isinstance(work, RefusedEnd):
            return self.unrunnable.refused(work)
        if isinstance(work, DueBatch):
            if self.batches is not None:
                self.batches.run_due(work.task)
            return None
        return self.complete_chord(work) if isinstance(work, ReadyChord) else self.unrunnable.settle_orphan(work)

    def admit(self, delivery: Delivery) -> Job | Settlement:
        """The job to run, or the settlement of a delivery that does not run."""
        try:
            message = self.decoder.decode(delivery.payload)
            headers = message.headers
            timed = headers.get("expires") is not None or headers.get("eta") is not None
            admission = admit(message, time.time() + self._app.clock_offset) if timed else RUN
            given = headers.get("timelimit")
            hard, soft = time_limits(given) if given not in (None, [None, None]) else (None, None)
        except (WireError, InvalidTaskError) as exc:
            return self.unrunnable.refuse(delivery, exc)
        if self.revocations.any and self.revocations.match(message):
            admission = Discard("revoked")
        if type(admission) is Defer:
            return self.unrunnable.defer(delivery, message, admission.due)
        if DELIVERIES in headers and int_header(headers, DELIVERIES) > self._conf.task_max_deliveries:
            return self.unrunnable.delivered_too_often(delivery, message)
        early = delivery.tag in self._early_acked
        job = self.new_job(delivery, message, "early_acked" if early else "lease")
        task: Task[Any] | None = job.task
        if task is not None and task.reject_on_worker_lost is False and headers.get("canvas_worker_lost"):
            return self.conclude(job, Failure(worker_lost(message)))
        if type(admission) is Discard:
            return self.unrunnable.discard(job, admission.reason)
        if task is None:
            return self.unrunnable.unregistered(job)
        job.to_ack = not early and not acks_late(task, message)
        if job.to_ack:
            job.fence = "early_acked"
        job.hard = hard or task.time_limit or self._conf.task_time_limit
        job.soft = soft or task.soft_time_limit or self._conf.task_soft_time_limit
        return job

    def new_job(self, delivery: Delivery, message: Message, fence: Fence) -> Job:
        """The job of a delivery, for the following steps."""
        task = self._tasks.get(message.task)
        request = Request(message)
        request.hostname = self._hostname
        place = NodeRef.of(message.headers[RUN_HEADER]) if RUN_HEADER in message.headers else None
        job = Job(delivery, message, request, task, fence, place)
        headers = message.headers
        asked = headers.get("ignore_result")
        job.ignores_result = bool(asked if asked is not None else task is not None and task.ignore_result)
        # Without a call of a function: most messages have no stamps.
        of_limited_run = "stamps" in headers and type(headers["stamps"]) is dict and RUN_LIMIT in headers["stamps"]
        if task is not None and (task.concurrency_limit or task.unique_for or of_limited_run):
            job.keys = keys_of(message, task)
        return job

    def throttle(self, job: Job) -> Settlement | None:
        """Apply the task's limits, and ack the message where that comes first. The settlement of a job that may not run
        yet, or whose lease was lost."""
        check, delivery = self.lease_check, job.delivery
        if check is not None:
            # As ``check.in_doubt`` does it: a call would be made for every task.
            until, until_by_day, since = check.times
            at, now, now_by_day = delivery.leased_at * 1e6, time.monotonic() * 1e6, time.time() * 1e6
            in_doubt = now > until or now_by_day > until_by_day or at < since
            if in_doubt and check.is_lost(delivery, delivery.tag in self._early_acked):
                return Settlement(delivery, job.fence, disposal="requeue")
        # A message with that header was reported before it was deferred.
        unreported = "task.received" in telemetry.listeners and "canvas_received" not in job.message.headers
        if job.to_ack or job.fence != "early_acked":
            limited = job.keys is not NO_KEYS or job.task.rate_limit
            held_back = self.task_throttle.throttle(job.delivery, job.message, job.task, job.keys) if limited else None
            if held_back is not None:
                due = max((deferral.due for deferral in held_back.deferrals), default=None)
                held_back = held_back._replace(keeps=keeps(self._app, job.message, due))
                if held_back.deferrals and unreported:
                    self.reports.received(job)
                return held_back
        if unreported:
            self.reports.received(job)
        if job.to_ack:
            if not self.acknowledge(job.delivery):
                return Settlement(job.delivery, fence="none")
            self._early_acked.add(job.delivery.tag)
        return None

    def at_start(self, job: Job) -> list[Callable[[], Any]]:
        """The calls to the broker and the result backend as the job starts."""
        calls = self.task_throttle.at_start(job.delivery, job.message, job.task, job.keys)
        if job.task.track_started:
            calls.append(partial(self._settler.announce_start, job))
        elif UNREGISTERED in job.message.headers:
            calls.append(partial(self.unrunnable.announce_found, job.message))
        return calls

    @staticmethod
    def notes_start(job: Job) -> bool:
        """Whether the broker or the result backend is to know that the job starts."""
        task, headers = job.task, job.message.headers
        announced = task.track_started or task.reject_on_worker_lost is False or job.keys is not NO_KEYS
        return announced or DELIVERIES in headers or UNREGISTERED in headers

    def begin(self, job: Job, terminate: Callable[[], object] | None) -> None:
        """The job starts; ``terminate`` ends it from outside."""
        job.began, job.terminate = time.time(), terminate
        self.active_tasks.begin(job)
        if "task.started" in telemetry.listeners:
            self.reports.started(job)

    def perform(self, job: Job) -> Settlement:
        """Run the job's task here and now, and settle it; its request is the current one all the while."""
        job.request.runs = job.task
        token = enter_request(job.request)
        try:
            if self.notes_start(job):
                for call in self.at_start(job):
                    call()
            self.begin(job, self._exit_with and self._terminator(job, lambda: Revoked("terminated", job.end_signal)))
            try:
                return self.conclude_run(job, self.execute(job))
            finally:
                self.active_tasks.end(job)
        finally:
            leave_request(token)

    def execute(self, job: Job) -> Outcome:
        """Run the job's task here and now, within its time limits."""
        task, message, hard, soft = job.task, job.message, job.hard, job.soft
        try:
            if not hard and not soft:
                outcome = execute(task, job.request, message.args, message.kwargs, fault=job.keys.fault)
            else:
                end = self._terminator(job, lambda: Failure(TimeLimitExceeded(hard)))
                limited = self.limits.watching(message, soft, hard, end)
                watched = partial(self.copies.within, limited)
                outcome = execute(task, job.request, message.args, message.kwargs, watched, job.keys.fault)
        except Exception:
            raise
        except BaseException as exc:  # noqa: BLE001 - neither the worker thread nor the process ends with a task
            self.copies.end(exc)
            job.broken_off = True
            return broken_off(exc)
        if self.copies.is_copy:
            end_copy(outcome)
        return outcome

    def _terminator(self, job: Job, outcome: Callable[[], Outcome]) -> Callable[[], None] | None:
        """A function that ends the task from outside, where the process may end with it."""
        exit_with = self._exit_with
        if exit_with is None:
            return None

        def end() -> None:
            # It may run on another thread than the task.
            token = self.enter(job)
            try:
                settlement = self.conclude_run(job, outcome())
            finally:
                leave_request(token)
            exit_with(settlement)

        return end

    def enter(self, job: Job) -> Token[Any]:
        """Make the job's request, and its task, the current ones."""
        job.request.runs = job.task
        return enter_request(job.request)

    def conclude_run(self, job: Job, outcome: Outcome) -> Settlement:
        """The settlement of a job whose task ran here and came to ``outcome``; its hooks are called."""
        settlement, outcome = self.settle(job, outcome, self.reports.finished_here)
        if self.reports.over_event in telemetry.listeners or type(outcome) is Rejected:
            self.reports.over(job, outcome)
        return settlement

    def conclude(self, job: Job, outcome: Outcome) -> Settlement:
        """The settlement of a job that came to ``outcome`` without its task, or from outside it. The hooks of a task
        that was killed at its time limit are called."""
        over = type(outcome) is Failure and isinstance(outcome.exc, TimeLimitExceeded)
        return self.settle(job, outcome, self.reports.finished_here if over else self.reports.finished)[0]

    def settle(self, job: Job, outcome: Outcome, report: Report) -> tuple[Settlement, Outcome]:
        """The settlement of a job, and the outcome that it settles; ``report`` reports that to hooks and signals."""
        if type(outcome) is Failure:
            outcome = outcome_to_settle(job, outcome)
        if self.loop is None:
            settlement, outcome = self.settle_once(job, outcome, report)
        else:
            with shared_loop(self.loop):
                settlement, outcome = self.settle_once(job, outcome, report)
        self._early_acked.discard(job.delivery.tag)
        if job.keys is not NO_KEYS:
            settlement = self.task_throttle.with_releases(settlement, job.task, job.keys, outcome)
        return settlement, outcome

    def settle_once(self, job: Job, outcome: Outcome, report: Report) -> tuple[Settlement, Outcome]:
        """Like ``settle``, without what the task holds; what cannot be settled as it is ends in failure."""
        try:
            return self._settler.settle(job, outcome, report)
        except BaseException as exc:  # noqa: BLE001 - the user's objects, which are written here, may raise anything
            return self.unrunnable.unsettled(self._settler, job, outcome, report, exc)

    def acks_early(self, delivery: Delivery) -> bool:
        """Whether a message may be acked before its turn."""
        if self.batches is not None:
            return False
        return may_ack_early(delivery, self._app, self.decoder, self.revocations, self.task_throttle)

    def complete_chord(self, ready: ReadyChord) -> ChordDispatch:
        """The messages that end a chord whose parts are all there; callbacks that are coroutines run on the loop."""
        with shared_loop(self.loop):
            return dispatch(self._app, self.runs, ready)
