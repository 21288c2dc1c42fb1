"""Every exception canvas raises::

    CanvasError
    ├── ConfigurationError          a setting, URL or option is wrong
    │   └── UnknownSetting, InvalidSetting, NoSetting (also AttributeError and KeyError)
    ├── CompositionError            a workflow cannot be compiled; with CycleError, RunKeyMismatch
    ├── RunLost                     a workflow's run that is not, or no longer, kept
    ├── WireError                   bytes that are not a message, a record, a codec's output
    │   └── EncodeError, DecodeError with ContentDisallowed
    ├── BrokerError                 a server cannot be reached or refused
    │   └── OperationalError        (also kombu's, as the errors of wire)
    ├── TaskError                   raised by, for or instead of a task
    │   ├── NotRegistered (also KeyError), AlreadyRegistered, ChordError
    │   ├── UpstreamFailed, WorkflowFailed, NodeTimeout, LoopExhausted: of workflows
    │   ├── MaxRetriesExceededError, TaskRevokedError, WorkerLostError, InvalidTaskError
    │   ├── SoftTimeLimitExceeded, TimeLimitExceeded
    │   └── RemoteError             a remote exception whose class is not known here
    ├── TaskPredicate               control flow a task raises, not an error: Retry, Reject, Ignore, Replaced
    └── TimeoutError                (also builtins.TimeoutError)

Records on the wire carry the names under ``TaskError`` and ``TaskPredicate``, as Celery's.
"""

import builtins
from collections.abc import Callable
from functools import cached_property
from typing import Any

from canvas.error_traits import NamesTask, ShownAsCall, also_kombus, notes_of, unmarked
from canvas.text import not_registered, safe_repr


