"""An envelope is read in one step where it has the usual form; the general way gives the same for every other form."""

import json
import os
import random
from uuid import UUID

import pytest

from canvas.drivers.kombu_envelope import ENVELOPE, new_delivery_tag
from canvas.errors import DecodeError
from canvas.model.message import EncodedMessage

USUAL = {
    "body": "W1tdLCB7fSwge31d",
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {"id": "a", "task": "t", "n": 1.5, "deep": {"x": [1, None, "é"]}},
    "properties": {"body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "q"}, "priority": 0},
}
LONG = "W1tdLCB7fSwge31d" * 400
FORMS = {
    "usual": USUAL,
    "no encoding": {key: value for key, value in USUAL.items() if key != "content-encoding"},
    "encoding is null": {**USUAL, "content-encoding": None},
    "a field more": {**USUAL, "extra": [1]},
    "a type more": {**USUAL, "headers": {"when": {"__type__": "date", "__value__": "2026-01-01"}}},
    "body as text": {**USUAL, "body": "W10=", "properties": {"priority": 1}},
    "other body encoding": {**USUAL, "body": "W10=", "properties": {"body_encoding": "utf-8"}},
    "no headers": {**USUAL, "headers": None},
    "no number": {**USUAL, "headers": {"n": float("inf")}},
    "body is no base64": {**USUAL, "body": "W1t*"},
    "body is a number": {**USUAL, "body": 1},
    "headers are a list": {**USUAL, "headers": []},
    "no content type": {key: value for key, value in USUAL.items() if key != "content-type"},
    "content type is a number": {**USUAL, "content-type": 7},
    "a list": [1],
    "long": {**USUAL, "body": LONG},
    "long, with a type more": {
        **USUAL,
        "body": LONG,
        "headers": {"when": {"__type__": "date", "__value__": "2026-01-01"}},
    },
    "long, with a header named body": {**USUAL, "headers": {"body": LONG, "deep": [[[1]]]}},
    "long, with a text that ends alike": {**USUAL, "headers": {'"body': LONG, "deep": [[[1]]], '":body"': "x"}},
    "long, with brackets and quotes": {**USUAL, "body": '[{"' * 2_000, "properties": {"body_encoding": "utf-8"}},
    "long, and deep behind it": {"body": LONG, **USUAL, "headers": {"deep": json.loads("[" * 9 + "]" * 9)}},
    "long, and no text": {**USUAL, "body": [LONG]},
}


def outcome(read, payload: bytes, depth: int) -> EncodedMessage | str:
    try:
        return read(payload, depth)
    except DecodeError as exc:
        return f"DecodeError: {exc}"


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("depth", [2, 512])
@pytest.mark.parametrize("name", FORMS)
def test_every_form_reads_alike(name, depth, escaped):
    payload = json.dumps(FORMS[name], ensure_ascii=escaped).encode()
    assert outcome(ENVELOPE.decode, payload, depth) == outcome(ENVELOPE._decode_any, payload, depth)


@pytest.mark.parametrize("payload", [b"", b"{", b"null", b'{"body": "\xff"}', b"[" * 100_000])
def test_what_is_no_envelope_reads_alike(payload):
    assert outcome(ENVELOPE.decode, payload, 512) == outcome(ENVELOPE._decode_any, payload, 512)


def test_no_tag_repeats_when_a_task_seeds_pythons_random_numbers_or_forks():
    """A worker of Celery knows a message that it holds by its tag alone."""
    tags = []
    for _ in range(2):
        random.seed(42)
        tags.append(new_delivery_tag())
    tags += [_tag_of_a_forked_process() for _ in range(4)]
    tags.append(new_delivery_tag())
    assert len({UUID(tag, version=4) for tag in tags}) == len(tags) == 7


def _tag_of_a_forked_process():
    # multiprocessing would call kombu's cleanup, which waits for the answer to another test's BRPOP.
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, new_delivery_tag().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        tag = stream.read()
    os.waitpid(child, 0)
    return tag
