"""Celery's signals, by Celery's names and arguments: ``task_success.connect(receiver)``.

They are telemetry in Celery's words: a signal that nobody has connected to costs nothing. What a receiver raises is
logged, and changes nothing.
"""

import logging
import weakref
from collections.abc import Callable, Mapping
from signal import SIGTERM
from traceback import format_exception
from typing import Any

from canvas.errors import NotRegistered, Reject, TaskRevokedError
from canvas.execution.received import ReceivedRequest
from canvas.model import states
from canvas.model.outcome import ExceptionInfo, Failure, Ignored, Outcome, Rejected, Retried, Revoked, Success
from canvas.telemetry import attach

_log = logging.getLogger("celery.utils.dispatch.signal")
Receiver = Callable[..., Any]
Facts = Mapping[str, Any]
Said = tuple[Any, dict[str, Any]]
"""A signal's sender and its arguments."""


class Signal:
    """Receivers of one kind of event; ``translate`` makes a signal of telemetry's facts, or ``None``. One without
    events (names, with blanks between them) is sent by whoever has it."""

    def __init__(self, name: str, events: str = "", translate: Callable[[Facts], Said | None] = lambda _: None) -> None:
        self.name = name
        self._events = events.split()
        self._translate = translate
        self._receivers: dict[Any, tuple[Callable[[], Receiver | None], Any]] = {}
        self._detach: Callable[[], None] | None = None

    def connect(self, *args: Any, sender: Any = None, weak: bool = True, dispatch_uid: Any = None, **_: Any) -> Any:
        """Call a receiver at each such event, of ``sender`` only where given. Also a decorator, with or without
        arguments. A second receiver of one ``dispatch_uid`` is not connected.
        """
        if args and callable(args[0]):
            return self._connect(args[0], args[1] if len(args) > 1 else sender, weak, dispatch_uid)
        return lambda receiver: self._connect(receiver, sender, weak, dispatch_uid)

    def _connect(self, receiver: Receiver, sender: Any, weak: bool, uid: Any) -> Receiver:
        key = uid if uid is not None else (_identity(receiver), id(sender) if sender is not None else None)
        known = self._receivers.get(key)
        if known is None or known[0]() is None:
            self._receivers[key] = (_reference(receiver, weak), sender)
        if self._detach is None and self._events:
            self._detach = attach(self._on_event, *self._events)
        return receiver

    def disconnect(self, receiver: Receiver | None = None, sender: Any = None, dispatch_uid: Any = None) -> bool:
        """Call a receiver no more; whether it was connected."""
        key = dispatch_uid
        if key is None:
            key = (_identity(receiver), id(sender) if sender is not None else None)
        found = self._receivers.pop(key, None) is not None
        if not self._receivers and self._detach is not None:
            self._detach()
            self._detach = None
        return found

    @property
    def receivers(self) -> list[Receiver]:
        """Those that are connected and still alive."""
        return [receiver for find, _ in self._receivers.values() if (receiver := find()) is not None]

    def has_listeners(self, sender: Any = None) -> bool:
        """Whether a receiver would hear of ``sender``."""
        return any(find() is not None and only in (None, sender) for find, only in list(self._receivers.values()))

    def send(self, sender: Any, **arguments: Any) -> list[tuple[Receiver, Any]]:
        """Call the receivers; what each returned, or the exception that it raised, which is logged."""
        answers = []
        for find, only in list(self._receivers.values()):
            receiver = find()
            if receiver is not None and (only is None or only is sender or only == sender):
                answers.append((receiver, self._answer(receiver, {"signal": self, "sender": sender, **arguments})))
        return answers

    send_robust = send

    def _answer(self, receiver: Receiver, arguments: dict[str, Any]) -> Any:
        try:
            return receiver(**arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # noqa: BLE001 - a receiver's fault is neither the sender's nor the others'
            _log.exception("Signal handler %r of %s raised", receiver, self.name)
            return exc

    def _on_event(self, **facts: Any) -> None:
        said = self._translate(facts)
        if said is not None:
            self.send(said[0], **said[1])

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"


def _identity(receiver: Any) -> Any:
    return (id(getattr(receiver, "__self__", None)), id(getattr(receiver, "__func__", receiver)))


def _reference(receiver: Receiver, weak: bool) -> Callable[[], Receiver | None]:
    if not weak:
        return lambda: receiver
    return weakref.WeakMethod(receiver) if hasattr(receiver, "__self__") else weakref.ref(receiver)


def _task(facts: Facts) -> Any:
    return facts.get("task")


def _publishing(facts: Facts) -> Said:
    message = facts["message"]
    info = message.properties["delivery_info"]
    body = (message.args, message.kwargs, message.embed)
    about = {
        "body": body, "exchange": info["exchange"], "routing_key": info["routing_key"], "headers": message.headers,
        "properties": message.properties, "declare": [], "retry_policy": None,
    }  # fmt: skip
    return message.task, about


def _published(facts: Facts) -> Said:
    sender, about = _publishing(facts)
    return sender, {key: about[key] for key in ("body", "exchange", "routing_key", "headers")}


def _started(facts: Facts) -> Said:
    message = facts["message"]
    return _task(facts), {
        "task_id": message.id, "task": _task(facts), "args": message.args, "kwargs": message.kwargs,
    }  # fmt: skip


def _ended(facts: Facts) -> Said | None:
    outcome = facts["outcome"]
    sender, about = _started(facts)
    state, value = (None, None) if outcome is None else _end(outcome)
    return sender, {**about, "retval": value, "state": state}


def _end(outcome: Outcome) -> tuple[str, Any]:
    match outcome:
        case Success(value):
            return states.SUCCESS, value
        case Failure(exc, _):
            return states.FAILURE, exc
        case Retried(retry, _):
            return states.RETRY, retry
        case Rejected(reason, requeue):
            return states.REJECTED, Reject(reason, requeue)
        case Ignored(exc):
            return states.IGNORED, exc
        case Revoked(reason):
            return states.REVOKED, TaskRevokedError(reason)
    return states.IGNORED, None


def _succeeded(facts: Facts) -> Said | None:
    outcome = facts["outcome"]
    return (
        (_task(facts), {"result": outcome.value, "runtime": facts["runtime"]}) if isinstance(outcome, Success) else None
    )


def _failed(facts: Facts) -> Said | None:
    outcome = facts["outcome"]
    if not isinstance(outcome, Failure):
        return None
    sender, about = _started(facts)
    more = {"exception": outcome.exc, "traceback": outcome.exc.__traceback__, "einfo": outcome.einfo}
    about.pop("task")
    return sender, {**about, **more}


def _retried(facts: Facts) -> Said | None:
    outcome = facts["outcome"]
    if not isinstance(outcome, Retried):
        return None
    return _task(facts), {"request": facts["request"], "reason": outcome.retry, "einfo": outcome.einfo}


def _revoked(facts: Facts) -> Said | None:
    outcome = facts["outcome"]
    if not isinstance(outcome, Revoked):
        return None
    terminated = outcome.reason == "terminated"
    about = {
        "terminated": terminated,
        "signum": int(SIGTERM) if terminated else None,
        "expired": outcome.reason == "expired",
    }
    return _task(facts), {"request": facts["request"], **about}


def _rejected(facts: Facts) -> Said | None:
    outcome = facts["outcome"]
    return (
        (facts["hostname"], {"message": facts["message"], "exc": outcome.reason})
        if isinstance(outcome, Rejected)
        else None
    )


def _unknown(facts: Facts) -> Said:
    message = facts["message"]
    return facts["queue"], {
        "name": message.task,
        "id": message.id,
        "message": message,
        "exc": NotRegistered(message.task),
    }


def _received(facts: Facts) -> Said:
    message, task, hostname = facts["message"], facts["task"], facts["hostname"]
    return hostname, {"request": ReceivedRequest(message, facts["request"], task, hostname)}


class Node(str):
    """A worker, as the sender of its signals: its name, and what receivers ask Celery's worker for."""

    app: Any
    __slots__ = ("app",)

    @classmethod
    def of(cls, facts: Facts) -> "Node":
        node = cls(facts["hostname"])
        node.app = facts["app"]
        return node

    @property
    def hostname(self) -> str:
        return str(self)


def _node(facts: Facts) -> Said:
    return Node.of(facts), {}


def _configuring(facts: Facts) -> Said:
    sender, about = _prepared(facts)
    return sender, {**about, "options": facts["options"]}


def _prepared(facts: Facts) -> Said:
    node = Node.of(facts)
    return node.hostname, {"instance": node, "conf": node.app.conf}


def _stopping(facts: Facts) -> Said:
    how = facts["how"]
    sig = {"warm": "SIGTERM", "cold": "SIGQUIT", "soft": "SIGQUIT"}[how]
    return facts["hostname"], {"sig": sig, "how": how.capitalize(), "exitcode": 0 if how == "warm" else 1}


def _faulty(facts: Facts) -> Said:
    exc = facts["exc"]
    einfo = ExceptionInfo(exc, "".join(format_exception(exc)))
    return None, {
        "task_id": None, "args": None, "kwargs": None, "request": facts["work"], "exception": exc,
        "traceback": exc.__traceback__, "einfo": einfo,
    }  # fmt: skip


def _sender(name: str) -> Callable[[Facts], Said]:
    return lambda facts: (facts[name], {})


def _plain(facts: Facts) -> Said:
    return None, dict(facts)


before_task_publish = Signal("before_task_publish", "message.publishing", _publishing)
after_task_publish = Signal("after_task_publish", "message.published", _published)
task_received = Signal("task_received", "task.received", _received)
task_prerun = Signal("task_prerun", "task.started eager.started", _started)
task_postrun = Signal("task_postrun", "task.over eager.over", _ended)
task_success = Signal("task_success", "task.finished eager.finished", _succeeded)
task_failure = Signal("task_failure", "task.finished eager.finished", _failed)
task_retry = Signal("task_retry", "task.finished eager.finished", _retried)
task_revoked = Signal("task_revoked", "task.finished", _revoked)
task_rejected = Signal("task_rejected", "task.finished", _rejected)
task_unknown = Signal("task_unknown", "task.unregistered", _unknown)
task_internal_error = Signal("task_internal_error", "worker.internal_error", _faulty)
import_modules = Signal("import_modules", "app.importing", _sender("app"))
celeryd_init = Signal("celeryd_init", "worker.configuring", _configuring)
celeryd_after_setup = Signal("celeryd_after_setup", "worker.preparing", _prepared)
worker_init = Signal("worker_init", "worker.init", _node)
worker_ready = Signal("worker_ready", "worker.ready", _node)
worker_before_create_process = Signal("worker_before_create_process", "worker.forking", _plain)
heartbeat_sent = Signal("heartbeat_sent", "heartbeat.sent", _plain)
worker_process_init = Signal("worker_process_init", "worker.process_init", _plain)
worker_process_shutdown = Signal("worker_process_shutdown", "worker.process_shutdown", _plain)
worker_shutting_down = Signal("worker_shutting_down", "worker.stopping", _stopping)
worker_shutdown = Signal("worker_shutdown", "worker.shutdown", _node)
setup_logging = Signal("setup_logging", "logging.setup", _plain)
after_setup_logger = Signal("after_setup_logger", "logging.ready", _plain)
after_setup_task_logger = Signal("after_setup_task_logger", "logging.tasks_ready", _plain)

# Nothing here sends these: code that listens to them can be loaded all the same.
beat_init = Signal("beat_init")
beat_embedded_init = Signal("beat_embedded_init")
eventlet_pool_started = Signal("eventlet_pool_started")
eventlet_pool_preshutdown = Signal("eventlet_pool_preshutdown")
eventlet_pool_postshutdown = Signal("eventlet_pool_postshutdown")
eventlet_pool_apply = Signal("eventlet_pool_apply")
user_preload_options = Signal("user_preload_options")
