"""The page of the documentation that explains each error, in a note below its message; the class of kombu that it
has in programs that use kombu; and the forms of Celery's and billiard's errors.
"""

import re
import sys
from typing import Any, TypeVar

from canvas.version import DOCUMENTATION

E = TypeVar("E", bound=BaseException)
K = TypeVar("K", bound=type[Exception])

PAGES = {
    "ChordError": "troubleshooting/#chorderror",
    "CompositionError": "troubleshooting/#compositionerror",
    "ContentDisallowed": "troubleshooting/#contentdisallowed",
    "DuplicateTask": "troubleshooting/#duplicatetask",
    "EncodeError": "troubleshooting/#encodeerror",
    "InvalidSetting": "reference/settings/",
    "LoopExhausted": "troubleshooting/#workflowfailed",
    "NoResultBackend": "troubleshooting/#noresultbackend",
    "NodeTimeout": "troubleshooting/#workflowfailed",
    "NotRegistered": "troubleshooting/#notregistered",
    "OperationalError": "troubleshooting/#operationalerror",
    "QueueNotFound": "how-to/route/",
    "RefusedError": "troubleshooting/#refusederror",
    "RemoteError": "troubleshooting/#remoteerror",
    "RunLost": "troubleshooting/#runlost",
    "SignatureError": "explanation/security/",
    "SoftTimeLimitExceeded": "troubleshooting/#timelimitexceeded",
    "TimeLimitExceeded": "troubleshooting/#timelimitexceeded",
    "TimeoutError": "troubleshooting/#a-task-stays-pending",
    "UnknownSetting": "reference/settings/",
    "UpstreamFailed": "troubleshooting/#workflowfailed",
    "WorkerLostError": "troubleshooting/#workerlosterror",
    "WorkflowFailed": "troubleshooting/#workflowfailed",
}
"""By the error's name, the page and its heading. A subclass has the page of its nearest base."""
_NOTE = re.compile(rf"^[ |]*See {re.escape(DOCUMENTATION)}\S*\n", re.MULTILINE)
BLOCKING_WAIT = "troubleshooting/#runtimeerror-never-call-resultget-within-a-task"


class ShownAsCall(Exception):
    """Has the text of billiard's errors: the name with the arguments."""

    def __str__(self) -> str:
        return f"{type(self).__name__}{self.args!r}"


class NamesTask(Exception):
    """Takes what Celery's errors of result backends take: ``task_id``, the ``state`` that was to be stored, and other
    keywords, which are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args)
        self.state, self.task_id = kwargs.get("state", ""), kwargs.get("task_id", "")


def notes_of(kind: type[BaseException]) -> list[str]:
    """The note that names the page of an error. Raises AttributeError where it has none."""
    page = next((PAGES[base.__name__] for base in kind.__mro__ if base.__name__ in PAGES), None)
    if page is None:
        raise AttributeError("__notes__")
    return [_note(page)]


def with_note(exc: E, page: str) -> E:
    """The error, with a note that names ``page``."""
    exc.add_note(_note(page))
    return exc


def _note(page: str) -> str:
    return f"See {DOCUMENTATION}{page}"


def without_pages(text: str) -> str:
    """A traceback without these notes. Results and logs have tracebacks as Celery's, which end with the message."""
    return _NOTE.sub("", text) if DOCUMENTATION in text else text


def unmarked(parts: Any) -> tuple[Any, ...]:
    """The parts of a pickled error without the note, which the class of the error gives."""
    kind, args, *state = parts
    notes = [note for note in (state[0] or {}).get("__notes__", ()) if not _NOTE.match(f"{note}\n")] if state else []
    kept = {key: value for key, value in (state[0] or {}).items() if key != "__notes__"} if state else {}
    if notes:
        kept["__notes__"] = notes
    return (kind, args, kept) if kept else (kind, args)


def message_and_page(exc: BaseException) -> str:
    """The message of an error and its notes, each on a line of its own."""
    return "\n".join([str(exc), *getattr(exc, "__notes__", ())])


def also_kombus(cls: K) -> K:
    """Class decorator: ``except kombu.exceptions.…`` catches the error, too, once the program has imported kombu.

    The bases are changed when an instance is made, before it is raised: code that names kombu's error has imported it
    by then.
    """
    make = cls.__new__

    def new(kind: Any, *args: Any, **kwargs: Any) -> Any:
        theirs = getattr(sys.modules.get("kombu.exceptions"), cls.__name__, None)
        if theirs is not None and not issubclass(cls, theirs):
            cls.__bases__ = (*cls.__bases__, theirs)
        return make(kind, *args, **kwargs)

    cls.__new__ = new  # type: ignore[method-assign]
    return cls