class CanvasError(Exception):
    """Base of everything canvas raises."""

    @cached_property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        """The notes below its message, of which the first names its page. Raises AttributeError if it has none."""
        return notes_of(type(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return unmarked(super().__reduce__())


class ConfigurationError(CanvasError):
    """A setting, URL or option is wrong; the message names it and the expected value."""


class QueueNotFound(ConfigurationError, KeyError):
    """A queue that is not in ``task_queues``, with ``task_create_missing_queues`` off."""

    __str__ = Exception.__str__


class NoResultBackend(ConfigurationError, NotImplementedError):
    """An operation needs a result backend, and the app has none. Celery raises NotImplementedError."""


class UnknownSetting(ConfigurationError):
    """A setting of that name does not exist; the nearest name is suggested."""


class NoSetting(UnknownSetting, AttributeError, KeyError):
    """An attribute or item of the settings that does not exist was read."""

    def __init__(self, message: str, advice: Callable[[], str] = str) -> None:
        """``advice``: gives the end of the message; called when the message is read."""
        super().__init__(message)
        self._advice = advice

    def __str__(self) -> str:
        return f"{self.args[0]}{self._advice()}"


class InvalidSetting(ConfigurationError):
    """A setting has a value of the wrong type or out of range."""


class CompositionError(CanvasError, ValueError):
    """A workflow that cannot be compiled; the message names the step."""


class CycleError(CompositionError):
    """A signature that contains itself; the message shows the path."""


class RunKeyMismatch(CompositionError):
    """A run that was started with the same ``run_key`` has another graph or other arguments."""


class RunLost(CanvasError, LookupError):
    """A workflow's run that is not in the result backend: it never existed, or it has expired."""


class WireError(CanvasError):
    """Bytes that cannot be read or values that cannot be written."""


@also_kombus
class DecodeError(WireError):
    """Bytes that cannot be read as the content type that they declare."""


@also_kombus
class ContentDisallowed(DecodeError):
    """A content type that ``accept_content`` does not name."""


class SignatureError(DecodeError):
    """Bytes without a valid signature by one of the ``message_signing_keys``."""


@also_kombus
class EncodeError(WireError, TypeError):
    """A value that the serializer cannot write; the message names its type and place."""


class BrokerError(NamesTask, CanvasError):
    """A broker or result store refused a request."""


class RefusedError(BrokerError):
    """A server refused a request that would fail again if it were retried."""


@also_kombus
class OperationalError(BrokerError):
    """A broker or result store could not be reached."""


class TaskError(CanvasError):
    """Raised by, for, or instead of a task."""


class IncompleteStream(TaskError):
    """Some results are not ready, so the results below them are not known yet."""


class NotRegistered(TaskError, KeyError):
    """No task of that name, the first argument, is registered in the process that was to run it."""

    def __str__(self) -> str:
        return not_registered(str(self.args[0]) if self.args else "")


class AlreadyRegistered(TaskError):
    """Two different functions claim one task name."""


class ChordError(TaskError):
    """A chord's header did not succeed, so its body was not sent."""


class UpstreamFailed(TaskError):
    """A workflow's node that never ran: one that it waits for failed."""

    def __init__(self, node: str, cause: str) -> None:
        super().__init__(node, cause)
        self.node, self.cause = node, cause

    def __str__(self) -> str:
        return f"{self.node} did not run: {self.cause}"


class WorkflowFailed(TaskError):
    """A workflow's run has ended, and not every node succeeded."""

    def __init__(self, run: str, cause: str) -> None:
        super().__init__(run, cause)
        self.run, self.cause = run, cause

    def __str__(self) -> str:
        return f"run {self.run} failed: {self.cause}"


class NodeTimeout(TaskError):
    """A node of a workflow had not ended in its time; the second argument is its task id, for ``flow.timeout``."""

    def __str__(self) -> str:
        return str(self.args[0])


class LoopExhausted(TaskError):
    """A loop of a workflow has run all its rounds, and its condition was never met."""


class DuplicateTask(TaskError):
    """A unique task with the same key is running or waiting already; ``task_id`` is its id."""

    def __init__(self, name: str, task_id: str) -> None:
        self.name, self.task_id = name, task_id
        super().__init__(f"{name}: one with the same key is under way: {task_id}")

    def __reduce__(self) -> tuple[Any, ...]:
        return DuplicateTask, (self.name, self.task_id)


class MaxRetriesExceededError(TaskError):
    """The task asked for one retry more than ``max_retries``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.task_args, self.task_kwargs = kwargs.pop("task_args", []), kwargs.pop("task_kwargs", {})
        super().__init__(*args)


class TaskRevokedError(TaskError):
    """The task was revoked, or expired before it ran."""


class WorkerLostError(TaskError):
    """The process that ran the task is gone."""


class SoftTimeLimitExceeded(ShownAsCall, TaskError):
    """The soft time limit passed while the task ran; raised inside it."""


class TimeLimitExceeded(ShownAsCall, TaskError):
    """The hard time limit passed and the task was killed."""


class InvalidTaskError(TaskError):
    """A message names a task but its fields make no sense."""


class RemoteError(TaskError):
    """A remote exception whose class is not importable here, or not safe to rebuild.

    ``exc_type`` and ``exc_module`` name the class, ``exc_args`` are its arguments as they were stored,
    ``remote_traceback`` the text of its traceback.
    """

    def __init__(
        self, exc_type: str, exc_args: tuple[Any, ...] = (), exc_module: str | None = None,
        remote_traceback: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(exc_type, exc_args, exc_module, remote_traceback)
        self.exc_type, self.exc_args = exc_type, exc_args
        self.exc_module = exc_module
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        return f"{self.exc_type}({', '.join(map(repr, self.exc_args))})"


class TaskPredicate(CanvasError):
    """Raised by a task to end in a certain way; not an error."""


class Retry(TaskPredicate):
    """The task is to run again: ``when`` is the delay in seconds or the moment it is due, ``exc`` the reason.
    ``asked``: the arguments of a ``retry`` of the batch that has called the task as a function."""

    asked: dict[str, Any] | None = None

    def __init__(
        self, message: str | None = None, exc: BaseException | str | None = None, when: Any = None,
        is_eager: bool = False, sig: Any = None,
    ) -> None:  # fmt: skip
        self.message, self.when, self.is_eager, self.sig = message, when, is_eager, sig
        self.exc = exc if isinstance(exc, BaseException) else None
        self.excs = exc if isinstance(exc, str) else (safe_repr(exc) if exc is not None else None)
        super().__init__(message, exc, when)

    def humanize(self) -> str:
        """When it runs again, for people."""
        return f"in {self.when}s" if isinstance(self.when, int | float) else f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        return f"Retry {self.humanize()}: {self.excs}" if self.excs else f"Retry {self.humanize()}"


class Ignore(TaskPredicate):
    """The task wants no result recorded."""


class Replaced(Ignore):
    """Raised by ``self.replace``: ``sig`` continues in this task's place, after the run of ``workflow`` if given."""

    def __init__(self, sig: Any, workflow: Any = None) -> None:
        super().__init__(f"replaced by {sig if workflow is None else workflow!r}")
        self.sig, self.workflow = sig, workflow


class Reject(TaskPredicate):
    """The task refuses its message; ``requeue`` sends it back to its queue."""

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason, self.requeue = reason, requeue

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class TimeoutError(CanvasError, builtins.TimeoutError):
    """A wait for a result ran out of time."""
