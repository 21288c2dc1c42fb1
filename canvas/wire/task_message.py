"""A Message ⇄ a message whose body is serialised, in protocol 2 and protocol 1 (protocol.md §2)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from canvas.errors import DecodeError, EncodeError, InvalidTaskError
from canvas.model.message import NO_EMBED, EncodedMessage, Message
from canvas.text import short_repr
from canvas.wire import codecs, compression, typed_json
from canvas.wire.depth import MAX_DEPTH, check_depth
from canvas.wire.lazy_chain import LONG, body_with_links
from canvas.wire.signing import UNSIGNED, Signer
from canvas.wire.typed_json import LazyArray, MemoEncoder

MAX_BYTES = 64 * 1024 * 1024
_LISTS = (list, tuple)
_decode_plain = msgspec.json.Decoder(tuple[list[Any], dict[str, Any], dict[str, Any] | None]).decode
_EMBED = ("callbacks", "errbacks", "chain", "chord")
_V1_TO_V2 = ("group", "group_index", "retries", "eta", "expires", "timelimit")


def encode(
    message: Message,
    *,
    serializer: str = "json",
    compression: str | None = None,
    signer: Signer = UNSIGNED,
    bodies: MemoEncoder | None = None,
    max_depth: int = MAX_DEPTH,
) -> EncodedMessage:
    """The message with its body serialised, compressed and signed.

    ``message.headers`` and ``message.properties`` are complete except for what encoding decides; ``bodies`` writes the
    body of a chord, where that comes in many messages. Raises EncodeError, also for a JSON body that is nested deeper
    than ``max_depth``.
    """
    if message.protocol == 1:
        headers: dict[str, Any] = {}
        body: Any = v1_body(message)
    else:
        headers, body = message.headers, (message.args, message.kwargs, readable(message.embed, serializer, bodies))
    content_type, content_encoding, data = codecs.encode(body, serializer)
    # Links that are handed on unread are checked by the worker that reads them.
    if content_type == "application/json" and not isinstance(message.embed.get("chain"), typed_json.LazyArray):
        check_depth(data, max_depth, EncodeError)
    return encoded(data, content_type, content_encoding, headers, message.properties, signer, compression)


def encoded(
    data: bytes,
    content_type: str,
    content_encoding: str,
    headers: dict[str, Any],
    properties: dict[str, Any],
    signer: Signer = UNSIGNED,
    compressed: str | None = None,
) -> EncodedMessage:
    """Serialised ``data`` with its headers, signed, and then compressed."""
    if signer.signs:
        headers = signer.sign_message(headers, content_type, content_encoding, data)
    if compressed:
        data, kind = compression.compress(data, compressed)
        headers = {**headers, "compression": kind}
    elif "compression" in headers:
        headers = {key: value for key, value in headers.items() if key != "compression"}
    return EncodedMessage(data, content_type, content_encoding, headers, properties)


def decode(
    message: EncodedMessage,
    *,
    accept: Collection[str],
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    signer: Signer = UNSIGNED,
) -> Message:
    """A task's message, of either protocol.

    Raises DecodeError for a body that cannot be read, ContentDisallowed, SignatureError, InvalidTaskError for
    fields that make no sense.
    """
    data, content_type, _, headers, properties = message
    size = len(data)
    if (
        content_type == "application/json"
        and "json" in accept
        and size < LONG
        and not signer.signs
        and not headers.get("compression")
        and b"__type__" not in data
        and (size <= max_depth or data.count(b"[") + data.count(b"{") <= max_depth)
    ):
        try:
            args, kwargs, embed = _decode_plain(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
            pass  # the general way says what is wrong, and reads what msgspec does not
        else:
            task, task_id = headers.get("task"), headers.get("id")
            if type(task) is not str or type(task_id) is not str or not (task and task_id and task_id.isascii()):
                task, task_id = _names(task, task_id)
            if headers.get("group") is not None:
                _check_group(task, headers)
            if embed != NO_EMBED:
                embed = embed_from(embed)
            return Message(task, task_id, args, kwargs, embed, headers, properties, content_type)
    body = read_body(message, accept, max_bytes, max_depth, signer)
    found = message_of(message.headers, body)
    found.properties, found.content_type = message.properties, message.content_type
    return found


def encode_plain(
    body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    headers: dict[str, Any],
    *,
    delivery_mode: int,
    signer: Signer = UNSIGNED,
    serializer: str = "json",
) -> EncodedMessage:
    """A message that is not of a task: remote control, its replies, events. Raises EncodeError."""
    content_type, encoding, data = codecs.encode(body, serializer)
    properties = {"delivery_mode": delivery_mode, "priority": 0}
    return encoded(data, content_type, encoding, headers, properties, signer)


def decode_plain(
    message: EncodedMessage, *, max_bytes: int = MAX_BYTES, signer: Signer = UNSIGNED, serializer: str = "json"
) -> dict[str, Any]:
    """The object in a message that is not of a task: remote control and its replies. Raises DecodeError, and
    ContentDisallowed for a message of another serializer."""
    body = read_body(message, (serializer,), max_bytes, MAX_DEPTH, signer)
    if not isinstance(body, dict):
        raise DecodeError(f"body: expected a JSON object; got {type(body).__name__}")
    return body


def decode_events(message: EncodedMessage, *, max_bytes: int = MAX_BYTES) -> Any:
    """The body of a message in JSON, signed or not: an event, or a list of events. Raises DecodeError."""
    return read_body(message, ("json", codecs.SIGNED), max_bytes, MAX_DEPTH, UNSIGNED)


def read_body(message: EncodedMessage, accept: Collection[str], max_bytes: int, max_depth: int, signer: Signer) -> Any:
    """The body, decompressed and decoded, of a message whose signature is right. Raises WireError."""
    data, content_type, content_encoding, headers, _ = message
    if headers.get("compression"):
        data = compression.decompress(data, str(headers["compression"]), max_bytes=max_bytes)
    if signer.signs:
        signer.check_message(headers, content_type, content_encoding, data)
    if content_type == "application/json" and "json" in accept:
        body = body_with_links(data, max_depth) if len(data) >= LONG and "task" in headers else None
        return typed_json.loads(data, max_depth=max_depth) if body is None else body
    return codecs.decode(data, content_type, accept=accept, max_depth=max_depth)


def readable(embed: dict[str, Any], serializer: str, bodies: MemoEncoder | None) -> dict[str, Any]:
    """``embed`` in a form that the serializer can write. JSON alone can write parts that are still bytes."""
    chain, chord = embed["chain"], embed["chord"]
    if serializer != "json":
        return {**embed, "chain": list(chain)} if isinstance(chain, LazyArray) else embed
    return {**embed, "chord": bodies.raw(chord)} if bodies is not None and chord is not None else embed


def embed_of(options: Mapping[str, Any], protocol: int) -> dict[str, Any]:
    """The fourth part of a body: the signatures that follow the task (protocol.md §2.1)."""
    link, link_error = options.get("link"), options.get("link_error")
    callbacks, chain = None if link is None else _sig_list(link), options.get("chain")
    if protocol == 1 and chain:
        callbacks, chain = [*(callbacks or []), _linked(chain)], None
    errbacks = None if link_error is None else _sig_list(link_error)
    return {"callbacks": callbacks, "errbacks": errbacks, "chain": chain, "chord": options.get("chord")}


def _linked(chain: Sequence[Any]) -> dict[str, Any]:
    """A chain as nested callbacks, the only form protocol 1 has for it (protocol.md §2.2)."""
    following: dict[str, Any] | None = None
    for step in chain:
        options = dict(step["options"])
        if following is not None:
            options["link"] = [*(_sig_list(options.get("link")) or []), following]
        following = {**step, "options": options}
    assert following is not None
    return following


def _sig_list(value: Any) -> list[Any] | None:
    if not value:
        return None if value is None or value == [] else [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def message_of(headers: dict[str, Any], body: Any) -> Message:
    """A task's message of either protocol, without properties. Raises DecodeError, InvalidTaskError."""
    found = _v1(headers, body) if isinstance(body, dict) else _v2(headers, body)
    _check_group(found.task, found.headers)
    return found


