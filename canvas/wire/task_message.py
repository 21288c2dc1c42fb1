"""A Message ⇄ kombu's Redis envelope, protocol 2 and protocol 1 (protocol.md §1.3, §2)."""

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from canvas.errors import DecodeError, EncodeError, InvalidTaskError
from canvas.model.message import NO_EMBED, Message
from canvas.wire import codecs, compression, typed_json
from canvas.wire.depth import MAX_DEPTH, check_depth
from canvas.wire.lazy_chain import body_with_links
from canvas.wire.signing import UNSIGNED, Signer
from canvas.wire.typed_json import LazyArray, MemoEncoder

MAX_BYTES = 64 * 1024 * 1024
_LISTS = (list, tuple)
_EMBED = ("callbacks", "errbacks", "chain", "chord")
_V1_TO_V2 = ("group", "group_index", "retries", "eta", "expires", "timelimit")


def encode(
    message: Message,
    *,
    serializer: str = "json",
    compression: str | None = None,
    delivery_tag: str,
    signer: Signer = UNSIGNED,
    bodies: MemoEncoder | None = None,
    max_depth: int = MAX_DEPTH,
) -> bytes:
    """The envelope as it lies in a queue.

    ``message.headers`` and ``message.properties`` are complete but for what encoding decides; ``bodies`` writes the
    body of a chord, where that comes in many messages. Raises EncodeError, also for JSON that is nested deeper than
    ``max_depth``.
    """
    if message.protocol == 1:
        headers: dict[str, Any] = {}
        body: Any = _v1_body(message)
    else:
        headers, body = message.headers, (message.args, message.kwargs, _readable(message.embed, serializer, bodies))
    content_type, content_encoding, data = codecs.encode(body, serializer)
    # Links that are handed on unread are checked by the worker that reads them.
    if content_type == "application/json" and not isinstance(message.embed.get("chain"), typed_json.LazyArray):
        check_depth(data, max_depth, EncodeError)
    payload = envelope(
        data,
        content_type,
        content_encoding,
        headers,
        message.properties,
        compressed=compression,
        tag=delivery_tag,
        signer=signer,
    )
    check_depth(payload, max_depth, EncodeError)
    return payload


def envelope(
    data: bytes,
    content_type: str,
    content_encoding: str,
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    *,
    compressed: str | None = None,
    tag: str,
    signer: Signer = UNSIGNED,
) -> bytes:
    """Serialised ``data`` in kombu's envelope."""
    headers = signer.sign_message(headers, content_type, content_encoding, data)
    if compressed:
        data, kind = compression.compress(data, compressed)
        headers = {**headers, "compression": kind}
    elif "compression" in headers:
        headers = {key: value for key, value in headers.items() if key != "compression"}
    return typed_json.dumps(
        {
            "body": msgspec.Raw(b'"%b"' % b2a_base64(data, newline=False)),
            "content-encoding": content_encoding,
            "content-type": content_type,
            "headers": headers,
            "properties": {**properties, "body_encoding": "base64", "delivery_tag": tag},
        }
    )


def decode(
    payload: bytes,
    *,
    accept: Collection[str],
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    signer: Signer = UNSIGNED,
) -> Message:
    """The message in an envelope, of either protocol.

    Raises DecodeError for bytes that are none, ContentDisallowed, SignatureError, InvalidTaskError for fields that make
    no sense.
    """
    headers, properties, content_type, body = _opened(payload, accept, max_bytes, max_depth, signer)
    message = _v1(headers, body) if isinstance(body, dict) else _v2(headers, body)
    message.properties, message.content_type = properties, content_type
    return message


def encode_plain(
    body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    headers: Mapping[str, Any],
    *,
    exchange: str,
    routing_key: str,
    delivery_mode: int,
    tag: str,
    signer: Signer = UNSIGNED,
) -> bytes:
    """An envelope with a JSON body that is no task: remote control and its replies. Raises EncodeError."""
    info = {"exchange": exchange, "routing_key": routing_key}
    properties = {"delivery_mode": delivery_mode, "delivery_info": info, "priority": 0}
    return envelope(typed_json.dumps(body), "application/json", "utf-8", headers, properties, tag=tag, signer=signer)


