"""Telemetry → log lines, worded as Celery's are, because people and parsers grep them."""

import logging
from collections.abc import Callable, Collection
from difflib import get_close_matches
from typing import Any

from canvas.execution.executor import traceback_text
from canvas.telemetry import attach
from canvas.text import first_of, safe_repr
from canvas.worker.logs.control_lines import CONTROL_LINES
from canvas.worker.logs.debug_lines import DEBUG_LINES
from canvas.worker.logs.other_workers import beside_celery, same_name
from canvas.worker.logs.run_lines import run_ended
from canvas.worker.logs.task_lines import RECEIVED, TRACE, handle, task_finished, task_received
from canvas.worker.stopping import exit_status

_worker = logging.getLogger("celery.worker")
_program = logging.getLogger("celery.apps.worker")


_attached: list[Callable[[], None]] = []


def listen(registered: Collection[str] = ()) -> None:
    """Attach every log line to its event, in place of the lines of an earlier call, whose level may have been another;
    those below the level cost nothing. ``registered``: names of tasks."""
    global _registered
    while _attached:
        _attached.pop()()
    lines = [*_LINES, *CONTROL_LINES, *DEBUG_LINES]
    if not TRACE.isEnabledFor(logging.INFO):
        lines.append(("task.unsuccessful", task_finished, TRACE, logging.ERROR))
    _attached.extend(attach(listener, event) for event, listener, logger, level in lines if logger.isEnabledFor(level))
    _unknown_logged.clear()
    _registered = registered


def _raised(level: int, text: str, args: tuple[object, ...], exc: BaseException) -> None:
    """A line of the worker about an exception, with its traceback."""
    if _worker.isEnabledFor(level):
        handle(_worker, level, text, args, exc, traceback_text(exc), {})


_unknown_logged: set[str] = set()
_registered: Collection[str] = ()


def _task_unknown(message: Any, queue: str, action: str, **_: Any) -> None:
    if message.task in _unknown_logged:
        return
    _unknown_logged.add(message.task)
    near = get_close_matches(message.task, list(_registered), n=1)
    cause = f"did the sender mean {near[0]!r}?" if near else "did you import its module?"
    fate = f"dead-lettered in queue {queue}" if action == "dead_letter" else "kept for a worker that knows it"
    if action == "wait":
        fate = f"a node of workflow run {message.headers.get('root_id')} waits for a worker that knows it"
    level = logging.WARNING if action == "wait" else logging.ERROR
    text = "Received unregistered task of type %r (%s); %s Further messages of it are not logged"
    _worker.log(level, text, message.task, fate, cause)


def _task_timeout(message: Any, limit: float, **_: Any) -> None:
    _worker.error("Hard time limit (%ss) exceeded for %s[%s]", limit, message.task, message.id)


def _task_soft_timeout(message: Any, limit: float, **_: Any) -> None:
    _worker.warning("Soft time limit (%ss) exceeded for %s[%s]", limit, message.task, message.id)


def _task_terminated(message: Any, signal: str, **_: Any) -> None:
    _worker.info("Terminating %s[%s] (%s)", message.task, message.id, signal)


def _message_dead(queue: str, reason: str, **_: Any) -> None:
    _worker.critical("A message of queue %s cannot be run: %s; kept as a dead letter", queue, reason)


def _queues_full(queues: str, messages: int, **_: Any) -> None:
    why = "the queue is full, or its node is unreachable"
    _worker.warning("RabbitMQ takes no messages for %s: %s. %d messages wait in the outbox", queues, why, messages)


def _control_undecodable(reason: str, **_: Any) -> None:
    _worker.error("A remote control message cannot be read: %s; ignored", reason)


def _away(error: str, **_: Any) -> None:
    _worker.error("consumer: Cannot use the broker: %s. Trying again...", error.rstrip("."))


def _awaited(error: str, seconds: float, tries: int, most: int | None, **_: Any) -> None:
    _worker.error(
        "consumer: Cannot connect: %s. Trying again in %.2f seconds... (%s/%s)",
        error.rstrip("."), seconds, tries, most or "∞",
    )  # fmt: skip


def _back(**_: Any) -> None:
    _worker.info("The broker answers again")


def _ready(hostname: str, **_: Any) -> None:
    _program.info("%s ready.", hostname)


def _stopping(how: str, **_: Any) -> None:
    _worker.warning("worker: %s shutdown (MainProcess)", how.capitalize())


