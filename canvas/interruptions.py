"""Exceptions that break a call off: of a signal's handler, or of a soft time limit.

A handler may raise an exception of any class: programs that bound a call by ``signal.alarm()`` often raise
``TimeoutError``, which the socket of a silent server raises too. Such an exception has to leave the call as it is. If
it counted as an error of the server, the call would be made again, and a wait without a timeout would not end.
"""

import sys
from types import FrameType

from canvas.errors import SoftTimeLimitExceeded


def raise_interruption(error: BaseException) -> None:
    """Raise the exception that broke a call off, where ``error`` is one or was raised while one was handled. Called
    while ``error`` is handled; an exception that a caller of this call handles has not broken it off."""
    found = interruption(error)
    if found is not None:
        raise found from found.__cause__


def interruption(error: BaseException) -> BaseException | None:
    """The exception that ``raise_interruption`` raises; ``None`` where it raises none."""
    callers, frame = set(), sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        callers.add(frame)
    interrupting: BaseException | None = None
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, SoftTimeLimitExceeded) or _has_passed_a_handler(one):
            interrupting = one  # or an error that was raised in its place, with its traceback
        one = one.__context__
        if one is not None and one.__traceback__ is not None and one.__traceback__.tb_frame in callers:
            break  # a caller has caught it, and handles it by this call
    return interrupting


def _has_passed_a_handler(error: BaseException) -> bool:
    """Whether the traceback leads through a handler: Python calls it with the frame that the signal interrupted, and
    as if from there."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_back is not None and _was_called_with(frame, frame.f_back):
            return True
        trace = trace.tb_next
    return False


def _was_called_with(frame: FrameType, argument: FrameType) -> bool:
    return any(
        value is argument or (isinstance(value, tuple) and any(one is argument for one in value))
        for value in frame.f_locals.values()
    )