def decode_plain(
    payload: bytes, *, max_bytes: int = MAX_BYTES, signer: Signer = UNSIGNED
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Headers and JSON body of an envelope that is no task: remote control and its replies. Raises DecodeError."""
    headers, _, _, body = _opened(payload, ("json",), max_bytes, MAX_DEPTH, signer)
    if not isinstance(body, dict):
        raise DecodeError(f"body: expected a JSON object; got {type(body).__name__}")
    return headers, body


def decode_events(payload: bytes, *, max_bytes: int = MAX_BYTES) -> tuple[dict[str, Any], Any]:
    """Headers and JSON body, whatever that is: an event, or a list of events. Raises DecodeError."""
    headers, _, _, body = _opened(payload, ("json",), max_bytes, MAX_DEPTH, UNSIGNED)
    return headers, body


def _opened(
    payload: bytes, accept: Collection[str], max_bytes: int, max_depth: int, signer: Signer
) -> tuple[dict[str, Any], dict[str, Any], str, Any]:
    outer = typed_json.loads(payload, max_depth=max_depth)
    if not isinstance(outer, dict):
        raise DecodeError(f"envelope: expected a JSON object; got {type(outer).__name__}")
    headers, properties = _mapping(outer, "headers"), _mapping(outer, "properties")
    content_type = outer.get("content-type")
    if not isinstance(content_type, str):
        raise DecodeError(f"content-type: expected text; got {content_type!r:.100}")
    data = _body(outer.get("body"), properties)
    if headers.get("compression"):
        data = compression.decompress(data, str(headers["compression"]), max_bytes=max_bytes)
    signer.check_message(headers, content_type, outer.get("content-encoding"), data)
    body = None
    if content_type == "application/json" and "json" in accept and "task" in headers:
        body = body_with_links(data, max_depth)
    if body is None:
        body = codecs.decode(data, content_type, accept=accept, max_depth=max_depth)
    return headers, properties, content_type, body


def peek_id(payload: bytes) -> str | None:
    """The task id in an envelope's headers, where one can be read at all."""
    task_id = headers_of(payload).get("id")
    return task_id if isinstance(task_id, str) else None


def redelivered(payload: bytes, **headers: Any) -> bytes:
    """The envelope marked as delivered before, with ``headers`` added (protocol.md §1.4).

    Bytes that are no envelope stay as they are.
    """
    outer = _changed(payload, {"redelivered": True, **headers})
    if outer is None:
        return payload
    properties = outer.get("properties")
    if isinstance(properties, dict) and isinstance(properties.get("delivery_info"), dict):
        properties["delivery_info"]["redelivered"] = True
    return typed_json.dumps(outer)


def counted(headers: Mapping[str, Any], name: str) -> int:
    """A header that counts; 0 where it is missing or no number, whoever wrote it."""
    value = headers.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def losses(payload: bytes, started: bool) -> dict[str, Any]:
    """The headers of a message whose worker died: how often it was delivered, and whether it was running.

    The first death counts for every message, then only those in which it was known to run.
    """
    before = _deliveries(payload)
    count = before + 1 if started or before == 1 else before
    return {"canvas_delivery_count": count, **({"canvas_worker_lost": True} if started else {})}


def put_back(payload: bytes, counts: bool) -> bytes:
    """The envelope of a message that goes back into its queue; where that ``counts``, it does not do so for ever."""
    if not counts:
        return redelivered(payload)
    return redelivered(payload, canvas_delivery_count=_deliveries(payload) + 1)


def _deliveries(payload: bytes) -> int:
    return counted(headers_of(payload), "canvas_delivery_count") or 1


def with_headers(payload: bytes, **headers: Any) -> bytes:
    """The envelope with ``headers`` added. Bytes that are no envelope stay as they are."""
    outer = _changed(payload, headers)
    return typed_json.dumps(outer) if outer is not None else payload


def _changed(payload: bytes, headers: dict[str, Any]) -> dict[str, Any] | None:
    try:
        outer = typed_json.loads(payload)
    except DecodeError:
        return None
    if not isinstance(outer, dict) or not isinstance(outer.get("headers") or {}, dict):
        return None
    outer["headers"] = {**(outer.get("headers") or {}), **headers}
    return outer


def headers_of(payload: bytes) -> dict[str, Any]:
    """An envelope's headers; empty where they cannot be read."""
    return _peek(payload, "headers")


def properties_of(payload: bytes) -> dict[str, Any]:
    """An envelope's properties; empty where they cannot be read."""
    return _peek(payload, "properties")


def _peek(payload: bytes, name: str) -> dict[str, Any]:
    try:
        outer = typed_json.loads(payload)
    except DecodeError:
        return {}
    found = outer.get(name) if isinstance(outer, dict) else None
    return found if isinstance(found, dict) else {}


def _mapping(outer: dict[str, Any], name: str) -> dict[str, Any]:
    value = outer.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DecodeError(f"{name}: expected an object; got {type(value).__name__}")
    return value


def _body(body: Any, properties: dict[str, Any]) -> bytes:
    if not isinstance(body, str):
        raise DecodeError(f"body: expected text; got {type(body).__name__}")
    if properties.get("body_encoding") != "base64":
        return body.encode("utf-8", "surrogatepass")
    try:
        return msgspec.convert(body, bytes)  # three times as quick as binascii, which says better what is wrong
    except (msgspec.ValidationError, UnicodeEncodeError):
        pass
    try:
        return a2b_base64(body, strict_mode=True)
    except (Base64Error, ValueError) as exc:
        raise DecodeError(f"body: not base64: {exc}") from exc


def _readable(embed: dict[str, Any], serializer: str, bodies: MemoEncoder | None) -> dict[str, Any]:
    """``embed`` as a serializer can write it: only JSON hands on what was not read, or is written already."""
    chain, chord = embed["chain"], embed["chord"]
    if serializer != "json":
        return {**embed, "chain": list(chain)} if isinstance(chain, LazyArray) else embed
    return {**embed, "chord": bodies.raw(chord)} if bodies is not None and chord is not None else embed


def _v2(headers: dict[str, Any], body: Any) -> Message:
    if not isinstance(body, _LISTS) or len(body) != 3:
        raise DecodeError(f"body: expected [args, kwargs, embed]; got {body!r:.100}")
    task, task_id = _names(headers.get("task"), headers.get("id"))
    return Message(
        task,
        task_id,
        _args(body[0]),
        _kwargs(body[1]),
        _embed(body[2]),
        headers,
    )


def _v1(headers: dict[str, Any], body: dict[str, Any]) -> Message:
    """Protocol 1, and the hybrid whose headers override the body."""
    task, task_id = _names(headers.get("task", body.get("task")), headers.get("id", body.get("id")))
    group = body.get("group") or body.get("taskset")
    known = {key: body.get(key) for key in _V1_TO_V2}
    merged = {
        **known,
        "task": task,
        "id": task_id,
        "group": group,
        "root_id": None,
        "parent_id": None,
        **headers,
    }
    merged["retries"] = merged.get("retries") or 0
    embed = _embed({key: body.get(key) for key in _EMBED})
    args = _args(() if body.get("args") is None else body["args"])
    kwargs = _kwargs({} if body.get("kwargs") is None else body["kwargs"])
    return Message(task, task_id, args, kwargs, embed, merged, protocol=1)


def _v1_body(message: Message) -> dict[str, Any]:
    headers, embed = message.headers, message.embed
    return {
        "task": message.task,
        "id": message.id,
        "args": message.args,
        "kwargs": message.kwargs,
        "group": headers.get("group"),
        "group_index": headers.get("group_index"),
        "retries": headers.get("retries") or 0,
        "eta": headers.get("eta"),
        "expires": headers.get("expires"),
        "utc": True,
        "callbacks": embed.get("callbacks"),
        "errbacks": embed.get("errbacks"),
        "timelimit": headers.get("timelimit"),
        "taskset": headers.get("group"),
        "chord": embed.get("chord"),
    }


def _names(task: Any, task_id: Any) -> tuple[str, str]:
    if not isinstance(task, str) or not task:
        raise InvalidTaskError(f"task: expected a name; got {task!r:.100}")
    if not isinstance(task_id, str) or not task_id:
        raise InvalidTaskError(f"id of {task}: expected text; got {task_id!r:.100}")
    if not task_id.isascii() and any("\ud800" <= letter <= "\udfff" for letter in task_id):
        raise InvalidTaskError(f"id of {task}: expected text that UTF-8 can write; got {task_id!r:.100}")
    return task, task_id


def _args(args: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(args, _LISTS):
        raise InvalidTaskError(f"args: expected a list; got {type(args).__name__} {args!r:.100}")
    return args


def _kwargs(kwargs: Any) -> dict[str, Any]:
    if kwargs == {}:
        return {}
    if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
        raise InvalidTaskError(f"kwargs: expected an object with text keys; got {kwargs!r:.100}")
    return kwargs


def _embed(embed: Any) -> dict[str, Any]:
    if embed is None or embed == NO_EMBED:
        return dict(NO_EMBED)
    if not isinstance(embed, dict):
        raise InvalidTaskError(f"embed: expected an object; got {type(embed).__name__}")
    found = {key: embed.get(key) for key in _EMBED}
    for key in ("callbacks", "errbacks", "chain"):
        sigs = found[key]
        read = None if isinstance(sigs, LazyArray) else sigs
        if read is not None and not (isinstance(read, _LISTS) and all(isinstance(sig, dict) for sig in read)):
            raise InvalidTaskError(f"{key}: expected a list of signatures; got {sigs!r:.100}")
    if found["chord"] is not None and not isinstance(found["chord"], dict):
        raise InvalidTaskError(f"chord: expected a signature; got {found['chord']!r:.100}")
    return found
