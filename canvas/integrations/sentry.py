"""Sentry: a transaction for each task, an event for each failure, traces through messages. For sentry-sdk 1 and 2.

``sentry_sdk.init(integrations=[CeleryIntegration()])`` with this module's ``CeleryIntegration`` enables it. Where
canvas serves the name ``celery``, ``sentry_sdk.integrations.celery`` is this module, and sentry-sdk enables it
automatically. Names, operations, tags and headers are those of sentry-sdk's integration of Celery, so that traces cross
both.
"""

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import sentry_sdk
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.utils import event_from_exception

from canvas.context import current_app, has_current_app
from canvas.errors import ConfigurationError, SoftTimeLimitExceeded
from canvas.integrations.sentry_sdks import HAS_SCOPES, SDK
from canvas.model.message import Message
from canvas.model.outcome import Failure, Outcome, Success
from canvas.telemetry import attach

_ORIGIN = "auto.queue.celery"
_HIDDEN = "[Filtered]"
_QUIET = ("celery.worker.job", "celery.app.trace", "celery.redirected")
"""Loggers whose lines repeat what the events say."""
_FLUSHES_WITHIN = 2.0
"""Seconds that a process waits at its end for events to leave."""
_ENQUEUED = "sentry-task-enqueued-time"
"""The header with the unix time at which a message was made, as text."""


@dataclass(slots=True)
class _Running:
    """A task that runs in this context."""

    task_id: str
    ends: ExitStack
    """Ends its transaction and its scope."""
    transaction: Any
    span: Any
    """The span of the task's own work."""
    around: "_Running | None"
    """The task that called it by ``apply()``."""


_running: ContextVar[_Running | None] = ContextVar("canvas_sentry", default=None)


class CeleryIntegration(Integration):  # type: ignore[misc, unused-ignore]
    """Reports tasks of canvas to Sentry."""

    identifier = "celery"
    origin = _ORIGIN

    def __init__(
        self, propagate_traces: bool = True, monitor_beat_tasks: bool = False,
        exclude_beat_tasks: list[str] | None = None,
    ) -> None:  # fmt: skip
        """``propagate_traces``: messages carry the trace. ``monitor_beat_tasks``: each entry of beat has a cron
        monitor, except those whose names match one of the regular expressions ``exclude_beat_tasks``; this raises
        ConfigurationError with sentry-sdk 1."""
        self.propagate_traces = propagate_traces
        self.monitors = _monitors(exclude_beat_tasks) if monitor_beat_tasks else None

    @staticmethod
    def setup_once() -> None:
        """Listen to tasks from now on. sentry-sdk calls it, once for a process."""
        attach(_publishing, "message.publishing")
        attach(_published, "message.published")
        attach(_started, "task.started", "eager.started")
        attach(_finished, "task.finished", "eager.over")
        attach(_flush, "worker.process_shutdown", "worker.shutdown")
        attach(partial(_monitor, "composing"), "beat.composing")
        attach(partial(_monitor, "sent"), "beat.sent")
        attach(partial(_monitor, "finished"), "task.finished")
        for logger in _QUIET:
            ignore_logger(logger)


def _integration() -> Any:
    """The integration of the current client; None for one that does not have it."""
    return SDK.integration(CeleryIntegration)


def _monitors(excluded: list[str] | None) -> Any:
    if not HAS_SCOPES:
        raise ConfigurationError("CeleryIntegration(monitor_beat_tasks=True) needs sentry-sdk 2; install sentry-sdk>=2")
    # Imported late: sentry-sdk 1 does not have what it needs.
    from canvas.integrations.sentry_crons import Monitors

    return Monitors(excluded)


def _monitor(report: str, **facts: Any) -> None:
    """Report what concerns cron monitors, where the program has them."""
    integration = _integration()
    if integration is not None and integration.monitors is not None:
        getattr(integration.monitors, report)(**facts)


def _publishing(message: Message, **_: Any) -> None:
    integration = _integration()
    if integration is None or not message.headers.get("sentry-propagate-traces", integration.propagate_traces):
        return
    with SDK.span("queue.submit.celery", message.task, _ORIGIN) as span:
        carried = dict(SDK.trace_headers(span))
    carried[_ENQUEUED] = f"{time.time():.9f}"
    message.headers.update(carried)
    inner = message.headers.get("headers")
    known: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    message.headers["headers"] = {**known, **carried}  # type: ignore[assignment, unused-ignore]


