"""Names of ``celery.worker.strategy`` that turn a message of protocol 1 into the parts of one of protocol 2."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from canvas.errors import InvalidTaskError
from canvas.text import short_repr

Parts: TypeAlias = tuple[tuple[Any, Any, dict[str, Any]], dict[str, Any], bool, bool]
"""The body in protocol 2, the headers, whether the body is decoded, and whether its times are in UTC."""
_HEADERS = ("lang", "task", "id", "root_id", "parent_id", "group", "meth", "shadow", "eta", "expires", "argsrepr",
            "kwargsrepr", "origin")  # fmt: skip


def hybrid_to_proto2(message: Any, body: Any) -> Parts:
    """The parts of a message with a body of protocol 1, and headers that come before the fields of the body.

    Raises InvalidTaskError for a body, or keyword arguments, that are not a mapping.
    """
    parts = _body(body)
    headers = {name: body.get(name) for name in _HEADERS}
    counts = {"retries": body.get("retries", 0), "timelimit": body.get("timelimit", (None, None))}
    return parts, {**headers, **counts, **(message.headers or {})}, True, body.get("utc", True)


def proto1_to_proto2(message: Any, body: Any) -> Parts:
    """The parts of a message of protocol 1, whose ``body`` becomes the headers.

    Raises InvalidTaskError for a body, or keyword arguments, that are not a mapping.
    """
    parts = _body(body)
    body.update(argsrepr=short_repr(parts[0]), kwargsrepr=short_repr(parts[1]), headers=message.headers)
    if "taskset" in body:
        body["group"] = body["taskset"]
    return parts, body, True, body.get("utc", True)


def _body(body: Any) -> tuple[Any, Any, dict[str, Any]]:
    if not isinstance(body, Mapping) or not isinstance(body.get("kwargs", {}), Mapping):
        raise InvalidTaskError(f"Task keyword arguments must be a mapping; got {body!r:.100}")
    embed = {name: body.get(name) for name in ("callbacks", "errbacks", "chord")}
    return body.get("args", ()), body.get("kwargs", {}), {**embed, "chain": None}
