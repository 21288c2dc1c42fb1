"""Celery's names for the errors of ``canvas.errors``, for code whose imports read ``celery.exceptions``."""

from canvas.errors import (
    AlreadyRegistered,
    ChordError,
    Ignore,
    MaxRetriesExceededError,
    NotRegistered,
    OperationalError,
    Reject,
    Retry,
    SoftTimeLimitExceeded,
    TaskError,
    TaskPredicate,
    TaskRevokedError,
    TimeLimitExceeded,
    TimeoutError,
    WorkerLostError,
)
from canvas.errors import ConfigurationError as ImproperlyConfigured

__all__ = [
    "AlreadyRegistered",
    "ChordError",
    "Ignore",
    "ImproperlyConfigured",
    "MaxRetriesExceededError",
    "NotRegistered",
    "OperationalError",
    "Reject",
    "Retry",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
]