def _draining(running: list[tuple[str, float]], **_: Any) -> None:
    names = [f"{name} (running for {seconds:.0f} s)" for name, seconds in running]
    _worker.warning(
        "Waiting for %s. Press Ctrl+C again, or send QUIT, to stop at once and return %s to the queue",
        first_of(names), "it" if len(names) == 1 else "them",
    )  # fmt: skip


def _returned(running: list[str], waiting: int, ended: list[str], **_: Any) -> None:
    waiting_ones = [f"{waiting} tasks that had not started"] if waiting else []
    if running or waiting:
        _worker.warning("Returned to the queue: %s", first_of([*running, *waiting_ones]))
    if ended:
        _worker.warning("Not returned, because their messages were acknowledged before they ran: %s", first_of(ended))


def _child_lost(pid: int, exitcode: int | None, task: str | None, **_: Any) -> None:
    code, ran = exit_status(exitcode), f" while it ran {task}" if task else ""
    _worker.error("Process %s exited with %s%s; its messages were returned to the queue", pid, code, ran)


def _not_started(pid: int, seconds: float, **_: Any) -> None:
    _worker.error(
        "Process %s has not started within %.1f seconds and is replaced: it may wait for a lock that another thread "
        "held at the fork, or its worker_process_init receivers need longer (worker_proc_alive_timeout)",
        pid, seconds,
    )  # fmt: skip


def _fork_failed(error: str, **_: Any) -> None:
    _worker.error("The system refuses another process: %s. Trying again...", error)


def _output_lost(stream: str, error: str, **_: Any) -> None:
    _worker.warning("Cannot write to %s: %s; the output of tasks is lost", stream, error)


def _killing(pid: int, why: str, **_: Any) -> None:
    _worker.error("Killing process %s, which does not end its task itself: %s", pid, why)


def _child_recycled(pid: int, why: str, **_: Any) -> None:
    _worker.info("Process %s is replaced: %s", pid, why)


def _scaled(by: int, **_: Any) -> None:
    _worker.info("Scaling %s %s processes.", "up" if by > 0 else "down", abs(by))


def _unlimited(pool: str, who: str, **_: Any) -> None:
    _worker.warning("Hard time limits (%s) have no effect in the %s pool: use --pool prefork", who, pool)


def _unused(settings: dict[str, str], **_: Any) -> None:
    reasons = "".join(f"\n  {name}: {why}" for name, why in settings.items())
    _worker.warning("These settings have no effect:%s", reasons)


def _no_tasks(**_: Any) -> None:
    _worker.warning(
        "No tasks are registered, so this worker can run none: name the modules that define them, "
        "in the app's include or imports, or by --include"
    )


def _stateless(**_: Any) -> None:
    _worker.warning(
        "No server keeps the state of messages. When this worker, or its connection, is lost after a task has sent its "
        "messages and before RabbitMQ has its ack, the task runs again and sends them twice. A task with "
        "acks_late=False is lost with its worker. Set canvas_state to a redis:// or db+… URL to have each task settled "
        "once"
    )


def _unknown_queue(queue: str, near: str, **_: Any) -> None:
    _worker.warning("Queue %r is in no setting, and no task of this app names it; did you mean %r?", queue, near)


def _lease_lost(tag: str, queue: str, **_: Any) -> None:
    _worker.warning("Lost the lease %s of queue %s: another worker runs that message", tag, queue)


def _reaped(messages: int, **_: Any) -> None:
    _worker.warning("Returned %s messages of dead workers to their queues", messages)


def _chord_lost(group_id: str, parts: int, **_: Any) -> None:
    _worker.error(
        "chord %s ends in failure: its state is gone from the result backend, where it was deleted or evicted; "
        "%d of its parts are left",
        group_id,
        parts,
    )


def _chord_failed(group_id: str, body: str, body_id: str, exc: BaseException, **_: Any) -> None:
    words = "Chord %r raised: %s; its body %s[%s] does not run"  # begins as Celery's line
    facts = {"group_id": group_id, "task_name": body, "task_id": body_id}
    _worker.error(words, group_id, safe_repr(exc), body, body_id, extra=facts)


def _chord_refused(group_id: str, reason: str, **_: Any) -> None:
    _worker.critical("Chord %s cannot be ended: %s", group_id, reason)


def _clock_off(seconds: float, **_: Any) -> None:
    _worker.warning("This machine's clock is off by %.0f seconds; times are the broker's from now on", -seconds)


