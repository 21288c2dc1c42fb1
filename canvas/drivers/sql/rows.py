"""Records in JSON ⇄ rows of ``celery_taskmeta``.

A payload that is no JSON record (a compressed one, for example) is kept whole in the column ``result``, after
:data:`WHOLE`. Celery cannot read such a row.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from canvas.drivers.sql.tables import EXTENDED, utc_now
from canvas.model.settlement import ResultWrite

WHOLE = b"\x00canvas\x00"
_JSON_COLUMNS = ("args", "kwargs")
_PLAIN_COLUMNS = ("name", "worker", "retries", "queue")


def row_of(write: ResultWrite, extended: bool) -> dict[str, Any]:
    """The columns of a record."""
    meta = _meta(write.payload)
    names = ("task_id", "status", "result", "date_done", "traceback", "children", *(EXTENDED if extended else ()))
    row: dict[str, Any] = dict.fromkeys(names)
    row["task_id"] = write.task_id
    if meta is None:
        status = "SUCCESS" if write.success else "PENDING"
        return row | {"status": status, "result": WHOLE + write.payload, "date_done": utc_now()}
    row |= {"status": meta["status"], "result": _dumped(meta["result"]), "traceback": meta.get("traceback")}
    row["date_done"] = _time_of(meta.get("date_done"))
    row["children"] = _dumped(meta["children"]) if meta.get("children") else None
    if extended:
        row |= {name: meta.get(name) for name in _PLAIN_COLUMNS}
        row |= {name: _dumped(meta[name]) for name in _JSON_COLUMNS if meta.get(name) is not None}
        stamped = meta.get("stamped_headers")
        if stamped:
            stamps = {name: meta[name] for name in stamped if name in meta}
            row["stamps"] = _dumped({"stamped_headers": stamped, "stamps": stamps})
    return row


def payload_of(row: Mapping[str, Any]) -> bytes:
    """The record in a row. What is not JSON in it is left as it is, so that its reader reports it."""
    result: bytes | None = row["result"]
    if result is not None and result.startswith(WHOLE):
        return result[len(WHOLE) :]
    done: datetime | None = row["date_done"]
    fields = [
        _field("status", _dumped(row["status"])),
        _field("result", result),
        _field("traceback", _dumped(row["traceback"])),
        _field("children", row["children"]),
        _field("date_done", _dumped(done.replace(tzinfo=UTC).isoformat() if done is not None else None)),
    ]
    if "name" in row:
        fields += [_field(name, _dumped(row[name])) for name in _PLAIN_COLUMNS]
        fields += [_field(name, row[name]) for name in _JSON_COLUMNS]
        stamps = json.loads(row["stamps"]) if row["stamps"] else None
        if stamps:
            found = {"stamped_headers": stamps["stamped_headers"], **stamps["stamps"]}
            fields += [_field(name, _dumped(value)) for name, value in found.items()]
    fields.append(_field("task_id", _dumped(row["task_id"])))
    return b"{" + b", ".join(fields) + b"}"


def _field(name: str, value: bytes | None) -> bytes:
    return _dumped(name) + b": " + (b"null" if value is None else value)


def _meta(payload: bytes) -> dict[str, Any] | None:
    """The fields of a JSON record; ``None`` for anything else."""
    if not payload.startswith(b"{"):
        return None
    try:
        meta = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    known = isinstance(meta, dict) and isinstance(meta.get("status"), str) and {"task_id", "result"} <= meta.keys()
    return meta if known else None


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _time_of(text: str | None) -> datetime | None:
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo is not None else found
