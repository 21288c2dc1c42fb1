"""How deeply data may be nested in messages, which what follows a task does not count against."""

import json
import sys
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas import Canvas, chain, chord, group
from canvas.errors import DecodeError, EncodeError
from canvas.model.record import Record
from canvas.wire import typed_json
from canvas.wire.depth import MAX_NESTING, check_depth, opens_more
from tests.support import messages

TEXTS = st.lists(st.sampled_from('[]{}"\\a,'), max_size=40).map("".join)
VALUES = st.recursive(
    st.one_of(st.integers(0, 9), TEXTS),
    lambda inner: st.one_of(st.just([]), st.lists(inner, min_size=3, max_size=4), st.dictionaries(TEXTS, inner)),
    max_leaves=30,
)


def make(limit=200):
    app = Canvas("depth", broker="memory://depth", backend="memory://depth", set_as_current=False)
    app.conf.task_message_max_depth = limit

    @app.task(name="t")
    def t(*args): ...

    return app


def nested(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    return value


def linked(s, count, name="link"):
    sig = s()
    for _ in range(count):
        before = s()
        getattr(before, name)(sig)
        sig = before
    return sig


def bodies(s, count):
    body = s()
    for _ in range(count):
        body = chord([s(), s()], body)
    return body


def headers(s, count):
    sig = s()
    for _ in range(count):
        sig = chord([sig, s()], s())
    return sig


FOLLOWING = {
    "links": lambda s: linked(s, 120),
    "errbacks": lambda s: linked(s, 120, "link_error"),
    "a chain": lambda s: chain(s() for _ in range(300)),
    "bodies": lambda s: bodies(s, 40),
    "headers": lambda s: headers(s, 40),
    "headers of a later step": lambda s: s() | headers(s, 40),
    "groups in chains": lambda s: chain(s(), group(linked(s, 50), linked(s, 50)), s()),
}


def depth_of(value):
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


@settings(max_examples=40)
@given(VALUES, st.integers(0, 12))
def test_brackets_in_strings_do_not_count(value, around):
    raw = json.dumps([[value], 0] if around % 2 else value).encode()
    depth = depth_of(value) + 2 * (around % 2)
    check_depth(raw, depth + around, around=around)
    if depth:
        with pytest.raises(DecodeError, match="levels"):
            check_depth(raw, depth + around - 1, around=around)


def test_wide_data_is_counted_without_a_copy_of_each_string():
    raw = json.dumps([{"name": f"user {number}", "mail": "a@b.c"} for number in range(2_000)]).encode()
    tracemalloc.start()
    try:
        check_depth(raw, 200)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(raw)
    finally:
        tracemalloc.stop()


def read(payload, limit=200):
    """The message, and all that follows its task."""
    message = messages.decode(payload, accept=["json"], max_depth=limit)
    return message, list(message.embed["chain"] or ())


def sent(app, sig):
    return [out.publish.payload for out in app.sender.encode(app.plan(sig))[0]]


@pytest.mark.parametrize("limit", [200, 10])
@pytest.mark.parametrize("name", FOLLOWING)
def test_what_follows_a_task_does_not_count(name, limit):
    app = make(limit)
    for payload in sent(app, FOLLOWING[name](app.tasks["t"].s)):
        message, steps = read(payload, limit)
        assert {message.task, *(step["task"] for step in steps)} <= {"t", "celery.chord", "celery.group"}


PLACES = {
    "argument": lambda s, value: s(value),
    "callback's argument": lambda s, value: linked(s, 3) | s().set(link=[s(value)]),
    "last link's argument": lambda s, value: chain(s() for _ in range(60)) | s(value),
    "body's argument": lambda s, value: chord([s()], s(value)),
    "argument behind many links": lambda s, value: s().set(link=[linked(s, 100).set(link=[s(value)])]),
}


@pytest.mark.parametrize("name", PLACES)
def test_data_counts_wherever_it_is(name):
    """What is sent can be read, and what cannot be read is not sent."""
    app, limit = make(), 200
    s = app.tasks["t"].s
    for payload in sent(app, PLACES[name](s, nested(limit - 5))):
        assert read(payload)[0].task == "t"
    with pytest.raises(EncodeError, match="task_message_max_depth"):
        sent(app, PLACES[name](s, nested(limit + 1)))


@pytest.mark.parametrize("name", ["argument", "last link's argument", "argument behind many links"])
def test_deeper_data_of_others_is_refused(name):
    generous = make(500)
    payload = sent(generous, PLACES[name](generous.tasks["t"].s, nested(300)))[0]
    with pytest.raises(DecodeError, match="more than 200 levels deep"):
        read(payload)


def hostile():
    sig = json.dumps({"task": "t", "args": [], "kwargs": {}, "options": {"link": ["@"]}})
    before, after = sig.split('"@"')
    yield before * 100_000 + "0" + after * 100_000
    yield '[["a",' * 100_000 + "null" + "],null]" * 100_000
    yield "[" * 1_000_000
    yield '{"a":' * 1_000_000
    yield before * 100_000


@pytest.mark.parametrize("text", [*hostile()], ids=["signatures", "results", "arrays", "objects", "unfinished"])
def test_brackets_are_bounded_whatever_they_are(text):
    with pytest.raises(DecodeError, match=f"at most {MAX_NESTING}"):
        typed_json.loads(text)


@pytest.mark.parametrize("size", [4_000, 5_000, 2**20 + 1])
@pytest.mark.parametrize("order", [b"[{", b"{["])
def test_brackets_are_counted_in_texts_of_all_sizes(size, order):
    text = (order[:1] * 300 + order[1:] * 200).ljust(size, b"x")
    assert [opens_more(text, limit) for limit in (0, 299, 300, 499, 500, 501)] == [True] * 4 + [False] * 2


def test_long_texts_are_not_counted_byte_by_byte():
    """bytes.count takes a millisecond for a megabyte, and bytes.find some microseconds."""
    called = []
    sys.setprofile(lambda frame, event, function: called.append(getattr(function, "__name__", "")))
    try:
        for size in (5_000, 2**20 + 1):
            opens_more(b"x" * size, 200)
    finally:
        sys.setprofile(None)
    assert "count" not in called and "find" in called


def test_results_with_long_lines_of_parents_are_stored():
    """A task that sends a long chain has it among its children."""
    app = make()
    result = chain(app.tasks["t"].s() for _ in range(150)).apply_async()
    saved = app.GroupResult("g", [result], parent=result)
    saved.save()
    assert app.GroupResult.restore("g").as_tuple() == saved.as_tuple()
    record = Record("sender", "SUCCESS", None, children=[result.as_tuple()])
    app.driver.results.store([app.backend.store_of(record, False)])
    assert app.AsyncResult("sender").children[0].as_tuple() == result.as_tuple()