def _forgotten(worker: str, **_: Any) -> None:
    _worker.warning(
        "The broker no longer knew worker %s: it was emptied, failed over to a lagging replica, or declared it dead. "
        "The worker is registered again; tasks that it had leased may run again on another worker, or be lost",
        worker,
    )


def _run_lost(run: str, reason: str, **_: Any) -> None:
    _worker.error("Run %s of a workflow is lost and cannot continue: %s", run, reason)


def _errback_failed(task: str, task_id: str, exc: BaseException, **_: Any) -> None:
    _raised(logging.ERROR, "Errback %s of task %s raised: %s", (task, task_id, safe_repr(exc)), exc)


def _hook_failed(hook: str, task: str, task_id: str, exc: BaseException, **_: Any) -> None:
    _raised(logging.ERROR, "Task %s[%s] %s handler raised: %s", (task, task_id, hook, safe_repr(exc)), exc)


def _fault(work: Any, exc: BaseException, **_: Any) -> None:
    _raised(logging.CRITICAL, "Internal error on %.200r: %s", (work, safe_repr(exc)), exc)


def _crashed(worker: str, exc: BaseException, **_: Any) -> None:
    _raised(logging.CRITICAL, "Worker process %s crashed: %s", (worker, safe_repr(exc)), exc)


_LINES: list[tuple[str, Callable[..., None], logging.Logger, int]] = [
    ("task.received", task_received, RECEIVED, logging.INFO),
    ("task.discarding", task_received, RECEIVED, logging.INFO),
    ("task.finished", task_finished, TRACE, logging.INFO),
    ("task.timeout", _task_timeout, _worker, logging.ERROR),
    ("task.soft_timeout", _task_soft_timeout, _worker, logging.WARNING),
    ("task.terminated", _task_terminated, _worker, logging.INFO),
    ("task.unregistered", _task_unknown, _worker, logging.ERROR),
    ("message.dead_lettered", _message_dead, _worker, logging.CRITICAL),
    ("broker.queues_full", _queues_full, _worker, logging.WARNING),
    ("control.undecodable", _control_undecodable, _worker, logging.ERROR),
    ("broker.outage", _away, _worker, logging.ERROR),
    ("broker.retrying", _awaited, _worker, logging.ERROR),
    ("broker.outage_over", _back, _worker, logging.INFO),
    ("worker.ready", _ready, _worker, logging.INFO),
    ("worker.same_name", same_name, _worker, logging.WARNING),
    ("worker.beside_celery", beside_celery, _worker, logging.WARNING),
    ("worker.stopping", _stopping, _worker, logging.WARNING),
    ("worker.draining", _draining, _worker, logging.WARNING),
    ("worker.returned", _returned, _worker, logging.WARNING),
    ("worker.child_lost", _child_lost, _worker, logging.ERROR),
    ("worker.not_started", _not_started, _worker, logging.ERROR),
    ("worker.fork_failed", _fork_failed, _worker, logging.ERROR),
    ("worker.output_lost", _output_lost, _worker, logging.WARNING),
    ("worker.killing", _killing, _worker, logging.ERROR),
    ("worker.child_recycled", _child_recycled, _worker, logging.INFO),
    ("worker.scaled", _scaled, _worker, logging.INFO),
    ("worker.time_limit_unsupported", _unlimited, _worker, logging.WARNING),
    ("settings.ignored", _unused, _worker, logging.WARNING),
    ("worker.stateless", _stateless, _worker, logging.WARNING),
    ("worker.no_tasks", _no_tasks, _worker, logging.WARNING),
    ("worker.unknown_queue", _unknown_queue, _worker, logging.WARNING),
    ("worker.lease_lost", _lease_lost, _worker, logging.WARNING),
    ("worker.leases_recovered", _reaped, _worker, logging.WARNING),
    ("chord.dispatch_refused", _chord_refused, _worker, logging.CRITICAL),
    ("chord.failed", _chord_failed, _worker, logging.ERROR),
    ("chord.lost", _chord_lost, _worker, logging.ERROR),
    ("worker.clock_skew", _clock_off, _worker, logging.WARNING),
    ("worker.reregistered", _forgotten, _worker, logging.WARNING),
    ("run.ended", run_ended, _worker, logging.ERROR),
    ("run.lost", _run_lost, _worker, logging.ERROR),
    ("errback.failed", _errback_failed, _worker, logging.ERROR),
    ("hook.failed", _hook_failed, _worker, logging.ERROR),
    ("worker.internal_error", _fault, _worker, logging.CRITICAL),
    ("worker.crashed", _crashed, _worker, logging.CRITICAL),
]
