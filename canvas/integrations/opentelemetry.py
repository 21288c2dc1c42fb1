"""OpenTelemetry spans for sent messages and for running tasks; their context travels in message headers.

Needs opentelemetry-api (``canvas-workflows[otel]``). Names and attributes as opentelemetry-instrumentation-celery's, so
that traces of a mixed fleet read alike.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider

from canvas.model.message import Message
from canvas.model.outcome import Failure, Outcome, Retried, Revoked, Success
from canvas.telemetry import attach
from canvas.version import __version__

_running: ContextVar[tuple[str, Span, Any] | None] = ContextVar("canvas_span", default=None)


def instrument(tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Make spans from now on, of ``tracer_provider`` or the global one; the returned function ends that."""
    tracer = trace.get_tracer("canvas", __version__, tracer_provider)

    def publishing(message: Message, **_: Any) -> None:
        with tracer.start_as_current_span(f"apply_async/{message.task}", kind=SpanKind.PRODUCER) as span:
            span.set_attributes(_attributes("apply_async", message))
            propagate.inject(message.headers)

    def started(message: Message, **_: Any) -> None:
        carried = {key: value for key, value in message.headers.items() if isinstance(value, str)}
        span = tracer.start_span(f"run/{message.task}", propagate.extract(carried), SpanKind.CONSUMER)
        span.set_attributes(_attributes("run", message))
        _running.set((message.id, span, context.attach(trace.set_span_in_context(span))))

    def finished(message: Message, outcome: Outcome, **_: Any) -> None:
        running = _running.get()
        if running is None or running[0] != message.id:
            return
        span, token = running[1:]
        _running.set(None)
        span.set_attribute("celery.state", _state(outcome))
        if isinstance(outcome, Failure):
            span.record_exception(outcome.exc)
            span.set_status(StatusCode.ERROR, str(outcome.exc))
        context.detach(token)
        span.end()

    detached = [
        attach(publishing, "message.publishing"),
        attach(started, "task.started"),
        attach(finished, "task.finished"),
    ]

    def end() -> None:
        for detach in detached:
            detach()

    return end


def _attributes(action: str, message: Message) -> dict[str, Any]:
    info = message.properties.get("delivery_info") or {}
    return {
        "celery.action": action,
        "celery.task_name": message.task,
        "messaging.message.id": message.id,
        "messaging.destination": str(info.get("routing_key") or ""),
    }


def _state(outcome: Outcome) -> str:
    match outcome:
        case Success():
            return "SUCCESS"
        case Failure():
            return "FAILURE"
        case Retried():
            return "RETRY"
        case Revoked():
            return "REVOKED"
    return "IGNORED"
