"""Celery's names for the errors of ``canvas.errors``, for code whose imports read ``celery.exceptions``."""

from types import TracebackType
from typing import NoReturn

from canvas.caller_warnings import (
    AlwaysEagerIgnored,
    CeleryWarning,
    DuplicateNodenameWarning,
    DuplicateTaskNameWarning,
    FixupWarning,
)
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


class NotConfigured(CeleryWarning):
    """An app has no configuration."""


class SecurityWarning(CeleryWarning):
    """A configuration has a risk."""


class CDeprecationWarning(DeprecationWarning):
    """A name of Celery will be removed."""


class CPendingDeprecationWarning(PendingDeprecationWarning):
    """A name of Celery is going to be deprecated."""


class Terminated(Exception):
    """A signal ended the process of a running task."""


class WorkerShutdown(SystemExit):
    """Ends a worker after its running tasks."""


class WorkerTerminate(SystemExit):
    """Ends a worker at once."""


def reraise(tp: type[BaseException], value: BaseException, tb: TracebackType | None = None) -> NoReturn:
    """Raise ``value`` with the traceback ``tb``."""
    raise value if value.__traceback__ is tb else value.with_traceback(tb)


__all__ = [
    "AlreadyRegistered",
    "AlwaysEagerIgnored",
    "BackendError",
    "BackendGetMetaError",
    "BackendStoreError",
    "CDeprecationWarning",
    "CPendingDeprecationWarning",
    "CeleryError",
    "CeleryWarning",
    "ChordError",
    "DuplicateNodenameWarning",
    "DuplicateTaskNameWarning",
    "FixupWarning",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "NotConfigured",
    "NotRegistered",
    "OperationalError",
    "QueueNotFound",
    "Reject",
    "Retry",
    "SecurityError",
    "SecurityWarning",
    "SoftTimeLimitExceeded",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "Terminated",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
    "WorkerShutdown",
    "WorkerTerminate",
    "reraise",
]
