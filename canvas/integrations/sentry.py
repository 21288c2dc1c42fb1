"""Sentry: a transaction for each task, an event for each failure, traces through messages. For sentry-sdk 1 and 2.

``sentry_sdk.init(integrations=[CeleryIntegration()])`` with this module's ``CeleryIntegration`` enables it. Where
canvas serves the name ``celery``, ``sentry_sdk.integrations.celery`` is this module, and sentry-sdk enables it
automatically. Names, operations, tags and headers are those of sentry-sdk's integration of Celery, so that traces cross
both.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from functools import partial
from typing import Any

import sentry_sdk
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.utils import event_from_exception

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
_running: ContextVar[tuple[str, ExitStack, Any] | None] = ContextVar("canvas_sentry", default=None)


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
        attach(_started, "task.started")
        attach(_finished, "task.finished")
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
    # Most programs have no cron monitors.
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
    carried["sentry-task-enqueued-time"] = f"{time.time():.9f}"
    message.headers.update(carried)
    inner = message.headers.get("headers")
    known: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    message.headers["headers"] = {**known, **carried}  # type: ignore[assignment, unused-ignore]


def _started(message: Message, task: Any, **_: Any) -> None:
    if _integration() is None:
        return
    carried = {key: value for key, value in message.headers.items() if isinstance(value, str)}
    with ExitStack() as stack:
        scope = SDK.own_scope(stack)
        scope.clear_breadcrumbs()
        scope.add_event_processor(_describing(message, task))
        name = message.headers.get("shadow") or message.task
        transaction = SDK.transaction(stack, carried, "queue.task.celery", name, _ORIGIN)
        span = stack.enter_context(SDK.span("queue.process", name, _ORIGIN))
        _describe(span, message)
        _running.set((message.id, stack.pop_all(), transaction))


def _describe(span: Any, message: Message) -> None:
    info = message.properties.get("delivery_info") or {}
    span.set_data("messaging.destination.name", str(info.get("exchange") or info.get("routing_key") or ""))
    span.set_data("messaging.message.id", message.id)
    span.set_data("messaging.message.retry.count", message.headers.get("retries") or 0)
    try:
        waited = time.time() - float(message.headers.get("sentry-task-enqueued-time") or "")
    except ValueError:
        return
    span.set_data("messaging.message.receive.latency", waited * 1000)


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


def _finished(message: Message, outcome: Outcome, **_: Any) -> None:
    running = _running.get()
    if running is None or running[0] != message.id:
        return
    _running.set(None)
    stack, transaction = running[1:]
    with stack:
        match outcome:
            case Success():
                transaction.set_status("ok")
            case Failure(exc, _, expected):
                transaction.set_status("internal_error")
                if not expected:
                    _capture(exc)
            case _:
                transaction.set_status("aborted")


def _capture(exc: BaseException) -> None:
    event, hint = event_from_exception(
        (type(exc), exc, exc.__traceback__), client_options=SDK.options(),
        mechanism={"type": "celery", "handled": False},
    )  # fmt: skip
    SDK.capture(event, hint)


def _flush(**_: Any) -> None:
    sentry_sdk.flush(_FLUSHES_WITHIN)
