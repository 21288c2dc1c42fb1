"""The arguments of a task that ``apply_async`` runs in this process: those that a worker would receive."""

from collections.abc import Mapping
from typing import Any

from canvas.errors import EncodeError
from canvas.producer.send_errors import find_unencodable
from canvas.task.pydantic_models import ModelsOf, plain_arguments
from canvas.wire import codecs


def as_received(
    models_of: ModelsOf, about: tuple[str, str], args: tuple[Any, ...], kwargs: Mapping[str, Any], serializer: str
) -> tuple[Any, dict[str, Any]]:
    """``args`` and ``kwargs``, written with the serializer and read again. ``about``: the task's name, the call's id.

    Raises EncodeError for a value that the serializer cannot write, ConfigurationError for an unknown serializer.
    """
    task, task_id = about
    given = args, kwargs
    try:
        try:
            content_type, _, data = codecs.encode(given, serializer)
        except EncodeError:
            content_type, _, data = codecs.encode(plain_arguments(models_of, task, args, kwargs), serializer)
    except EncodeError as exc:
        place = find_unencodable(task, given, serializer)
        raise EncodeError(f"{task}[{task_id}]: {place or task}: {exc}") from exc
    received = codecs.decode(data, content_type, accept=(content_type,))
    return received[0] or (), received[1] or {}
