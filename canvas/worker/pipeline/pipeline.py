"""One delivery, straight down: open, admit, execute, settle. The result is a settlement; nothing is sent here."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import Token
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from canvas.app.application import Canvas
from canvas.context import enter_request, leave_request
from canvas.errors import (
    BrokerError,
    CanvasError,
    InvalidTaskError,
    NotRegistered,
    Reject,
    SignatureError,
    TimeLimitExceeded,
    WireError,
    WorkerLostError,
)
from canvas.execution.executor import broken_off, call_hook, execute, outcome_hook, return_hook, shared_loop
from canvas.model import states
from canvas.model.message import Delivery, Message, Publish
from canvas.model.outcome import Failure, Outcome, Rejected, Revoked
from canvas.model.record import Record
from canvas.model.request import Request
from canvas.model.settlement import ChordDispatch, DelayedPublish, Fence, Orphan, ReadyChord, Settlement
from canvas.model.workflow_run import RUN_HEADER, NodeRef
from canvas.producer.outbox import Outbox
from canvas.task.task import Task
from canvas.telemetry import emit, listening
from canvas.text import safe_repr
from canvas.wire import task_message as wire
from canvas.worker.consumer.lifetimes import keeps
from canvas.worker.consumer.revoked import Revocations
from canvas.worker.pipeline.active_tasks import ActiveTask, ActiveTasks
from canvas.worker.pipeline.admission import Defer, Discard, Proceed, admit, time_limits
from canvas.worker.pipeline.deep_calls import with_deep_calls
from canvas.worker.pipeline.throttle import NO_KEYS, LimitKeys, Throttle, keys_of
from canvas.worker.pipeline.time_limits import TimeLimits
from canvas.worker.settlement.chord import fire
from canvas.worker.settlement.settler import FinishedTask, Settler
from canvas.workflows.engine import advance_all
from canvas.workflows.store import RunStore

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

TIME_LIMIT = "time limit "
"""What the reason of an orphan begins with whose process was killed after so many seconds."""

_UNKNOWN_FIRST_DELAY = 1.0
_UNKNOWN_LAST_DELAY = 60.0
_MOST_DOUBLINGS = 10
_OPENED_AHEAD = 256


class TaskPipeline:
    """The line a delivery goes down, for one process of one app."""

    finished_event = "task.finished"
    """The event of a task that has ended."""
    over_event = "task.over"
    """The event after all that listen to that one and ``after_return``."""

    def __init__(
        self,
        app: Canvas,
        hostname: str,
        acknowledge: Callable[[Delivery], bool],
        begun: set[str],
        give_up: Callable[[Settlement], None] | None,
        revocations: Revocations,
        tally: ActiveTasks,
        gates: Throttle,
        runs: RunStore,
    ) -> None:
        """``begun`` holds the tags of messages that ``acknowledge`` has acked with another.

        ``give_up`` commits a settlement and ends the process: what a hard time limit comes to, where it can.
        """
        self._app = app
        self.limits = TimeLimits()
        self.tally = tally
        self._give_up = give_up
        self.revocations = revocations
        self.gates = gates
        self._hostname = hostname
        self.loop: AbstractEventLoop | None = None
        """The loop of the pool's coroutines, where it has one for all."""
        self.acknowledge = acknowledge
        self._begun = begun
        self._opened: dict[bytes, Message] = {}
        self._foreseen: dict[bytes, Message] = {}
        self._runs = runs
        self._settler = Settler(app, hostname, runs)
        self._conf = app.conf
        self._accept = app.accept_content

    def do(self, work: Delivery | ReadyChord | Orphan) -> Settlement | ChordDispatch:
        """A piece of work, whichever it is."""
        if isinstance(work, Delivery):
            return self.run(work)
        return self.fire(work) if isinstance(work, ReadyChord) else self.settle_orphan(work)

    def run(self, delivery: Delivery) -> Settlement:
        """Everything one delivery comes to."""
        job = self.admit(delivery)
        if isinstance(job, Settlement):
            return job
        return self.throttle(job) or self.perform(job)

    def admit(self, delivery: Delivery) -> "Job | Settlement":
        """What is to run, or what becomes of a delivery that is not."""
        try:
            message = self._open(delivery.payload)
            admission = admit(message, time.time() + self._app.clock_offset)
            limits = time_limits(message)
        except (WireError, InvalidTaskError) as exc:
            return self._undecodable(delivery, exc)
        if self.revocations.match(message):
            admission = Discard("revoked")
        if isinstance(admission, Defer):
            return self._defer(delivery, message, admission.due)
        if wire.counted(message.headers, "canvas_delivery_count") > self._conf.task_max_deliveries:
            return self._poison(delivery, message)
        begun = delivery.tag in self._begun
        job = self._job(delivery, message, "begun" if begun else "lease")
        task: Task[Any] | None = job.task
        if task is not None and message.headers.get("canvas_worker_lost") and task.reject_on_worker_lost is False:
            return self.conclude(job, Failure(_worker_lost(message)))
        if isinstance(admission, Discard):
            return self.conclude(job, Revoked(admission.reason))
        if task is None:
            return self._unknown(job)
        job.to_ack = not begun and not _acks_late(task, message)
        if job.to_ack:
            job.fence = "begun"
        job.hard, job.soft = self._limits_of(task, *limits)
        return job

    def asks_broker(self, job: "Job") -> bool:
        """Whether ``throttle`` waits for the broker."""
        return job.to_ack or self.gates.bind(job.task)

    def acks_early(self, delivery: Delivery) -> bool:
        """Whether a message may be acked before its turn: its task acks early, and nothing can hold it back."""
        try:
            message = self._open(delivery.payload)
            free = isinstance(admit(message, time.time() + self._app.clock_offset), Proceed)
            free = free and not self.revocations.match(message)
        except Exception:  # noqa: BLE001 - when its turn comes, it is said what is wrong with it
            return False
        if len(self._opened) >= _OPENED_AHEAD:
            self._opened.clear()
        self._opened[delivery.payload] = message
        task = self._app.tasks.get(message.task)
        untroubled = not (message.headers.get("canvas_delivery_count") or message.headers.get("canvas_worker_lost"))
        return free and untroubled and task is not None and not _acks_late(task, message) and not self.gates.bind(task)

    def predecode(self, payload: bytes) -> Message | None:
        """Open a message before its turn, if it is to come next; ``None`` where that is for its turn to complain of."""
        try:
            message = self._open(payload)
        except Exception:  # noqa: BLE001 - when its turn comes, it is said what is wrong with it
            return None
        self._foreseen = {payload: message}
        return message

    def throttle(self, job: "Job") -> Settlement | None:
        """Pass the gates and ack the message where that comes first; what becomes of a job that may not run yet, or
        whose lease was lost."""
        if job.to_ack or not job.early:
            held_back = self.gates.throttle(job.delivery, job.message, job.task, job.keys)
            if held_back is not None:
                due = max((deferral.due for deferral in held_back.deferrals), default=None)
                held_back.keeps = keeps(self._app, job.message, due)
                if held_back.deferrals and "canvas_received" not in job.message.headers:
                    self._received(job)
                return held_back
        if "canvas_received" not in job.message.headers:
            emit("task.received", message=job.message, hostname=self._hostname, request=job.request, task=job.task)
        if job.to_ack:
            if not self.acknowledge(job.delivery):
                return Settlement(job.delivery, fence="none")
            self._begun.add(job.delivery.tag)
        return None

    def _received(self, job: "Job") -> None:
        """Report that the message has come to a worker. One that is deferred has a header from then on that says so,
        and is not reported again."""
        emit("task.received", message=job.message, hostname=self._hostname, request=job.request, task=job.task)

    def prefetch_nodes(self, job: "Job") -> list[Callable[[], Any]]:
        """What concluding the job would wait for, done beforehand: calls."""
        place = NodeRef.of(job.message.headers.get(RUN_HEADER))
        return [] if place is None else [partial(self._runs.prefetch_nodes, place)]

    def at_start(self, job: "Job") -> list[Callable[[], Any]]:
        """What the broker and the result backend are told as the job starts: calls that wait for them."""
        calls = self.gates.at_start(job.delivery, job.message, job.task, job.keys)
        if job.task.track_started:
            calls.append(partial(self._announce_start, job))
        return calls

    def _announce_start(self, job: "Job") -> None:
        """Nothing depends on it: where it cannot be told, the task runs all the same."""
        try:
            self._settler.announce_start(job)
        except BrokerError as exc:
            emit("broker.unreachable", error=str(exc))

    def begin(self, job: "Job", terminate: Callable[[], object] | None) -> ActiveTask:
        """The job starts; ``terminate`` ends it from outside."""
        running = ActiveTask(job.message, job.early, terminate, job.delivery.tag, job.hard)
        self.tally.begin(running)
        job.began = running.since
        waited = max(0.0, time.monotonic() - job.delivery.leased_at)
        emit("task.started", message=job.message, hostname=self._hostname, task=job.task, waited=waited)
        return running

    def perform(self, job: "Job") -> Settlement:
        """Run the job's task here and now, and settle it; its request is the current one all the while."""
        job.request.runs = job.task
        token = enter_request(job.request)
        try:
            for call in self.at_start(job):
                call()
            running = self.begin(job, self._ender(job, _terminated))
            try:
                settlement, outcome = self.settle(job, self._execute(job), partial(self.tell_run, job))
                self.over(job, outcome)
                return settlement
            finally:
                self.tally.end(running)
        finally:
            leave_request(token)

    def enter(self, job: "Job") -> Token[Any]:
        """Make the job's request, and its task, the current ones."""
        job.request.runs = job.task
        return enter_request(job.request)

    def conclude_run(self, job: "Job", outcome: Outcome) -> Settlement:
        """The settlement of a job whose task ran here and came to ``outcome``; its hooks are called."""
        settlement, outcome = self.settle(job, outcome, partial(self.tell_run, job))
        self.over(job, outcome)
        return settlement

    def over(self, job: "Job", outcome: Outcome) -> None:
        """Report that a job whose task ran here is over."""
        if listening(self.over_event):
            emit(self.over_event, **self._facts(job, outcome))

    def conclude(self, job: "Job", outcome: Outcome) -> Settlement:
        """The settlement of a job that came to ``outcome`` without its task, or from outside it."""
        return self.settle(job, outcome, partial(self._tell, job))[0]

    def settle(self, job: "Job", outcome: Outcome, tell: "Tell") -> tuple[Settlement, Outcome]:
        """The settlement of a job and what that is; ``tell`` reports it to hooks and signals."""
        if self.loop is None:
            settlement, outcome = self._settle(job, _kept(job, outcome), tell)
        else:
            with shared_loop(self.loop):
                settlement, outcome = self._settle(job, _kept(job, outcome), tell)
        self._begun.discard(job.delivery.tag)
        self.gates.leave(settlement, job.task, job.keys, outcome)
        return settlement, outcome

    def _tell(self, job: "Job", outcome: Outcome) -> None:
        emit(self.finished_event, **self._facts(job, outcome))

    def tell_run(self, job: "Job", outcome: Outcome) -> Reject | None:
        """The hook of the outcome, the signals, then ``after_return``."""
        if job.broken_off:
            self._tell(job, outcome)
            return None
        task, request, kind = job.task, job.request, type(job.task)
        if (
            kind.on_success is Task.on_success
            and kind.on_failure is Task.on_failure
            and kind.on_retry is Task.on_retry
            and kind.after_return is Task.after_return
        ):
            emit(self.finished_event, **self._facts(job, outcome))
            return None
        facts = task, request, job.message.args, job.message.kwargs, outcome
        hook = outcome_hook(*facts)
        rejected = call_hook(hook, task, request) if hook is not None else None
        emit(self.finished_event, **self._facts(job, outcome))
        hook = return_hook(*facts)
        return (call_hook(hook, task, request) if hook is not None else None) or rejected

    def _facts(self, job: "Job", outcome: Outcome) -> dict[str, Any]:
        return {
            "message": job.message,
            "outcome": outcome,
            "runtime": time.perf_counter() - job.started,
            "hostname": self._hostname,
            "task": job.task,
            "request": job.request,
        }

    def fire(self, ready: ReadyChord) -> ChordDispatch:
        """What ends a chord whose parts are all in."""
        # Error callbacks that are coroutines run on the pool's loop, where there is one.
        with nullcontext() if self.loop is None else shared_loop(self.loop):
            try:
                firing = fire(self._app, self._runs, ready)
            except RecursionError:
                firing = with_deep_calls(lambda: fire(self._app, self._runs, ready))
        emit("chord.dispatched", group_id=ready.group_id, failed=firing.failed)
        return firing

    def settle_orphan(self, orphan: Orphan) -> Settlement:
        """The end of a task whose process is gone."""
        delivery = orphan.delivery
        try:
            message = self._open(delivery.payload)
        except (WireError, InvalidTaskError) as exc:
            settlement = self._undecodable(delivery, exc)
            settlement.fence = "begun"
            return settlement
        return self.conclude(self._job(delivery, message, "begun"), _orphaned(message, orphan.reason))

    def fault(self, work: Delivery | ReadyChord | Orphan, exc: BaseException) -> Settlement | None:
        """The line itself failed on this work: its message is kept as a dead letter, with the reason, and whoever
        waits for its result is told.

        A chord stays ready, for the sweep to try again.
        """
        emit("worker.internal_error", work=work, exc=exc)
        if not isinstance(work, Delivery):
            return None
        reason = f"internal error: {safe_repr(exc)}"
        fence: Fence = "begun" if work.tag in self._begun else "lease"
        self._begun.discard(work.tag)
        try:
            return self._bury(self._job(work, self._open(work.payload), fence), WorkerLostError(reason), reason)
        except BaseException as again:  # noqa: BLE001 - what it stumbles over is in the way of this too
            emit("worker.internal_error", work=work, exc=again)
            return Settlement(work, fence, disposal="dead_letter", reason=reason)

    def _ender(self, job: "Job", outcome: Callable[[], Outcome]) -> Callable[[], None] | None:
        """What ends the task from outside, where the process may end with it."""
        give_up = self._give_up
        return (lambda: give_up(self.conclude(job, outcome()))) if give_up is not None else None

    def state(self) -> dict[str, Any]:
        """What this process is doing, as JSON."""
        return self.tally.state(self._open)

    # -- steps

    def _job(self, delivery: Delivery, message: Message, fence: Fence) -> "Job":
        request = Request(message, hostname=self._hostname)
        task = self._app.tasks.get(message.task)
        job = Job(delivery, message, request, task, fence)
        if task is not None and (task.concurrency_limit or task.unique_for):
            job.keys = keys_of(message, task)
        return job

    def _open(self, payload: bytes) -> Message:
        if self._foreseen or self._opened:
            opened = self._foreseen.pop(payload, None) or self._opened.pop(payload, None)
            if opened is not None:
                return opened
        conf = self._conf
        return wire.decode(
            payload,
            accept=self._accept,
            max_bytes=conf.task_message_max_bytes,
            max_depth=conf.task_message_max_depth,
            signer=self._app.signer,
        )

    def _execute(self, job: "Job") -> Outcome:
        """Run the job's task here and now, within its time limits."""
        task, message = job.task, job.message
        hard, soft = job.hard, job.soft
        try:
            if not hard and not soft:
                return execute(task, job.request, message.args, message.kwargs, fault=job.keys.fault)
            end = self._ender(job, lambda: Failure(TimeLimitExceeded(hard)))

            def expire() -> None:
                emit("task.timeout", message=message, limit=hard)
                assert end is not None
                end()

            def watched(call: Callable[[], Any]) -> Any:
                with self.limits.guard(soft, hard, expire if end is not None else None):
                    return call()

            return execute(task, job.request, message.args, message.kwargs, watched, job.keys.fault)
        except Exception:
            raise
        except BaseException as exc:  # noqa: BLE001 - neither the slot nor the process ends with a task
            job.broken_off = True
            return broken_off(exc)

    def _limits_of(self, task: Task[Any], hard: float | None, soft: float | None) -> tuple[float | None, float | None]:
        """Hard and soft limit in seconds: the call's, the task's, or the settings'."""
        conf = self._conf
        return hard or task.time_limit or conf.task_time_limit, (
            soft or task.soft_time_limit or conf.task_soft_time_limit
        )

    # -- what never runs

    def _undecodable(self, delivery: Delivery, exc: Exception) -> Settlement:
        """Dead-lettered with the reason; where at least the id can be read, its waiter is told."""
        emit("message.dead_lettered", queue=delivery.queue, reason=str(exc))
        settlement = Settlement(delivery, disposal="dead_letter", reason=f"{type(exc).__name__}: {exc}")
        # Whoever forges a message does not decide what a result says either.
        task_id = None if isinstance(exc, SignatureError) else wire.peek_id(delivery.payload)
        if task_id:
            effects = Outbox(self._app)
            record = Record(task_id, states.FAILURE, exc, None, [])
            record.date_done = self._app.now().isoformat()
            place = NodeRef.of(wire.headers_of(delivery.payload).get(RUN_HEADER))
            effects.record(record, in_run=place is not None)
            if place is not None:
                effects.ends.append((place, states.FAILURE, exc))
            advance_all(self._app, self._runs, effects, task_id)
            effects.into(settlement)
        return settlement

    def _defer(self, delivery: Delivery, message: Message, due: float) -> Settlement:
        payload = delivery.payload
        if message.task in self._app.tasks and "canvas_received" not in message.headers:
            self._received(self._job(delivery, message, "lease"))
            payload = wire.with_headers(payload, canvas_received=True)
        publish = self._republish(delivery, message, payload)
        return Settlement(delivery, deferrals=[DelayedPublish(due, publish)], keeps=keeps(self._app, message, due))

    def _unknown(self, job: "Job") -> Settlement:
        """A name nobody registered here: by ``worker_unknown_task`` dead-lettered, or kept for a worker that knows
        it, with growing delays so that it never circles."""
        delivery, message = job.delivery, job.message
        emit("task.unregistered", message=message, queue=delivery.queue, action=self._conf.worker_unknown_task)
        if self._conf.worker_unknown_task == "requeue":
            tries = min(wire.counted(message.headers, "canvas_unregistered_retries"), _MOST_DOUBLINGS)
            delay = min(_UNKNOWN_FIRST_DELAY * 2**tries, _UNKNOWN_LAST_DELAY)
            payload = wire.redelivered(delivery.payload, canvas_unregistered_retries=tries + 1)
            publish = self._republish(delivery, message, payload)
            due = self._app.now().timestamp() + delay
            return Settlement(delivery, deferrals=[DelayedPublish(due, publish)], keeps=keeps(self._app, message, due))
        reason = f"NotRegistered: no task named {message.task!r} in this worker"
        return self._bury(job, NotRegistered(message.task), reason)

    def _poison(self, delivery: Delivery, message: Message) -> Settlement:
        """No worker that ran it came to its end: it ends in failure and is kept, instead of killing the next one."""
        died = f"delivered {self._conf.task_max_deliveries} times, and each time its worker died or its time was over"
        reason = f"WorkerLostError: {died}"
        emit("message.dead_lettered", queue=delivery.queue, reason=reason)
        lost = WorkerLostError(f"{message.task}[{message.id}]: {died}")
        return self._bury(self._job(delivery, message, "lease"), lost, reason)

    def _settle(self, job: "Job", outcome: Outcome, tell: "Tell") -> tuple[Settlement, Outcome]:
        """The settlement of a job, and what it has come to after all; ``tell`` is called once, with that."""
        try:
            try:
                return self._settler.settle(job, outcome, tell)
            except RecursionError:
                return with_deep_calls(lambda: self._settler.settle(job, outcome, tell))
        except CanvasError as exc:
            # What the message says of its future makes no sense, and was not looked at before.
            settlement = self._undecodable(job.delivery, exc)
            settlement.fence = job.fence
            if not job.told:
                job.told = True
                tell(Failure(exc))
            return settlement, Failure(exc)
        except BaseException as exc:  # noqa: BLE001 - the user's objects, which are written here, may raise anything
            # Nothing of what the task left behind is looked at again.
            anew = self._job(job.delivery, job.message, job.fence)
            anew.began, anew.told = job.began, job.told
            return self._settler.settle(anew, broken_off(exc), tell)

    def _bury(self, job: "Job", exc: Exception, reason: str) -> Settlement:
        """FAILURE for whoever waits, and a dead letter."""
        settlement, _ = self._settle(job, Failure(exc), _silently)
        self.gates.leave(settlement, job.task, job.keys, Failure(exc))
        settlement.disposal, settlement.reason = "dead_letter", reason
        return settlement

    def _republish(self, delivery: Delivery, message: Message, payload: bytes) -> Publish:
        """The message back into the queue it came from."""
        return Publish("", delivery.queue, message.properties.get("priority") or 0, payload)