def _check_group(task: str, headers: dict[str, Any]) -> None:
    group = headers.get("group")
    if isinstance(group, UUID):
        headers["group"] = str(group)
    elif group is not None and not isinstance(group, str):
        raise InvalidTaskError(f"group of {task}: expected text; got {group!r:.100}")


def _v2(headers: dict[str, Any], body: Any) -> Message:
    if not isinstance(body, _LISTS) or len(body) != 3:
        raise DecodeError(f"body: expected [args, kwargs, embed]; got {body!r:.100}")
    task, task_id = _names(headers.get("task"), headers.get("id"))
    return Message(task, task_id, _args(body[0]), _kwargs(body[1]), embed_from(body[2]), headers)


def _v1(headers: dict[str, Any], body: dict[str, Any]) -> Message:
    """Protocol 1, and the hybrid whose headers override the body."""
    task, task_id = _names(headers.get("task", body.get("task")), headers.get("id", body.get("id")))
    group = body.get("group") or body.get("taskset")
    known = {key: body.get(key) for key in _V1_TO_V2}
    embed = embed_from({key: body.get(key) for key in _EMBED})
    args = _args(() if body.get("args") is None else body["args"])
    kwargs = _kwargs({} if body.get("kwargs") is None else body["kwargs"])
    merged = {
        **known, "task": task, "id": task_id, "group": group, "root_id": None, "parent_id": None,
        "argsrepr": short_repr(args), "kwargsrepr": short_repr(kwargs), **headers,
    }  # fmt: skip
    merged["retries"] = merged.get("retries") or 0
    return Message(task, task_id, args, kwargs, embed, merged, protocol=1)


def v1_body(message: Message) -> dict[str, Any]:
    """The body of a message in protocol 1."""
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


def embed_from(embed: Any) -> dict[str, Any]:
    """The signatures that follow a task, from the fourth part of its body. Raises InvalidTaskError."""
    if embed is None:
        return dict(NO_EMBED)
    if not isinstance(embed, dict):
        raise InvalidTaskError(f"embed: expected an object; got {type(embed).__name__}")
    if embed.get("chain") is None and embed == NO_EMBED:
        return embed
    found = dict(NO_EMBED)
    for key in ("callbacks", "errbacks", "chain"):
        sigs = embed.get(key)
        if sigs is None:
            continue
        found[key] = sigs
        if not isinstance(sigs, LazyArray) and not (
            isinstance(sigs, _LISTS) and all(isinstance(sig, dict) for sig in sigs)
        ):
            raise InvalidTaskError(f"{key}: expected a list of signatures; got {sigs!r:.100}")
    found["chord"] = embed.get("chord")
    if found["chord"] is not None and not isinstance(found["chord"], dict):
        raise InvalidTaskError(f"chord: expected a signature; got {found['chord']!r:.100}")
    return found
