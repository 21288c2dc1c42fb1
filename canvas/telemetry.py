"""Events inside canvas, for listeners: logs, remote events, metrics. An event without a listener costs next to nothing.

=============================  ==========================================================
event                          facts
=============================  ==========================================================
message.publishing             message, whose headers may still be changed; queue; retry_policy
message.published              message
message.dead_lettered          queue, reason
message.refused                hostname, message, exc: of a message that cannot be read as a task's
task.received                  message, hostname, request, task
task.discarding                message: in place of task.received, of a task that is revoked or has expired
task.started                   message, hostname, task, waited (s since its lease)
task.finished                  message, outcome, runtime (s), hostname, task, request
task.unsuccessful              the same, before task.finished, of a task that ended in anything but success
task.over                      as task.finished, of a task that ran, after its listeners and ``after_return``
task.rejected                  as task.finished, after task.over, of a task that rejected its message for good; the
                               outcome is the failure that is stored
eager.started                  message, hostname, task: of a call that runs here and now
eager.finished                 message, outcome, runtime (s), hostname, task, request
eager.over                     the same, afterwards; outcome is ``None`` where ``apply()`` raises
task.timeout                   message, limit (s)
task.soft_timeout              message, limit (s)
task.terminated                message, signal
task.unregistered              message, queue, action
control.undecodable            reason
batch.settled                  settled, leased (how many); of these, by a short way: passed_through (leased as they were
                               written), chords_ended (with their last part), acked_ahead (acks with another's)
chord.dispatched               group_id, failed
chord.dispatch_refused         group_id, reason
chord.failed                   group_id, body (the name of its task), body_id, exc
chord.lost                     group_id, parts
run.ended                      run, name, state, created and ended (ISO 8601), cause (the exception, if it failed)
run.lost                       run, reason
errback.failed                 task, task_id, exc
hook.failed                    hook (its name), task, task_id, exc
app.importing                  app
heartbeat.sent                 heart (the service that has sent it)
logging.setup                  sent by the ``setup_logging`` signal alone
logging.ready                  logger, loglevel, logfile, format, colorize
logging.tasks_ready            the same, of the logger of tasks
worker.configuring             hostname, app, options (of the command line)
worker.preparing               hostname, app, known (the sender's further attributes)
worker.init                    hostname, app, known
worker.ready                   hostname, app, consumer (the sender's further attributes)
worker.same_name               hostname (that another worker has too)
worker.beside_celery           workers (of Celery: by name, the queues that this one consumes too), runs (that are kept)
worker.forking                 pool (of the process)
worker.forked                  index (of the child among those that live, from 1)
worker.process_init            hostname
worker.process_shutdown        hostname, pid, exitcode
worker.stopping                how (warm, soft, cold), hostname
worker.draining                running (name[id] and seconds, of the tasks that a warm stop waits for)
worker.returned                running (name[id]), waiting (how many had not started), ended (name[id], acked before)
worker.shutdown                hostname, app, known
worker.child_lost              pid, exitcode (None: unknown), task (name and id; None: unknown, or no task ran)
worker.not_started             pid, seconds (that it had)
worker.fork_failed             error
worker.output_lost             stream (stdout or stderr), error
worker.killing                 pid, why
worker.child_recycled          pid, why
worker.scaled                  by
worker.time_limit_unsupported  pool, who
settings.ignored               settings (those that have no effect: why, by name)
worker.stateless               where no server keeps the state of messages
worker.no_tasks
worker.unknown_queue           queue, near (the name of a known one)
worker.lease_lost              tag, queue
worker.clock_skew              seconds (by which the broker's clock is ahead)
worker.leases_recovered        messages
worker.reregistered            worker
worker.internal_error          work, exc
control.revoked                ids (of tasks that a command has revoked)
control.rate_limit             task (name), limit (falsy: none)
control.time_limits            task (name), soft, hard (seconds; None: none)
worker.crashed                 worker, exc
beat.starting                  service
beat.embedded                  service (in the process of a worker)
beat.composing                 entry, app, headers (of the message of its tick; they may still be changed)
beat.claiming                  entry: before the write that claims a tick
beat.claimed                   entry: after it
beat.sent                      entry, lag (s since the tick was due; None: unknown)
beat.left_out                  entry, action (skip, miss, wait)
broker.unreachable             error: noticed by one part of one process
broker.retrying                error, seconds (until the next try), tries, most
broker.recovered
broker.queues_full             queues, messages (how many RabbitMQ does not take now; they are tried again)
broker.outage                  error: once for a node, again with growing pauses
broker.outage_over             after broker.outage
=============================  ==========================================================
"""

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

Listener: TypeAlias = Callable[..., None]

listeners: dict[str, tuple[Listener, ...]] = {}
"""By event; an event without a listener is not in it. ``attach`` alone changes it."""
ENDING = frozenset(
    {
        "command.starting", "logging.setup", "logging.ready", "logging.tasks_ready", "app.importing",
        "worker.configuring", "worker.init", "worker.preparing", "worker.process_init", "worker.ready",
        "beat.starting", "beat.embedded",
    }
)  # fmt: skip
"""Events of a program's start, at which a listener may end it: SystemExit passes through them."""
_faulty: set[int] = set()
_log = logging.getLogger("canvas.telemetry")


def emit(event: str, **facts: Any) -> None:
    """Call every listener of ``event`` with the facts. At events of ``ENDING`` a listener's SystemExit is raised."""
    for listener in listeners.get(event, ()):
        try:
            listener(**facts)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # its fault must not become the emitter's; said once per listener
            if isinstance(exc, SystemExit) and event in ENDING:
                raise
            if id(listener) not in _faulty:
                _faulty.add(id(listener))
                _log.exception("listener %r of %s raised; further errors of it are not logged", listener, event)


def listening(event: str) -> bool:
    """Whether anybody listens to ``event``."""
    return event in listeners


def attach(listener: Listener, *events: str) -> Callable[[], None]:
    """Call ``listener(**facts)`` at each of these events; the returned function ends that."""
    for event in events:
        listeners[event] = (*listeners.get(event, ()), listener)

    def detach() -> None:
        for event in events:
            left = tuple(known for known in listeners.get(event, ()) if known is not listener)
            if left:
                listeners[event] = left
            else:
                listeners.pop(event, None)

    return detach
