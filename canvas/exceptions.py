"""Celery's names for the errors of ``canvas.errors``, for code whose imports read ``celery.exceptions``."""

from canvas.caller_warnings import AlwaysEagerIgnored, DuplicateNodenameWarning, FixupWarning
from canvas.errors import (
    AlreadyRegistered,
    ChordError,
    Ignore,
    IncompleteStream,
    InvalidTaskError,
    MaxRetriesExceededError,
    NotRegistered,
    OperationalError,
    QueueNotFound,
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
from canvas.errors import BrokerError as BackendError
from canvas.errors import BrokerError as BackendGetMetaError
from canvas.errors import BrokerError as BackendStoreError
from canvas.errors import CanvasError as CeleryError
from canvas.errors import ConfigurationError as ImproperlyConfigured
from canvas.errors import SignatureError as SecurityError

__all__ = [
    "AlreadyRegistered",
    "AlwaysEagerIgnored",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "CeleryError",
    "ChordError",
    "DuplicateNodenameWarning",
    "FixupWarning",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotRegistered",
    "OperationalError",
    "QueueNotFound",
    "Reject",
    "Retry",
    "SecurityError",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
]
