"""Result records ⇄ bytes: task meta, chord parts, groups (protocol.md §5)."""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from canvas.errors import DecodeError, EncodeError
from canvas.model import states
from canvas.model.record import Handle, Record, in_tuple_form
from canvas.wire import codecs, compression, typed_json
from canvas.wire.depth import MAX_DEPTH, check_depth
from canvas.wire.exceptions import encode_exception, exception_of, writable
from canvas.wire.task_message import MAX_BYTES

_COMPRESSED = b"\x00celery-compressed\x00"
"""In front of a compressed record; the content type of the compression follows, and a NUL."""
HEAD = 20
_EMPTY_PART = re.compile(rb'\[1,"([\w.-]+)","SUCCESS",null\]')
"""A part without a value, as ``encode_part`` writes it for a slot: most parts of large joins."""
_FIELDS = frozenset({"task_id", "status", "result", "traceback", "children", "date_done", "group_id", "parent_id"})


def says_success(head: bytes) -> bool:
    """Whether the first HEAD bytes of a record show a success; if not, only the whole record can show one."""
    return head.startswith((b'{"status": "SUCCESS"', b'{"status":"SUCCESS"')) or head[1:16] == b"\xa6status\xa7SUCCESS"


def encode(
    record: Record, *, serializer: str = "json", compress: str | None = None, max_depth: int = MAX_DEPTH,
    only_set_fields: bool = False,
) -> bytes:  # fmt: skip
    """The stored form of a record. Arguments of the task that the serializer cannot write become their repr.
    ``only_set_fields`` leaves out the empty fields that Celery does not need to read a record, and the id where
    there is no result: it is the record of a run or of a node without a task, which is read by its key.

    Raises EncodeError for a result that the serializer cannot write, or that is nested too deep to be read again.
    """
    plain = record.status == states.SUCCESS and serializer == "json" and not (compress or only_set_fields)
    if plain and record.date_done and record.children is not None and not (record.extra or record.traceback):
        return encode_success(
            record.task_id, record.result, record.children, record.date_done, record.group_id, record.parent_id,
            max_depth,
        )  # fmt: skip
    result = in_tuple_form(record.result, serializer)
    if record.status in states.EXCEPTION_STATES and isinstance(result, BaseException):
        result = encode_exception(result, serializer, max_depth)
    meta: dict[str, Any] = {"status": record.status, "result": result}
    own = {"traceback": record.traceback, "children": record.children, "date_done": record.date_done}
    meta.update({name: value for name, value in own.items() if value} if only_set_fields else own)
    if record.group_id:
        meta["group_id"] = record.group_id
    if record.parent_id:
        meta["parent_id"] = record.parent_id
    meta.update(record.extra)
    if not only_set_fields or result is not None:
        meta["task_id"] = record.task_id
    try:
        data = codecs.encode_within(meta, serializer, max_depth)
    except EncodeError:
        if not record.extra:
            raise
        data = codecs.encode_within(meta | _writable_fields(record.extra, serializer, max_depth), serializer, max_depth)
    if compress:
        packed, kind = compression.compress(data, compress)
        return _COMPRESSED + kind.encode() + b"\x00" + packed
    return data


def unpacked(payload: bytes, max_bytes: int) -> bytes:
    """A stored record, or a value of one, without its compression. Raises DecodeError, also for one that has more than
    ``max_bytes`` bytes."""
    if not payload.startswith(_COMPRESSED):
        return payload
    kind, _, packed = payload[len(_COMPRESSED) :].partition(b"\x00")
    return compression.decompress(packed, kind.decode("ascii", "replace"), max_bytes=max_bytes)


def encode_success(
    task_id: str, result: Any, children: list[Any], date_done: str, group_id: str | None, parent_id: str | None,
    max_depth: int = MAX_DEPTH, date_start: str | None = None,
) -> bytes:  # fmt: skip
    """The bytes that ``encode`` gives for a success with these fields only, in JSON. Raises EncodeError."""
    value = b"null"
    if result is not None:
        value = typed_json.dumps(result.as_tuple() if isinstance(result, Handle) else result)
        if len(value) >= max_depth:
            check_depth(value, max_depth, EncodeError, around=1)
    if group_id is None is parent_id:
        around, task = b"", typed_json.dumps_known(task_id)
    else:
        group, parent, task = typed_json.dumps_each((group_id, parent_id, task_id))
        around = b',"group_id":' + group if group_id else b""
        if parent_id:
            around += b',"parent_id":' + parent
    if date_start:
        around += b',"date_start":"%b"' % date_start.encode()
    return b'{"status":"SUCCESS","result":%b,"traceback":null,"children":%b,"date_done":"%b"%b,"task_id":%b}' % (
        value,
        typed_json.dumps(children) if children else b"[]",
        date_done.encode(),
        around,
        task,
    )


