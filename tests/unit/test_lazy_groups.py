"""Groups and chords of what an iterator gives: read on demand, sent in slices."""

import asyncio
import json
import pickle
from copy import deepcopy
from datetime import timedelta

import pytest

from canvas import Canvas, chain, chord, group
from canvas.errors import CompositionError
from canvas.graph import stream
from canvas.graph.stream import SLICE
from canvas.primitives.lazy_list import LazyList
from canvas.wire import typed_json

MANY = 3 * SLICE + 7


@pytest.fixture(autouse=True)
def _a_busy_machine_makes_no_iterator_slow(monkeypatch):
    monkeypatch.setattr(stream, "READ_WITHIN", 60.0)


@pytest.fixture
def app():
    return Canvas("lazy", broker="memory://lazy", backend="memory://lazy", set_as_current=False)


class Source:
    """Signatures, and how many of them were read."""

    def __init__(self, app, count=MANY, make=None):
        @app.task(name="t")
        def t(*args, **kwargs): ...

        self.read, self.s = 0, t.s
        self.items = self._items(count, make or (t.s))

    def _items(self, count, make):
        for n in range(count):
            self.read += 1
            yield make(n)


USES_WITHOUT_READING = {
    "group": lambda items, s: group(items),
    "copy": lambda items, s: group(items).clone(),
    "group of a group": lambda items, s: group(group(items)),
    "chord": lambda items, s: chord(items, s()),
    "chord of a group": lambda items, s: chord(group(items), s()),
    "pipe": lambda items, s: group(items) | s(),
    "chain": lambda items, s: chain(group(items), s()),
    "longer pipe": lambda items, s: group(items) | s() | s(),
    "chain after it": lambda items, s: group(items) | chain(s(), s()),
}


@pytest.mark.parametrize("use", USES_WITHOUT_READING.values(), ids=USES_WITHOUT_READING)
def test_composing_reads_no_more_than_two(app, use):
    source = Source(app)
    made = use(source.items, source.s)
    assert made.app is app
    assert source.read <= 2
    assert len(made.tasks if hasattr(made, "tasks") else made) == MANY


@pytest.mark.parametrize("use", USES_WITHOUT_READING.values(), ids=USES_WITHOUT_READING)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_it_is_sent_in_slices(app, use, asynchronous, monkeypatch):
    source = Source(app)
    read = []
    encode = app.sender.encode
    monkeypatch.setattr(
        app.sender, "encode", lambda plan, *a: (read.append((source.read, len(plan.calls))), encode(plan, *a))[1]
    )
    made = use(source.items, source.s)
    result = asyncio.run(made.aapply_async()) if asynchronous else made.apply_async()
    assert read[0][0] <= 2 * SLICE + 2
    assert [count for _, count in read] == [SLICE] * 3 + [7]
    members = result if not hasattr(result, "parent") or result.parent is None else result.parent
    while not hasattr(members, "results"):
        members = members.parent
    assert len(members) == MANY
    assert len({member.id for member in members}) == MANY


def messages_of(plan):
    return [
        (one.task, one.args, one.options.get("group_index"), one.options.get("chord") is not None) for one in plan.calls
    ]


def test_the_messages_are_those_of_a_list(app):
    def make(n):
        source = plain.s
        shapes = (
            source(n),
            source(n) | source("end"),
            chord([source(n)], source("body")),
            group(source(n), source("m")),
        )
        return shapes[n % 4]

    plain = Source(app, 0)
    count = SLICE + 50
    for whole in (
        group,
        lambda items: chord(items, plain.s()),
        lambda items: chord(items, plain.s() | plain.s()),
    ):
        lazy = whole(Source(app, count, make).items).clone()
        slices = list(app.sender.slices(lazy, (1,), {"k": 2}, {"priority": 3}))
        listed = app.plan(whole([make(n) for n in range(count)]), (1,), {"k": 2}, {"priority": 3})
        found = [
            message
            for plan in slices
            for message in zip(messages_of(plan), [d.kwargs for d in plan.calls], strict=True)
        ]
        expected = list(zip(messages_of(listed), [d.kwargs for d in listed.calls], strict=True))
        key = lambda one: json.dumps(one, default=str)  # noqa: E731
        assert sorted(found, key=key) == sorted(expected, key=key)
        assert [barrier.size for plan in slices for barrier in plan.chords][-1:] == [b.size for b in listed.chords][-1:]
        bodies = {
            json.dumps(d.options["chord"], default=str) for plan in slices for d in plan.calls if d.options.get("chord")
        }
        groups = {d.options["group_id"] for plan in slices for d in plan.calls if "group_id" in d.options}
        assert slices[-1].result is not None
        assert len(slices) == 2
        if lazy.subtask_type == "chord":
            assert len(bodies) == 1 + count // 4 + (count % 4 > 2)
            assert slices[-1].chords[-1].group_id in groups


