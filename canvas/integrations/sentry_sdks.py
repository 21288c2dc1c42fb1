"""The calls that sentry-sdk 1 and 2 name differently: scopes, spans and traces."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import sentry_sdk
from sentry_sdk.integrations import Integration
from sentry_sdk.tracing import Transaction


def _datetime(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


class WithScopes:
    """sentry-sdk 2: a task has an isolation scope."""

    def integration(self, kind: type[Integration]) -> Any:
        """The integration of this kind that the current client has; None if it has none."""
        return sentry_sdk.get_client().get_integration(kind)

    def options(self) -> Any:
        """The options of the current client."""
        return sentry_sdk.get_client().options

    def shows_data(self) -> bool:
        """Whether events may have arguments of tasks."""
        from sentry_sdk.scope import should_send_default_pii

        collected = self.options().get("data_collection") or {}
        return bool(collected["queues"]) if collected.get("provided_by_user") else should_send_default_pii()

    def span(self, op: str, name: str, origin: str) -> Any:
        """A span of the current transaction, for ``with``."""
        return sentry_sdk.start_span(op=op, name=name, origin=origin)

    def started_span(self, op: str, name: str, origin: str, since: float | None) -> Any:
        """A span that began at unix time ``since``, now without it, for ``finish()``."""
        return sentry_sdk.start_span(op=op, name=name, origin=origin, start_timestamp=_datetime(since))

    def trace_headers(self, span: Any) -> Iterable[tuple[str, str]]:
        return sentry_sdk.get_isolation_scope().iter_trace_propagation_headers(span=span)

    def own_scope(self, stack: ExitStack) -> Any:
        """A scope that ends with ``stack``."""
        return stack.enter_context(sentry_sdk.isolation_scope())

    def transaction(
        self, stack: ExitStack, headers: Mapping[str, str], op: str, name: str, origin: str, sampling: dict[str, Any]
    ) -> Any:  # fmt: skip
        """A transaction that continues the trace of ``headers``, and ends with ``stack``; ``traces_sampler`` gets
        ``sampling``."""
        found = sentry_sdk.continue_trace(dict(headers), op=op, name=name, source="task", origin=origin)
        found.set_status("ok")
        stack.enter_context(sentry_sdk.start_transaction(found, custom_sampling_context=sampling))
        return found

    def capture(self, event: Any, hint: Any) -> None:
        sentry_sdk.capture_event(event, hint=hint)


class WithHubs:
    """sentry-sdk 1: a task has a hub."""

    def integration(self, kind: type[Integration]) -> Any:
        return sentry_sdk.Hub.current.get_integration(kind)

    def options(self) -> Any:
        client = sentry_sdk.Hub.current.client
        return None if client is None else client.options

    def shows_data(self) -> bool:
        return bool((self.options() or {}).get("send_default_pii"))

    def span(self, op: str, name: str, origin: str) -> Any:
        return sentry_sdk.Hub.current.start_span(op=op, description=name)

    def started_span(self, op: str, name: str, origin: str, since: float | None) -> Any:
        return sentry_sdk.Hub.current.start_span(op=op, description=name, start_timestamp=_datetime(since))

    def trace_headers(self, span: Any) -> Iterable[tuple[str, str]]:
        return sentry_sdk.Hub.current.iter_trace_propagation_headers(span)

    def own_scope(self, stack: ExitStack) -> Any:
        return stack.enter_context(sentry_sdk.Hub(sentry_sdk.Hub.current)).scope

    def transaction(
        self, stack: ExitStack, headers: Mapping[str, str], op: str, name: str, origin: str, sampling: dict[str, Any]
    ) -> Any:  # fmt: skip
        found = Transaction.continue_from_headers(dict(headers), op=op, name=name, source="task")
        found.set_status("ok")
        stack.enter_context(sentry_sdk.Hub.current.start_transaction(found, custom_sampling_context=sampling))
        return found

    def capture(self, event: Any, hint: Any) -> None:
        sentry_sdk.Hub.current.capture_event(event, hint=hint)


HAS_SCOPES = hasattr(sentry_sdk, "isolation_scope")
"""Whether this is sentry-sdk 2 or later."""
SDK: WithScopes | WithHubs = WithScopes() if HAS_SCOPES else WithHubs()