def decode(
    payload: bytes,
    *,
    serializer: str = "json",
    accept: Collection[str],
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
) -> Record:
    """The record in stored bytes; for exception states ``result`` is the exception. Raises DecodeError."""
    meta = _load(payload, serializer, accept, max_bytes, max_depth)
    if not isinstance(meta, dict) or not isinstance(meta.get("status"), str):
        raise DecodeError(f"result record: expected an object with a status; got {meta!r:.100}")
    status, result = meta["status"], meta.get("result")
    if not isinstance(meta.get("children"), list | tuple | None):
        raise DecodeError(f"children of a result record: expected a list; got {meta['children']!r:.100}")
    if status in states.EXCEPTION_STATES:
        result = exception_of(result, meta.get("traceback"))
    return Record(
        str(meta.get("task_id", "")),
        status,
        result,
        meta.get("traceback"),
        meta.get("children"),
        meta.get("date_done"),
        meta.get("group_id"),
        meta.get("parent_id"),
        {key: value for key, value in meta.items() if key not in _FIELDS},
    )


def _load(
    payload: bytes, serializer: str, accept: Collection[str], max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
) -> Any:
    return codecs.decode(
        unpacked(payload, max_bytes), codecs.named(serializer).content_type, accept=accept, max_depth=max_depth
    )


def _writable_fields(extra: Mapping[str, Any], serializer: str, max_depth: int) -> dict[str, Any]:
    """The fields of ``result_extended``: each argument of the task, and all else, as it is or as its repr."""

    def as_written(value: Any) -> Any:
        return writable(value, serializer, max_depth)

    found = {name: as_written(value) for name, value in extra.items()}
    if isinstance(args := extra.get("args"), list | tuple):
        found["args"] = [as_written(value) for value in args]
    if isinstance(kwargs := extra.get("kwargs"), dict):
        found["kwargs"] = {name: as_written(value) for name, value in kwargs.items()}
    return found


def encode_part(
    task_id: str, state: str, result: Any, *, serializer: str = "json", max_depth: int = MAX_DEPTH
) -> bytes:
    """A chord part, ``[1, task_id, state, result]`` (semantics.md K4). Raises EncodeError as ``encode``."""
    if result is None and serializer == "json" and state == states.SUCCESS:
        # The slots of large joins are numbers.
        written = b'"%b"' % task_id.encode() if task_id.isdecimal() else typed_json.dumps_known(task_id)
        return b'[1,%b,"SUCCESS",null]' % written
    failed = state in states.EXCEPTION_STATES and isinstance(result, BaseException)
    if serializer == "json" and not failed and not isinstance(result, Handle):
        value = typed_json.dumps(result)
        if len(value) >= max_depth:
            check_depth(value, max_depth, EncodeError, around=1)
        return b"[1,%b,%b,%b]" % (*typed_json.dumps_each((task_id, state)), value)
    result = encode_exception(result, serializer, max_depth) if failed else in_tuple_form(result, serializer)
    return codecs.encode_within([1, task_id, state, result], serializer, max_depth)


def decode_part(
    data: bytes, *, serializer: str = "json", accept: Collection[str], max_depth: int = MAX_DEPTH
) -> tuple[str, str, Any]:
    """``(task_id, state, result)`` of a part; exception states give the exception."""
    if serializer == "json" and "json" in accept and (empty := _EMPTY_PART.fullmatch(data)):
        return empty[1].decode(), states.SUCCESS, None
    part = codecs.decode(data, codecs.named(serializer).content_type, accept=accept, max_depth=max_depth)
    if not isinstance(part, list | tuple) or len(part) != 4:
        raise DecodeError(f"chord part: expected [1, id, state, result]; got {part!r:.100}")
    _, task_id, state, result = part
    if state in states.EXCEPTION_STATES:
        result = exception_of(result)
    return task_id, state, result


class SavedGroup(NamedTuple):
    """A GroupResult as it is kept."""

    structure: Any
    """Its tuple form."""
    ignored: frozenset[str]
    """Ids of its tasks, and of its ancestors, whose results are not kept."""


def encode_group(
    structure: Any, ignored: Collection[str] = (), *, serializer: str = "json", max_depth: int = MAX_DEPTH
) -> bytes:
    """A GroupResult's tuple form as ``{"result": …}`` (protocol.md §5.3), with the ids of tasks whose results are not
    kept under ``"ignored"``, which Celery does not read."""
    kept = {"result": structure, "ignored": sorted(ignored)} if ignored else {"result": structure}
    return codecs.encode_within(kept, serializer, max_depth)


def decode_saved_group(
    payload: bytes, *, serializer: str = "json", accept: Collection[str], max_depth: int = MAX_DEPTH
) -> SavedGroup:
    """A stored group. Raises DecodeError."""
    meta = _load(payload, serializer, accept, max_depth=max_depth)
    if not isinstance(meta, dict) or "result" not in meta:
        raise DecodeError(f"group record: expected an object with a result; got {meta!r:.100}")
    ignored = meta.get("ignored") or ()
    if not isinstance(ignored, list | tuple) or not all(isinstance(one, str) for one in ignored):
        raise DecodeError(f"group record: ignored: expected a list of ids; got {ignored!r:.100}")
    return SavedGroup(meta["result"], frozenset(ignored))


def decode_group(
    payload: bytes, *, serializer: str = "json", accept: Collection[str], max_depth: int = MAX_DEPTH
) -> Any:
    """The tuple form in a stored group. Raises DecodeError."""
    return decode_saved_group(payload, serializer=serializer, accept=accept, max_depth=max_depth).structure
