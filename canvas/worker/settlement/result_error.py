"""The error of a task whose result, or a message with it, cannot be written."""

from functools import partial

from canvas.errors import EncodeError
from canvas.model.message import Message
from canvas.model.outcome import Outcome, Success
from canvas.model.record import in_tuple_form
from canvas.producer.send_errors import find_unencodable_result
from canvas.wire import codecs


def place_in_result(message: Message, serializer: str, outcome: Outcome, exc: Exception) -> Exception:
    """``exc``, with the place in the task's result that ``serializer`` cannot write, if it is the error of that."""
    if not isinstance(exc, EncodeError) or not isinstance(outcome, Success):
        return exc
    value = in_tuple_form(outcome.value, serializer)
    place = find_unencodable_result(value, partial(codecs.can_write, serializer=serializer))
    if place is None:
        return exc
    cause = exc.__cause__ if isinstance(exc.__cause__, EncodeError) else exc
    return EncodeError(f"{message.task}[{message.id}]: {place}: {cause}").with_traceback(exc.__traceback__)