class Job(FinishedTask):
    """A delivery that may run."""

    __slots__ = ("broken_off", "hard", "keys", "soft", "started", "to_ack")

    task: Task[Any]
    hard: float | None
    """Its time limits, seconds."""
    soft: float | None
    keys: LimitKeys

    def __init__(
        self, delivery: Delivery, message: Message, request: Request, task: Task[Any] | None, fence: Fence
    ) -> None:
        super().__init__(delivery, message, request, task, fence)
        self.to_ack = False
        self.broken_off = False
        """Its task ended in what nothing takes, such as SystemExit: no hook is called."""
        self.keys = NO_KEYS
        self.started = time.perf_counter()

    @property
    def early(self) -> bool:
        """Whether its message is acked before it runs."""
        return self.fence == "begun"


Tell: TypeAlias = Callable[[Outcome], Reject | None]
"""Reports how a task ended; gives the Reject of a hook."""


def _silently(outcome: Outcome) -> None:
    """Report nothing: other events do."""


def _terminated() -> Outcome:
    return Revoked("terminated")


def _orphaned(message: Message, reason: str) -> Outcome:
    if reason == "terminated":
        return Revoked(reason)
    if reason.startswith(TIME_LIMIT):
        return Failure(TimeLimitExceeded(float(reason.removeprefix(TIME_LIMIT))))
    return Failure(_worker_lost(message))


def _kept(job: FinishedTask, outcome: Outcome) -> Outcome:
    """The outcome, but for a task that its hard limit ended and that is to run again then."""
    match outcome:
        case Failure(TimeLimitExceeded() as exc) if (
            job.task is not None and not job.task.acks_on_timeout and _acks_late(job.task, job.message)
        ):
            return Rejected(exc, requeue=True)
    return outcome


def _worker_lost(message: Message) -> WorkerLostError:
    return WorkerLostError(f"{message.task}[{message.id}]: its worker died while it ran")


def _acks_late(task: Task[Any], message: Message) -> bool:
    """The call's own ``acks_late``, which travels as a property, or the task's."""
    asked = message.properties.get("acks_late")
    return bool(task.acks_late if asked is None else asked)
