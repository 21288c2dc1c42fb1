"""The senders and arguments of Celery's signals, made from the facts of telemetry's events."""

from collections.abc import Callable, Mapping
from signal import SIGTERM, Signals
from traceback import format_exception
from typing import Any, NamedTuple, Protocol

from canvas.config.config import Config
from canvas.errors import Ignore, NotRegistered, Reject, TaskRevokedError
from canvas.execution.signal_arguments import ReceivedRequest
from canvas.model import states
from canvas.model.outcome import ExceptionInfo, Failure, Ignored, Outcome, Rejected, Retried, Revoked, Success
from canvas.model.queue import Queue
from canvas.signals.signal import Facts, Sending


def _task(facts: Facts) -> Any:
    return facts.get("task")


class DeclaredExchange(NamedTuple):
    """The exchange of a queue, with the names that kombu's has."""

    name: str
    type: str


class DeclaredQueue(NamedTuple):
    """The queue of a message that is about to be sent, with the names that kombu's has."""

    name: str
    exchange: DeclaredExchange
    routing_key: str
    queue_arguments: dict[str, Any] | None


def _declared(queue: Queue | None) -> list[DeclaredQueue]:
    if queue is None:
        return []
    filled = queue.filled()
    exchange = DeclaredExchange(filled.exchange, filled.exchange_type)
    return [DeclaredQueue(filled.name, exchange, filled.routing_key, filled.arguments)]


def publishing(facts: Facts) -> Sending:
    properties = facts["message"].properties
    if not properties.get("priority"):
        # As in Celery, receivers see a priority that was given, and may give one.
        properties.pop("priority", None)
    return _publishing(facts)


def _publishing(facts: Facts) -> Sending:
    message = facts["message"]
    info = message.properties["delivery_info"]
    body = (message.args, message.kwargs, message.embed)
    about = {
        "body": body, "exchange": info["exchange"], "routing_key": info["routing_key"], "headers": message.headers,
        "properties": message.properties, "declare": _declared(facts.get("queue")),
        "retry_policy": facts.get("retry_policy"),
    }  # fmt: skip
    return message.task, about


def published(facts: Facts) -> Sending:
    sender, about = _publishing(facts)
    return sender, {key: about[key] for key in ("body", "exchange", "routing_key", "headers")}


def started(facts: Facts) -> Sending:
    message = facts["message"]
    return _task(facts), {
        "task_id": message.id, "task": _task(facts), "args": message.args, "kwargs": message.kwargs,
    }  # fmt: skip


def ended(facts: Facts) -> Sending | None:
    outcome = facts["outcome"]
    sender, about = started(facts)
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
    return states.IGNORED, Ignore("Replaced by new task")


def succeeded(facts: Facts) -> Sending | None:
    outcome = facts["outcome"]
    return (
        (_task(facts), {"result": outcome.value, "runtime": facts["runtime"]}) if isinstance(outcome, Success) else None
    )


def failed(facts: Facts) -> Sending | None:
    outcome = facts["outcome"]
    if not isinstance(outcome, Failure):
        return None
    sender, about = started(facts)
    more = {"exception": outcome.exc, "traceback": outcome.exc.__traceback__, "einfo": outcome.einfo}
    about.pop("task")
    return sender, {**about, **more}


def retried(facts: Facts) -> Sending | None:
    outcome = facts["outcome"]
    if not isinstance(outcome, Retried):
        return None
    return _task(facts), {"request": facts["request"], "reason": outcome.retry, "einfo": outcome.einfo}


def revoked(facts: Facts) -> Sending | None:
    outcome = facts["outcome"]
    if not isinstance(outcome, Revoked):
        return None
    terminated = outcome.reason == "terminated"
    about = {
        "terminated": terminated,
        "signum": Signals(outcome.signum or SIGTERM) if terminated else None,
        "expired": outcome.reason == "expired",
    }
    return _task(facts), {"request": facts["request"], **about}


def rejected(facts: Facts) -> Sending:
    return facts["hostname"], {"message": facts["message"], "exc": facts["exc"]}


def unknown(facts: Facts) -> Sending:
    message = facts["message"]
    return facts["queue"], {
        "name": message.task,
        "id": message.id,
        "message": message,
        "exc": NotRegistered(message.task),
    }


def received(facts: Facts) -> Sending:
    message, task = facts["message"], facts["task"]
    sender = Node.of({"hostname": facts["hostname"], "app": getattr(task, "app", None)})
    return sender, {"request": ReceivedRequest(message, facts["request"], task, sender.hostname)}


class WorkerApp(Protocol):
    """The app of a worker, as its signals show it."""

    @property
    def conf(self) -> Config: ...


class Node(str):
    """A worker as the sender of its signals: its name, with the attributes of Celery's worker that receivers read."""

    app: WorkerApp
    behind: Any
    """The consumer, with Celery's attributes such as ``timer`` and ``controller``, once the worker is ready."""
    known: Mapping[str, Any]
    """Celery's attributes of a worker, such as ``concurrency`` and ``loglevel``, where it is the sender."""
    __slots__ = ("app", "behind", "known")

    @classmethod
    def of(cls, facts: Facts) -> "Node":
        node = cls(facts["hostname"])
        node.app = facts["app"]
        node.behind = facts.get("consumer")
        node.known = facts.get("known") or {}
        return node

    def __getattr__(self, name: str) -> Any:
        if name in self.known:
            return self.known[name]
        if self.behind is None:
            raise AttributeError(f"worker {str(self)!r} has no attribute {name!r} at this time")
        return getattr(self.behind, name)

    @property
    def hostname(self) -> str:
        return str(self)


def of_worker(facts: Facts) -> Sending:
    return Node.of(facts), {}


def configuring(facts: Facts) -> Sending:
    sender, about = preparing(facts)
    return sender, {**about, "options": facts["options"]}


def preparing(facts: Facts) -> Sending:
    node = Node.of(facts)
    return node.hostname, {"instance": node, "conf": node.app.conf}


def stopping(facts: Facts) -> Sending:
    how = facts["how"]
    sig = {"warm": "SIGTERM", "cold": "SIGQUIT", "soft": "SIGQUIT"}[how]
    return facts["hostname"], {"sig": sig, "how": how.capitalize(), "exitcode": 0 if how == "warm" else 1}


def process_ending(facts: Facts) -> Sending:
    return facts["hostname"], {name: facts[name] for name in ("pid", "exitcode")}


def internal_error(facts: Facts) -> Sending:
    exc = facts["exc"]
    einfo = ExceptionInfo(exc, "".join(format_exception(exc)))
    return None, {
        "task_id": None, "args": None, "kwargs": None, "request": facts["work"], "exception": exc,
        "traceback": exc.__traceback__, "einfo": einfo,
    }  # fmt: skip


def preloading(facts: Facts) -> Sending:
    return facts["command"], {"app": facts["app"], "options": facts["options"]}


def sender_of(name: str) -> Callable[[Facts], Sending]:
    return lambda facts: (facts[name], {})


def plain(facts: Facts) -> Sending:
    return None, dict(facts)
