"""Celery's JSON, beside kombu's own."""

import datetime
import decimal
import json
import math
import uuid
from collections import OrderedDict, namedtuple
from enum import IntEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.utils import json as kombu_json

from canvas.errors import DecodeError, EncodeError
from canvas.primitives.signature import signature
from canvas.wire import typed_json

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(timezones=st.sampled_from([None, datetime.UTC])),
    st.dates(),
    st.times(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)


@pytest.mark.random
@settings(max_examples=400, deadline=None)
@given(values)
def test_both_libraries_read_what_the_other_wrote(value):
    assert typed_json.loads(kombu_json.dumps(value)) == kombu_json.loads(kombu_json.dumps(value))
    assert kombu_json.loads(typed_json.dumps(value)) == kombu_json.loads(kombu_json.dumps(value))
    assert json.loads(typed_json.dumps(value)) == json.loads(kombu_json.dumps(value))


class Colour(IntEnum):
    RED = 1


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "value",
    [
        signature("t.add", (1, 2)), OrderedDict(a=1), Point(1, 2), Colour.RED, {1: "a", None: 2, True: 3, 1.5: 4},
        [math.inf, -math.inf], {"a": (1, (2,))}, "\ud800 lone", 2**80, {"__type__": "x", "__value__": 1, "more": 2},
    ],
    ids=repr,
)  # fmt: skip
def test_forms_equal_kombus(value):
    assert json.loads(typed_json.dumps(value)) == json.loads(kombu_json.dumps(value))


def test_nan_is_written_and_read():
    assert typed_json.dumps([math.nan]) == b"[NaN]"
    assert math.isnan(typed_json.loads(b"[NaN]")[0])


def test_an_object_may_say_its_own_form():
    class Money:
        def __json__(self):
            return {"amount": 1}

    assert typed_json.loads(typed_json.dumps([Money()])) == [{"amount": 1}]


@pytest.mark.parametrize(
    "value",
    [{1, 2}, datetime.timedelta(1), 1j, object(), range(3), {"a": [{3}]}],
    ids=["set", "timedelta", "complex", "object", "range", "nested set"],
)
def test_other_types_are_refused_by_name(value):
    with pytest.raises(EncodeError, match=r"set|timedelta|complex|object|range"):
        typed_json.dumps(value)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"nonsense", b"\xff\xfe", b'{"a": }', b'{"__type__": "what", "__value__": 1}', b'{"__type__": 1, "__value__": 1}',
     b'{"__type__": "uuid", "__value__": 3}', b'{"__type__": "decimal", "__value__": "x"}', b'{"__type__": "datetime", "__value__": 1}',
     b"[" * 300 + b"]" * 300, b'{"a":' * 5000],
    ids=lambda t: repr(t[:30]),
)  # fmt: skip
def test_bad_text_is_refused(text):
    with pytest.raises(DecodeError):
        typed_json.loads(text)


def test_depth_is_bounded_and_brackets_in_strings_do_not_count():
    assert typed_json.loads(b'["' + b"[" * 500 + b'\\""]') == ["[" * 500 + '"']
    with pytest.raises(DecodeError, match="more than 5 levels"):
        typed_json.loads(b"[" * 6 + b"]" * 6, max_depth=5)


def test_a_value_that_contains_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(EncodeError):
        typed_json.dumps(value)


def test_types_survive():
    value = [decimal.Decimal("1.10"), uuid.UUID(int=3), b"\xff", datetime.date(2026, 1, 2)]
    assert typed_json.loads(typed_json.dumps(value)) == value
