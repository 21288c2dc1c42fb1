"""Messages, codecs, compression and records, on golden bytes and on bad ones."""

import base64
import json
import operator
import pickle
import zlib
from pathlib import Path

import kombu.compression
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas.drivers.kombu_envelope import ENVELOPE
from canvas.drivers.stored_messages import redelivered
from canvas.errors import ContentDisallowed, DecodeError, EncodeError, InvalidTaskError, WireError
from canvas.model.message import Message
from canvas.wire import codecs, compression, typed_json
from canvas.wire.task_message import message_of
from tests.support import messages

GOLDEN = Path(__file__).parent.parent / "golden"
ALL = ("json", "msgpack", "yaml", "pickle")


def golden(folder):
    for path in sorted((GOLDEN / folder).glob("*.json")):
        for number, found in enumerate(json.loads(path.read_text())["messages"]):
            yield pytest.param(found["raw"].encode(), id=f"{path.stem}-{number}")


@pytest.mark.parametrize("raw", [*golden("msg"), *golden("msg_v1")])
def test_golden_messages_read_and_write_back_the_same(raw):
    first = messages.decode(raw, accept=ALL)
    serializer = codecs.named(first.content_type).name
    again = messages.encode(first, serializer=serializer)
    second = messages.decode(again, accept=ALL)
    assert (second.task, second.id, second.kwargs, second.embed) == (first.task, first.id, first.kwargs, first.embed)
    assert list(second.args) == list(first.args)
    if first.protocol == 2:
        assert second.headers == {key: value for key, value in first.headers.items() if key != "compression"}
    assert second.protocol == first.protocol


