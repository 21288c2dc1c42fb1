"""Records ⇄ columns, for stores that keep each field of a record apart, as Celery's database backends do.

The values of a JSON record are neither decoded nor written again. Those of the other serializers are.
"""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from canvas.errors import DecodeError, EncodeError
from canvas.model.record import OWN_FIELDS
from canvas.model.settlement import ResultWrite
from canvas.wire import codecs
from canvas.wire.moments import aware
from canvas.wire.record import unpacked

OWN = "canvas_fields"
"""The key of the record's fields that have no columns."""
WHOLE = b"\x00canvas\x00"
"""In front of a payload that is kept whole, because it is not a record in the serializer of the settings."""
ENCODED = ("result", "children", "args", "kwargs", "stamps")
"""The columns whose values are written by the serializer. The others hold text and numbers."""
_EXTENDED_TEXT = ("name", "worker", "retries", "queue")
_JSON = "json"


class RecordColumns:
    """Divides records that one serializer writes, and puts them together."""

    def __init__(self, serializer: str, extended: bool) -> None:
        """``extended``: whether there are columns for the fields that ``result_extended`` adds. Raises
        ConfigurationError for an unknown serializer."""
        self._codec = codecs.named(serializer)
        self.content_type = self._codec.content_type
        self.content_encoding = self._codec.content_encoding
        self.extended = extended

    def divided(self, write: ResultWrite) -> dict[str, Any]:
        """The columns of a record, with ``date_done`` as a datetime; absent ones are ``None``. As in Celery, the values
        are not compressed: they are read in place. Under ``OWN`` are the fields that have no columns, as one written
        object: those of runs and their nodes."""
        fields = self._fields(write.payload)
        row: dict[str, Any] = dict.fromkeys(("status", "result", "date_done", "traceback", "children", OWN))
        if fields is None:
            row |= {"status": "SUCCESS" if write.success else "PENDING", "result": WHOLE + write.payload}
            return row | {"date_done": datetime.now(UTC)}
        row |= {name: self._value(fields.get(name)) for name in ("status", "traceback")}
        row["result"] = fields["result"]
        row["children"] = fields["children"] if self._value(fields.get("children")) else None
        row["date_done"] = _time_of(self._value(fields.get("date_done")))
        if own := [name for name in OWN_FIELDS if name in fields]:
            row[OWN] = self.assembled([(name, {}, fields) for name in own])
        return row | self._extended(fields) if self.extended else row

    def _extended(self, fields: Mapping[str, bytes]) -> dict[str, Any]:
        row: dict[str, Any] = {name: self._value(fields.get(name)) for name in _EXTENDED_TEXT}
        for name in ("args", "kwargs"):
            row[name] = fields[name] if self._value(fields.get(name)) is not None else None
        names = self._value(fields.get("stamped_headers"))
        stamps = {name: self._value(fields[name]) for name in names or () if name in fields}
        return row | {"stamps": self.written({"stamped_headers": names, "stamps": stamps}) if names else None}

    def with_own_fields(self, payload: bytes, own: bytes) -> bytes:
        """A record with its ``own`` fields, which have no columns, added."""
        if self._codec.name == _JSON:
            return payload[:-1] + b", " + own[1:]
        return self.written({**self._value(payload), **self._value(own)})

    def joined(self, row: Mapping[str, Any]) -> bytes:
        """The record of columns. A value that cannot be read is left as it is, so that its reader reports it."""
        result: bytes | None = row["result"]
        if result is not None and result.startswith(WHOLE):
            return result[len(WHOLE) :]
        try:
            return self._join(row)
        except (DecodeError, EncodeError):
            return result or b""

    def _join(self, row: Mapping[str, Any]) -> bytes:
        done: datetime | None = row["date_done"]
        text = {"status": row["status"], "traceback": row["traceback"], "task_id": row["task_id"]}
        text["date_done"] = aware(done).isoformat() if done is not None else None
        names = ["status", "result", "traceback", "children", "date_done"]
        if "name" in row:
            names += [*_EXTENDED_TEXT, "args", "kwargs"]
            text |= {name: row[name] for name in _EXTENDED_TEXT}
            stamps = self._value(_plain(row["stamps"])) if row["stamps"] else None
            if isinstance(stamps, dict) and isinstance(stamps.get("stamps"), dict):
                stamped = {"stamped_headers": stamps.get("stamped_headers"), **stamps["stamps"]}
                text |= stamped
                names += stamped
        encoded = {name: _plain(row[name]) for name in ENCODED if name in row and name in names}
        return self.assembled([(name, text, encoded) for name in (*names, "task_id")])

    def assembled(self, fields: list[tuple[str, Mapping[str, Any], Mapping[str, bytes | None]]]) -> bytes:
        """The record of these fields: of each its name, and the mappings that may have its value, plain or written."""
        if self._codec.name == _JSON:
            pairs = [
                _dumped(name) + b": " + (_dumped(text[name]) if name in text else encoded[name] or b"null")
                for name, text, encoded in fields
            ]
            return b"{" + b", ".join(pairs) + b"}"
        return self.written(
            {name: text[name] if name in text else self._value(encoded[name]) for name, text, encoded in fields}
        )

    def group_column(self, payload: bytes) -> bytes:
        """A saved group as Celery keeps it: the tuple form alone. Ids of ignored tasks, which it does not read,
        need the object around it."""
        fields = self._fields(payload)
        if fields is None or fields.keys() != {"result"}:
            return payload
        return fields["result"] if isinstance(self._value(fields["result"]), list | tuple) else payload

    def group_in(self, column: bytes) -> bytes:
        """The saved group in a column."""
        try:
            plain = _plain(column)
            value = self._value(plain)
            # Celery pickles the GroupResult itself.
            structure = value.as_tuple() if hasattr(value, "as_tuple") else value
            if not isinstance(structure, list | tuple):
                return column
            return self.assembled([("result", {"result": structure}, {})])
        except (DecodeError, EncodeError):
            return column

    def _fields(self, payload: bytes) -> dict[str, bytes] | None:
        """The written values of a record or group by their names; ``None`` for anything else."""
        try:
            fields = self.split(_plain(payload) or b"")
        except (DecodeError, EncodeError):
            return None
        known = fields is not None and "result" in fields and ("status" in fields) == ("task_id" in fields)
        return fields if known else None

    def split(self, payload: bytes) -> dict[str, bytes] | None:
        """The written values of an object by their names; ``None`` for anything else. Raises DecodeError."""
        if self._codec.name != _JSON:
            whole = self._value(payload)
            return {name: self.written(value) for name, value in whole.items()} if isinstance(whole, dict) else None
        if not payload.startswith(b"{"):
            return None
        try:
            return {name: bytes(raw) for name, raw in _RAW.decode(payload).items()}
        except msgspec.MsgspecError:
            pass
        # Python writes numbers such as NaN, which msgspec does not read.
        try:
            return {name: _dumped(value) for name, value in json.loads(payload).items()}
        except (ValueError, RecursionError):
            return None

    def _value(self, written: bytes | None) -> Any:
        if written is None or written == b"null":
            return None
        if self._codec.name != _JSON:
            return codecs.decode(written, self._codec.content_type, accept={self._codec.name})
        try:
            return json.loads(written)
        except (ValueError, RecursionError) as exc:
            raise DecodeError(f"not JSON: {exc}") from exc

    def written(self, value: Any) -> bytes:
        """A value in the serializer's form. Raises EncodeError."""
        return _dumped(value) if self._codec.name == _JSON else codecs.encode(value, self._codec.name)[2]


_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _plain(value: bytes | None) -> bytes | None:
    """A written value without compression. Raises DecodeError."""
    return None if value is None else unpacked(value, sys.maxsize)


def _time_of(text: Any) -> datetime | None:
    if not text:
        return None
    found = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    return aware(found)
