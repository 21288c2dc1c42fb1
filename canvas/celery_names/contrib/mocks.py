"""``celery.contrib.testing.mocks``: messages of tasks as mocks, for tests of code that reads them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import canvas
from canvas.app.application import Canvas
from canvas.celery_names.kombu.serializers import dumps


def TaskMessage(
    name: str, id: str | None = None, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None,
    callbacks: Sequence[Any] | None = None, errbacks: Sequence[Any] | None = None, chain: Sequence[Any] | None = None,
    shadow: str | None = None, utc: bool | None = None, **options: Any,
) -> Mock:  # fmt: skip
    """The message of a call in protocol 2; ``options`` are headers."""
    task_id = id or canvas.uuid()
    payload = (args, dict(kwargs or {}), {"callbacks": callbacks, "errbacks": errbacks, "chain": chain})
    return _message(task_id, {"id": task_id, "task": name, "shadow": shadow, **options}, payload)


def TaskMessage1(
    name: str, id: str | None = None, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None,
    callbacks: Sequence[Any] | None = None, errbacks: Sequence[Any] | None = None, chain: Sequence[Any] | None = None,
    **options: Any,
) -> Mock:  # fmt: skip
    """The message of a call in protocol 1; ``options`` are fields of its body."""
    task_id = id or canvas.uuid()
    payload = {
        "task": name, "id": task_id, "args": args, "kwargs": dict(kwargs or {}), "callbacks": callbacks,
        "errbacks": errbacks, **options,
    }  # fmt: skip
    return _message(task_id, {}, payload)


def _message(task_id: str, headers: dict[str, Any], payload: Any) -> Mock:
    message = Mock(name=f"TaskMessage-{task_id}")
    message.headers, message.payload = headers, payload
    message.content_type, message.content_encoding, message.body = dumps(payload, serializer="json")
    return message


def task_message_from_sig(
    app: Canvas, sig: Any, utc: bool = True, TaskMessage: Callable[..., Mock] = TaskMessage
) -> Mock:
    """The message of a signature, which gets an id and loses the options that the message has fields for."""
    sig.freeze()
    options = sig.options
    callbacks, errbacks, countdown = (options.pop(name, None) for name in ("link", "link_error", "countdown"))
    eta = app.now() + timedelta(seconds=countdown) if countdown else options.pop("eta", None)
    expires = options.pop("expires", None)
    if isinstance(expires, int | float) and expires:
        expires = app.now() + timedelta(seconds=expires)
    return TaskMessage(
        sig.task, id=sig.id, args=sig.args, kwargs=sig.kwargs, callbacks=_as_dicts(callbacks),
        errbacks=_as_dicts(errbacks), eta=_as_text(eta), expires=_as_text(expires), utc=utc, **options,
    )  # fmt: skip


def _as_dicts(signatures: Any) -> list[dict[str, Any]] | None:
    return [dict(one) for one in signatures] if signatures else None


def _as_text(moment: Any) -> Any:
    return moment.isoformat() if isinstance(moment, datetime) else moment


class _ContextMock(Mock):
    """A mock that has the methods of a context manager: Python looks for these in the class."""

    def __enter__(self) -> "_ContextMock":
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Let exceptions pass."""


def ContextMock(*args: Any, **kwargs: Any) -> Mock:
    """A mock to use in ``with``, which notes its entry and its exit; the block gets the mock itself."""
    mock = _ContextMock(*args, **kwargs)
    for name, value in (("__enter__", mock), ("__exit__", None)):
        mock.attach_mock(_ContextMock(return_value=value), name)
    return mock