def wrap(content, headers=None, **outer):
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(content).encode()).decode(),
            "content-type": "application/json",
            "headers": {"task": "t", "id": "i"} if headers is None else headers,
            "properties": {"body_encoding": "base64"},
            **outer,
        }
    ).encode()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"[1]", "envelope"), (b"{}", "content-type"), (wrap([[], {}, {}], body=None), "body"),
        (wrap([[], {}, {}], body="!!"), "base64"),
        (wrap([[], {}, {}], body="\ud800"), "base64"), (wrap([[], {}, {}], body="Ä"), "base64"),
        (wrap([[], {}]), "args, kwargs, embed"), (wrap("text"), "args"),
        (wrap([[], {}, {}], {"id": "i"}), "task"), (wrap([[], {}, {}], {"task": "t"}), "id of t"),
        (wrap([{}, {}, {}]), "args"), (wrap([None, {}, {}]), "args"), (wrap([[], None, {}]), "kwargs"),
        (wrap([[], [], {}]), "kwargs"), (wrap([[], {}, []]), "embed"), (wrap([[], {}, {"chain": "x"}]), "chain"),
        (wrap([[], {}, {"callbacks": [1]}]), "callbacks"), (wrap([[], {}, {"chord": []}]), "chord"),
        (wrap([[], {}, {}], headers=[]), "headers"), (wrap({"id": "x"}, {}), "task"),
        (wrap([[], {}, {}], {"task": "t", "id": "i", "compression": "what"}), "compression"),
        (wrap([[], {}, {}], {"task": "t", "id": 7}), "id of t"),
        (wrap([[], {}, {}], {"task": "t", "id": "i", "group": {"a": 1}}), "group of t"),
        (wrap({"task": "t", "id": "i", "taskset": ["g"]}, {}), "group of t"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_message_says_which_field(raw, said):
    with pytest.raises((DecodeError, InvalidTaskError), match=said):
        messages.decode(raw, accept=("json",))


LINKS = [{"task": "t.step", "args": [number], "kwargs": {"why": "x" * 100}, "options": {}} for number in range(20)]


def test_the_links_of_a_chain_are_handed_on_as_they_came():
    written = json.dumps(LINKS, indent=1)
    body = f'[[1], {{}}, {{"callbacks": null, "errbacks": [{{"task": "e"}}], "chain": {written}, "chord": {{"a": 1}}}}]'
    raw = wrap(None, body=base64.b64encode(body.encode()).decode())
    found = messages.decode(raw, accept=("json",))
    chain = found.embed["chain"]
    assert not isinstance(chain, list)
    assert (found.args, found.embed["errbacks"], found.embed["chord"]) == ([1], [{"task": "e"}], {"a": 1})
    assert list(chain) == LINKS
    assert chain[-1] == LINKS[-1]
    found.embed["chain"] = chain[:-1]
    again = messages.encode(found)
    assert json.dumps(LINKS[0], indent=1).replace("\n", "\n ").encode() in base64.b64decode(json.loads(again)["body"])
    assert list(messages.decode(again, accept=("json",)).embed["chain"]) == LINKS[:-1]


@pytest.mark.parametrize("serializer", ALL)
def test_links_are_written_by_any_serializer(serializer):
    found = messages.decode(wrap([[], {}, {"chain": LINKS}]), accept=ALL)
    again = messages.decode(messages.encode(found, serializer=serializer), accept=ALL)
    assert list(again.embed["chain"]) == LINKS
    found.args = [b"bytes"]
    if serializer == "json":
        again = messages.decode(messages.encode(found), accept=ALL)
        assert (again.args, list(again.embed["chain"])) == ([b"bytes"], LINKS)


def test_a_link_that_cannot_be_read_says_so_when_it_is_asked_for():
    nested = "x"
    for _ in range(250):
        nested = [nested]
    for bad, said in (nested, "nested more than 200"), (7, "item 0: expected an object; got int"):
        chain = messages.decode(wrap([[], {}, {"chain": [bad, *LINKS]}]), accept=ALL).embed["chain"]
        assert chain[-1] == LINKS[-1]
        with pytest.raises(DecodeError, match=said):
            chain[0]


def test_small_foreign_messages_are_read():
    found = messages.decode(wrap([[1], {}, None]), accept=("json",))
    assert (found.task, found.id, found.args) == ("t", "i", [1])
    assert found.embed == {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    old = messages.decode(wrap({"task": "t", "id": "i", "taskset": "g", "retries": None}, {}), accept=("json",))
    assert (old.protocol, old.args, old.headers["group"], old.headers["retries"]) == (1, (), "g", 0)
    group = {"__type__": "uuid", "__value__": {"hex": "12345678" * 4}}  # as kombu writes a UUID
    found = messages.decode(wrap([[], {}, {}], {"task": "t", "id": "i", "group": group}), accept=("json",))
    assert found.headers["group"] == "12345678-1234-5678-1234-567812345678"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_clear_error(raw):
    with pytest.raises((WireError, InvalidTaskError)):
        messages.decode(raw, accept=ALL[:2])


@pytest.mark.parametrize("cut", range(0, 600, 37))
def test_cut_messages_are_refused(cut):
    raw = json.loads((GOLDEN / "msg/chord3.json").read_text())["messages"][0]["raw"].encode()
    with pytest.raises(WireError):
        messages.decode(raw[:cut], accept=("json",))


def test_pickle_is_refused_unless_named():
    bomb = base64.b64encode(pickle.dumps([(), {}, {}])).decode()
    raw = wrap([], body=bomb, **{"content-type": "application/x-python-serialize"})
    with pytest.raises(ContentDisallowed, match="x-python-serialize"):
        messages.decode(raw, accept=("json", "msgpack"))
    assert messages.decode(raw, accept=("pickle",)).args == ()


def test_redelivered_marks_both_places_and_keeps_the_rest():
    raw = json.loads((GOLDEN / "msg/simple.json").read_text())["messages"][0]["raw"].encode()
    again = json.loads(redelivered(ENVELOPE, raw, canvas_delivery_count=2))
    assert again["headers"]["redelivered"] is again["properties"]["delivery_info"]["redelivered"] is True
    assert again["headers"]["canvas_delivery_count"] == 2
    assert again["body"] == json.loads(raw)["body"]
    assert redelivered(ENVELOPE, b"not json") == b"not json"


@pytest.mark.parametrize("name", ["gzip", "zlib", "bzip2", "lzma", "zstd", "brotli"])
def test_compression_both_ways_with_kombu(name):
    data = b"word " * 1000
    packed, kind = compression.compress(data, name)
    assert kombu.compression.decompress(packed, kind) == data
    theirs, their_kind = kombu.compression.compress(data, name)
    assert their_kind == kind
    assert compression.decompress(theirs, kind, max_bytes=len(data)) == data


@pytest.mark.parametrize("name", ["gzip", "bzip2", "lzma", "zstd", "brotli"])
def test_bombs_and_cut_data_are_refused(name):
    packed, kind = compression.compress(bytes(5_000_000), name)
    with pytest.raises(DecodeError, match="more than 100,000 bytes"):
        compression.decompress(packed, kind, max_bytes=100_000)
    small, kind = compression.compress(b"some data to be cut " * 20, name)
    with pytest.raises(DecodeError):
        compression.decompress(small[:-4], kind, max_bytes=10_000)
    with pytest.raises(DecodeError):
        compression.decompress(b"\x00garbage", kind, max_bytes=10_000)


def test_a_message_over_the_limit_is_refused_before_it_has_grown():
    body = zlib.compress(json.dumps([["x" * 1_000_000], {}, {}]).encode())
    headers = {"task": "t", "id": "i", "compression": "application/x-gzip"}
    raw = wrap([], headers, body=base64.b64encode(body).decode())
    with pytest.raises(DecodeError, match="more than 1,000 bytes"):
        messages.decode(raw, accept=("json",), max_bytes=1000)


def test_msgpack_has_no_other_types():
    assert codecs.decode(codecs.encode([1, b"x", "y"], "msgpack")[2], "application/x-msgpack", accept=("msgpack",)) == [
        1,
        b"x",
        "y",
    ]
    for value in ({1}, 2**70, object()):
        with pytest.raises(EncodeError):
            codecs.encode(value, "msgpack")
    with pytest.raises(DecodeError):
        codecs.decode(b"\xc1", "application/x-msgpack", accept=("msgpack",))


def test_bytes_that_are_not_text():
    assert codecs.decode("é".encode(), "text/plain", accept=()) == "é"
    with pytest.raises(DecodeError, match="not text in UTF-8"):
        codecs.decode(b"\x93", "text/plain", accept=())


def test_a_message_is_complete():
    plain = Message("t", "i", (1,), {}, headers={"task": "t", "id": "i"}, properties={"priority": 3})
    written = json.loads(messages.encode(plain))
    assert written["properties"].pop("delivery_tag")
    info = {"exchange": "", "routing_key": ""}
    assert written["properties"] == {"priority": 3, "body_encoding": "base64", "delivery_info": info}


def test_what_comes_again_is_written_once():
    written = []

    class Noted:
        def __json__(self):
            written.append(self)
            return {"n": len(written)}

    again, body = typed_json.MemoEncoder(operator.is_), {"args": [Noted()]}
    first = typed_json.dumps({"body": again.raw(body), "id": 1})
    assert (first, typed_json.dumps([again.raw(body)])) == (
        b'{"body":{"args":[{"n":1}]},"id":1}',
        b'[{"args":[{"n":1}]}]',
    )
    assert typed_json.dumps(again.raw({"args": [Noted()]})) == b'{"args":[{"n":2}]}'
    assert typed_json.dumps([again.raw({"x": "\ud800"}), "\ud800"]) == b'[{"x":"\\ud800"},"\\ud800"]'


def test_a_message_of_protocol_1_has_the_text_of_its_arguments():
    """``self.request.argsrepr`` of the task; the sender writes it in protocol 2 only."""
    body = {"task": "t", "id": "1", "args": [1, "x" * 5000], "kwargs": {"k": 2}}
    headers = message_of({}, body).headers
    assert headers["argsrepr"].startswith("[1, 'xxx")
    assert len(headers["argsrepr"]) < 1100
    assert headers["kwargsrepr"] == "{'k': 2}"
