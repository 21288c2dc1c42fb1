"""Stored records: golden ones, exceptions, and values that cannot be written."""

import json
import threading
from pathlib import Path

import celery.exceptions
import pytest

from canvas import errors
from canvas.errors import DecodeError, EncodeError, RemoteError, Retry
from canvas.model.record import Record
from canvas.wire import exceptions, record, run_compression
from tests.support.odd import Unprintable

GOLDEN = Path(__file__).parent.parent / "golden"


def golden(folder):
    for path in sorted((GOLDEN / folder).glob("*.json")):
        for number, found in enumerate(json.loads(path.read_text())["messages"]):
            yield pytest.param(found["raw"].encode(), id=f"{path.stem}-{number}")


@pytest.mark.parametrize("path", sorted((GOLDEN / "result").glob("*.json")), ids=lambda p: p.stem)
def test_golden_records_read_and_write_back_the_same(path):
    raw = json.loads(path.read_text())["raw"]
    found = record.decode(raw.encode(), accept=("json",))
    assert json.loads(record.encode(found)) == json.loads(raw)


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_compressed_records(serializer):
    kept = Record("id", "SUCCESS", ["x"] * 500)
    packed = record.encode(kept, serializer=serializer, compress="gzip")
    assert packed.startswith(b"\x00celery-compressed\x00application/x-gzip\x00")
    assert record.decode(packed, serializer=serializer, accept=(serializer,)).result == ["x"] * 500


def test_exceptions_come_back_as_their_class():
    for exc in (ValueError("boom", 42), KeyError("k"), OSError(2, "gone"), UnicodeDecodeError("utf8", b"", 0, 1, "x")):
        found = exceptions.decode_exception(json.loads(json.dumps(exceptions.encode_exception(exc), default=repr)))
        assert type(found) is type(exc) or isinstance(found, RemoteError)
    assert exceptions.decode_exception(exceptions.encode_exception(ValueError("boom", 42))).args == ("boom", 42)


@pytest.mark.parametrize(
    "name", ["NotRegistered", "ChordError", "Ignore", "Reject", "TaskRevokedError", "MaxRetriesExceededError"]
)
def test_ours_are_celerys_on_the_wire(name):
    written = exceptions.encode_exception(getattr(errors, name)("why"))
    assert written["exc_module"] == "celery.exceptions"
    assert hasattr(celery.exceptions, name)
    assert type(exceptions.decode_exception(written)) is getattr(errors, name)


@pytest.mark.parametrize(
    ("name", "module"),
    [("Gone", "no.such.module"), ("system", "os"), ("SystemExit", "builtins"), ("dict", "builtins"), ("Popen", "subprocess"),
     ("KeyboardInterrupt", "builtins"), (None, None), ("x.y.z", "builtins"), ("UnicodeDecodeError", "builtins")],
)  # fmt: skip
def test_anything_else_is_a_remote_error(name, module):
    found = exceptions.decode_exception({"exc_type": name, "exc_message": ["a"], "exc_module": module}, "tb")
    assert isinstance(found, RemoteError)
    assert (found.exc_args, found.remote_traceback) == (("a",), "tb")
    assert exceptions.encode_exception(found)["exc_message"] == ["a"]


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_arguments_that_cannot_be_stored_are_shown(serializer):
    """The task had them from a message in another serializer, and has ended: its result is stored all the same."""
    lock = threading.Lock()
    extra = {"name": "t", "args": [lock, 2], "kwargs": {"lock": lock, "b": [1]}, "retries": 0}
    for ended, value in (("SUCCESS", 5), ("FAILURE", ValueError("boom"))):
        kept = record.encode(Record("id", ended, value, extra=extra), serializer=serializer)
        found = record.decode(kept, serializer=serializer, accept={serializer})
        assert (found.status, repr(found.result)) == (ended, repr(value))
        shown = {"args": [repr(lock), 2], "kwargs": {"lock": repr(lock), "b": [1]}}
        assert found.extra == {"name": "t", "retries": 0, **shown}
    with pytest.raises(EncodeError):
        record.encode(Record("id", "SUCCESS", lock, extra=extra), serializer=serializer)


def test_arguments_that_are_too_deep_for_a_record_are_shown():
    deep = [[[["x"]]]]
    kept = record.encode(Record("id", "SUCCESS", 5, extra={"args": [deep, 2]}), max_depth=5)
    assert record.decode(kept, accept={"json"}, max_depth=5).extra == {"args": [repr(deep), 2]}


def test_a_module_is_never_imported_because_a_record_names_it():
    import sys

    sys.modules.pop("this", None)
    exceptions.decode_exception({"exc_type": "Zen", "exc_message": [], "exc_module": "this"})
    assert "this" not in sys.modules


def test_arguments_that_cannot_be_written_become_text():
    assert exceptions.encode_exception(ValueError({1}))["exc_message"] == ["{1}"]


def test_parts_and_groups():
    assert json.loads(record.encode_part("id", "SUCCESS", 6)) == [1, "id", "SUCCESS", 6]
    failed = record.encode_part("id", "FAILURE", ValueError("x"))
    assert record.decode_part(failed, accept=("json",))[2].args == ("x",)
    structure = [["g", None], [[["a", None], None]]]
    assert record.decode_group(record.encode_group(structure), accept=("json",)) == structure
    for bad in (b"[]", b"{}", b"x"):
        with pytest.raises(DecodeError):
            record.decode_group(bad, accept=("json",))


def test_an_exception_without_text_can_be_retried_and_stored():
    retry = Retry("again", Unprintable())
    assert "Unrepresentable" in exceptions.encode_exception(retry)["exc_message"][1]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"name":"approval"}' * 1_000])
def test_a_field_of_a_run_is_compressed_and_one_that_is_damaged_is_refused(data):
    packed = run_compression.deflate(data)
    assert run_compression.inflate(packed) == data
    assert len(packed) <= max(len(data) // 10, 4)
    for damaged in (packed[:-1], b"\xff" + packed, b""):
        with pytest.raises(DecodeError, match="field of a run"):
            run_compression.inflate(damaged)