def _published(message: Message, **_: Any) -> None:
    """The span of a message that has left, from the time at which it was made."""
    if _integration() is None:
        return
    span = SDK.started_span("queue.publish", message.task, _ORIGIN, _enqueued(message))
    _describe(span, message)
    if has_current_app():
        span.set_data("messaging.system", _system(current_app().conf.broker_url))
    span.finish()


def _started(message: Message, task: Any, **_: Any) -> None:
    if _integration() is None:
        return
    carried = {key: value for key, value in message.headers.items() if isinstance(value, str)}
    job = {"task": message.task, "args": list(message.args), "kwargs": message.kwargs}
    with ExitStack() as stack:
        scope = SDK.own_scope(stack)
        scope.clear_breadcrumbs()
        scope.add_event_processor(_describing(message, task))
        transaction = SDK.transaction(stack, carried, "queue.task.celery", message.task, _ORIGIN, {"celery_job": job})
        span = SDK.span("queue.process", message.task, _ORIGIN)
        span.__enter__()
        _describe(span, message)
        span.set_data("messaging.system", _system(task.app.conf.broker_url))
        if (enqueued := _enqueued(message)) is not None:
            span.set_data("messaging.message.receive.latency", (time.time() - enqueued) * 1000)
        _running.set(_Running(message.id, stack.pop_all(), transaction, span, _running.get()))


def _enqueued(message: Message) -> float | None:
    try:
        return float(message.headers.get(_ENQUEUED) or "")
    except ValueError:
        return None


def _describe(span: Any, message: Message) -> None:
    info = message.properties.get("delivery_info") or {}
    if not info.get("exchange") and info.get("routing_key"):
        span.set_data("messaging.destination.name", str(info["routing_key"]))
    span.set_data("messaging.message.id", message.id)
    span.set_data("messaging.message.retry.count", message.headers.get("retries") or 0)


def _system(urls: Any) -> str:
    """kombu's name of the broker: that of the protocol."""
    scheme = str(urls if isinstance(urls, str) else next(iter(urls), "")).partition("://")[0].partition("+")[0]
    return {"rediss": "redis", "sentinel": "redis", "amqps": "amqp", "pyamqp": "amqp"}.get(scheme, scheme)


def _describing(message: Message, task: Any) -> Any:
    """Adds the task to the events that are made while it runs."""

    def process(event: Any, hint: Any) -> Any:
        event.setdefault("tags", {})["celery_task_id"] = message.id
        shown = SDK.shows_data()
        arguments: Any = (list(message.args), message.kwargs) if shown else (_HIDDEN, _HIDDEN)
        job = {"task_name": message.task, "args": arguments[0], "kwargs": arguments[1]}
        event.setdefault("extra", {})["celery-job"] = job
        kind = (hint.get("exc_info") or (None,))[0]
        if kind is not None and issubclass(kind, SoftTimeLimitExceeded):
            event["fingerprint"] = ["celery", "SoftTimeLimitExceeded", message.task]
        return event

    return process


def _finished(message: Message, outcome: Outcome | None, **_: Any) -> None:
    """``outcome`` is ``None`` of a call by ``apply()`` that raises; its exception passes just now."""
    running = _running.get()
    if running is None or running.task_id != message.id:
        return
    _running.set(running.around)
    exc = sys.exception()
    if outcome is None and exc is not None:
        outcome = Failure(exc, "", False)
    with running.ends:
        if not isinstance(outcome, Success):
            running.span.set_status("internal_error")
        running.span.__exit__(None, None, None)
        match outcome:
            case Success():
                running.transaction.set_status("ok")
            case Failure(exc, _, expected):
                running.transaction.set_status("internal_error")
                if not expected:
                    _capture(exc)
            case _:
                running.transaction.set_status("aborted")


def _capture(exc: BaseException) -> None:
    event, hint = event_from_exception(
        (type(exc), exc, exc.__traceback__), client_options=SDK.options(),
        mechanism={"type": "celery", "handled": False},
    )  # fmt: skip
    SDK.capture(event, hint)


def _flush(**_: Any) -> None:
    sentry_sdk.flush(_FLUSHES_WITHIN)
