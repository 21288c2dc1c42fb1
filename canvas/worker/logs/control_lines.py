"""Log lines about what remote control changes, worded as Celery's."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

_control = logging.getLogger("celery.worker.control")


def _revoked(ids: Sequence[str], **_: Any) -> None:
    _control.info("Tasks flagged as revoked: %s", ", ".join(ids))


def _rate_limit(task: str, limit: Any, **_: Any) -> None:
    if limit:
        _control.info("New rate limit for tasks of type %s: %s.", task, limit)
    else:
        _control.info("Rate limits disabled for tasks of type %s", task)


def _time_limits(task: str, soft: float | None, hard: float | None, **_: Any) -> None:
    _control.info("New time limits for tasks of type %s: soft=%s hard=%s", task, soft, hard)


CONTROL_LINES: list[tuple[str, Callable[..., None], logging.Logger, int]] = [
    ("control.revoked", _revoked, _control, logging.INFO),
    ("control.rate_limit", _rate_limit, _control, logging.INFO),
    ("control.time_limits", _time_limits, _control, logging.INFO),
]
