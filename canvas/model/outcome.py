"""The outcome of running a task: a closed union, matched once; and why a task has none."""

import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, NamedTuple, TypeAlias

from canvas.errors import Ignore, Reject, Retry


class _Base:
    """Python changes the bases of a class only where one of them is not ``object``."""


class RemoteTraceback(Exception):
    """The traceback, as text, that an exception had in the process it was pickled in: its cause where it is read."""


def _rebuilt(exc: BaseException, tb: str) -> BaseException:
    exc.__cause__ = RemoteTraceback(tb)
    return exc


def _join(ours: type, kept: tuple[type, ...], name: str) -> None:
    """In a program that has imported billiard, make its class of that name a base of ours."""
    theirs = getattr(sys.modules.get("billiard.einfo"), name, None)
    if theirs is not None and not issubclass(ours, theirs):
        ours.__bases__ = (*kept, theirs)


class _BaseException(Exception):
    """Like ``_Base``, for a class of exceptions."""


class ExceptionWithTraceback(_BaseException):
    """An exception of a task, ``exc``, with the text of its traceback, ``tb``, as Celery's ``ExceptionInfo`` has it.

    In a program that has imported billiard it is an instance of billiard's ``ExceptionWithTraceback``, too. A pickle of
    it is read as the exception itself, with the traceback as its cause.
    """

    def __new__(cls, *args: Any) -> "ExceptionWithTraceback":
        _join(ExceptionWithTraceback, (_BaseException,), "ExceptionWithTraceback")
        return super().__new__(cls)

    def __init__(self, exc: BaseException, tb: str) -> None:
        self.exc = exc
        self.tb = f'\n"""\n{tb}"""'
        Exception.__init__(self)

    def __str__(self) -> str:
        return self.tb

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.exc, self.tb)


class ExceptionInfo(_Base):
    """An exception as hooks and signals get it, as Celery's ``ExceptionInfo``; its text is the traceback.

    In a program that has imported billiard it is an instance of billiard's ``ExceptionInfo``, too: receivers of
    ``task_failure`` that were written for Celery ask for that class.
    """

    internal = False

    def __new__(cls, *args: Any) -> "ExceptionInfo":
        _join(ExceptionInfo, (_Base,), "ExceptionInfo")
        return object.__new__(cls)

    def __init__(self, exc: BaseException, text: str) -> None:
        self.type = type(exc)
        self.exception = ExceptionWithTraceback(exc, text)
        self.tb = exc.__traceback__
        self.traceback = text

    @property
    def exc_info(self) -> tuple[type[BaseException], ExceptionWithTraceback, TracebackType | None]:
        return self.type, self.exception, self.tb

    def __reduce__(self) -> tuple[Any, ...]:
        return ExceptionInfo, (self.exception.exc, self.traceback)

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"


@dataclass(frozen=True, slots=True)
class Success:
    """The function returned ``value``."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """The function raised, or could not be run; ``traceback`` is text, empty when nothing ran."""

    exc: BaseException
    traceback: str = ""
    expected: bool = False
    """The task's ``throws`` names the class: logged quietly."""

    @property
    def einfo(self) -> ExceptionInfo:
        """The exception for hooks and signals; where nothing raised it, its text is the traceback's last line."""
        return ExceptionInfo(self.exc, self.traceback or f"{type(self.exc).__name__}: {self.exc}\n")


@dataclass(frozen=True, slots=True)
class Retried:
    """The task asked to run again; ``retry.sig`` is the call to send."""

    retry: Retry
    traceback: str = ""

    @property
    def einfo(self) -> ExceptionInfo:
        return ExceptionInfo(self.retry, self.traceback)


@dataclass(frozen=True, slots=True)
class Ignored:
    """The task raised Ignore: nothing is recorded."""

    exc: Ignore | None = None


@dataclass(frozen=True, slots=True)
class ReplacedBy:
    """The task gave its place to ``sig``, which is sent at once, or at the end of a run of ``workflow``."""

    sig: Any
    workflow: Any = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The task raised Reject."""

    reason: Any
    requeue: bool
    exc: Reject | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """The task was revoked or expired before it ran, or was ended from outside while it ran; ``reason`` is
    ``"revoked"``, ``"expired"`` or ``"terminated"``."""

    reason: str
    signum: int | None = None
    """The number of the signal that a command named to end the task."""


Outcome: TypeAlias = Success | Failure | Retried | Ignored | ReplacedBy | Rejected | Revoked


class OrphanReason(NamedTuple):
    """Why the worker that had an orphan did not settle it."""

    kind: Literal["worker lost", "terminated", "time limit"]
    seconds: float | None = None
    """The time limit that the task has exceeded."""
    code: int | None = None
    """The exit code of the process, if its parent knows it; for a process that a signal ended, minus its number."""

    @property
    def text(self) -> str:
        """As a driver keeps it."""
        if self.kind == "time limit":
            return f"{self.kind} {self.seconds}"
        if self.code is not None:
            return f"{self.kind} {self.code}"
        return "" if self.kind == "worker lost" else self.kind

    @classmethod
    def from_text(cls, text: str) -> "OrphanReason":
        """The reason that a driver has kept."""
        kind, _, number = text.rpartition(" ")
        if kind == "time limit":
            return cls("time limit", float(number))
        if kind == "worker lost":
            return cls("worker lost", code=int(number))
        return cls("terminated") if text == "terminated" else cls("worker lost")