def test_few_are_sent_at_once(app, monkeypatch):
    source = Source(app, 5)
    plans = []
    encode = app.sender.encode
    monkeypatch.setattr(app.sender, "encode", lambda plan, *a: (plans.append(plan), encode(plan, *a))[1])
    assert len(group(source.items).apply_async()) == 5
    assert [len(plan.calls) for plan in plans] == [5]


def test_it_can_be_sent_again(app):
    source = Source(app)
    whole = group(source.items)
    first, second = whole.apply_async(), whole.apply_async()
    assert (len(first), len(second)) == (MANY, MANY)
    assert not {one.id for one in first} & {one.id for one in second}


def test_what_is_no_signature_is_named_when_it_is_read(app):
    source = Source(app, 3, lambda n: n)
    with pytest.raises(CompositionError, match="member 0 is 0; did you call the task"):
        group(source.items).apply_async()


def test_an_error_of_the_iterator_is_the_callers(app):
    def broken():
        yield Source(app).s(1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        group(broken()).apply_async()


def test_a_chord_needs_its_body_before_anything_is_sent(app):
    source = Source(app)
    with pytest.raises(CompositionError, match="a chord needs a body"):
        chord(source.items).apply_async()
    without = Canvas("nowhere", broker="memory://lazy", set_as_current=False)
    other = Source(without)
    with pytest.raises(Exception, match="a chord needs a result backend"):
        chord(other.items, other.s(), app=without).apply_async()


def test_a_header_that_ends_in_nothing_still_runs_its_body(app):
    source = Source(app, MANY, lambda n: group())
    *_, last = app.sender.slices(chord(source.items, source.s()), (), {}, {})
    assert (last.chords[0].size, [one.task for one in last.calls]) == (1, ["celery.accumulate"])


LISTS = {
    "len": len, "bool": bool, "repr": repr, "list": list, "tuple": tuple, "reversed": lambda x: list(reversed(x)),
    "slice": lambda x: x[1:3], "last": lambda x: x[-1], "in": lambda x: 2 in x, "plus": lambda x: x.__add__([9]),
    "equal": lambda x: x == [0, 1, 2, 3], "unpacked": lambda x: [*x], "json": json.dumps, "wire": typed_json.dumps,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)), "deepcopy": lambda x: list(deepcopy(x)), "index": lambda x: x.index(2),
    "append": lambda x: (x.append(5), list(x))[1], "pop": lambda x: (x.pop(), list(x))[1], "sorted": sorted,
    "sum": sum,
}  # fmt: skip


@pytest.mark.parametrize("use", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("read", [0, 2, 4])
def test_a_lazy_list_is_a_list(use, read):
    lazy = LazyList((n for n in range(4)), int)
    lazy.at_least(read)
    assert use(lazy) == use([0, 1, 2, 3])


def test_a_lazy_list_reads_no_more_than_is_asked_for():
    source = iter(range(100))
    lazy = LazyList(source, int)
    assert (bool(lazy), lazy[3], next(iter(lazy))) == (True, 3, 0)
    copy = lazy.fork(lambda n: n * 10)
    assert next(source) == 4
    assert (copy[0], copy[4], lazy[4]) == (0, 50, 5)


@pytest.mark.parametrize("late", [0, SLICE + 1, MANY - 1])
@pytest.mark.parametrize("how", ["countdown", "eta"])
def test_a_chord_lives_until_its_latest_member_has_run(app, late, how):
    """In whichever slice that is."""
    hour = 3600
    when = {"countdown": hour} if how == "countdown" else {"eta": app.now() + timedelta(seconds=hour)}
    source = Source(app)
    source.items = source._items(MANY, lambda n: source.s(n).set(**when) if n == late else source.s(n))
    plans = app.sender.slices(chord(source.items, source.s()), (), {}, {})
    joins = [join for plan in plans for join in app.sender.encode(plan)[1]]
    assert [hour - 60 < join.expires - app.backend.chord_lives <= hour for join in joins] == [True]
