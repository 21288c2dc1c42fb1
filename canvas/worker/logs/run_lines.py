"""The lines of workflows' runs in the log of a worker that has ended one."""

import logging
from datetime import datetime
from typing import Any

from canvas.context import command
from canvas.errors import WorkflowFailed
from canvas.model import states
from canvas.model.run_index import CANCELLED

_log = logging.getLogger("celery.worker")


def run_ended(run: str, name: str, state: str, created: str, ended: str | None, cause: Any, **_: Any) -> None:
    """One line, with the run's id, name and state as facts: an error if the run has failed."""
    facts = {"run_id": run, "workflow": name, "state": state}
    lasted = _seconds(created, ended)
    if state == states.SUCCESS:
        _log.info("Workflow run %s[%s] succeeded%s", name, run, lasted, extra=facts)
    elif state == CANCELLED:
        _log.info("Workflow run %s[%s] was cancelled%s", name, run, lasted, extra=facts)
    else:
        # The text of WorkflowFailed begins with the run's id, which the line has already.
        reason = cause.cause if isinstance(cause, WorkflowFailed) else cause
        _log.error(
            "Workflow run %s[%s] failed%s: %.500s; to run its failed nodes again: %s",
            name, run, lasted, reason, command(f"workflow resume {run}"), extra=facts,
        )  # fmt: skip


def _seconds(created: str, ended: str | None) -> str:
    if ended is None:
        return ""
    seconds = datetime.fromisoformat(ended).timestamp() - datetime.fromisoformat(created).timestamp()
    return f" after {max(0.0, seconds):.1f} s"
