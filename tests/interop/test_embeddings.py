"""What a composite embeds is run to its end on every pairing: chords as bodies, errbacks, chunks, groups of nothing."""

import pytest

from tests.support.random_workflows.observation import settled
from tests.support.writer import Writer


@pytest.fixture
def writers(pairs):
    return {(pair.client, pair.worker): Writer(pair) for pair in pairs}


def ours(writers):
    """Those with which a part of canvas composes or executes."""
    return [writer for name, writer in writers.items() if name != ("celery", "celery")]


def chord_after_a_group(w):
    """A chord that ends in a group, and a chord after it."""
    first = w.lib.chord(w.failing_header(), w.lib.group(w.step("g"), w.step("h")))
    last = w.lib.chord([w.step("i")], w.step("body").on_error(w.errback()))
    return w.lib.group(w.lib.chain(first, last), w.step("beside"))


def chord_as_a_body(w):
    inner = w.lib.chord([w.step("i")], w.step("body"))
    return w.lib.chord(w.failing_header(), inner)


def test_a_chord_after_a_chord_that_ends_in_a_group_fails_with_its_header(writers):
    for w in ours(writers):
        assert w.state(chord_after_a_group(w).apply_async()[0]) == "FAILURE"
        assert w.calls(at_least=4 if w.pair.client == "canvas" else 3) == (w.pair.client == "canvas")


def test_a_chord_as_a_body_fails_with_the_header(writers):
    for w in ours(writers):
        result = chord_as_a_body(w).apply_async(link_error=w.errback())
        assert w.state(result) == "FAILURE"
        assert w.calls(at_least=3) == 1


@pytest.mark.parametrize("own", ["one", "several"])
def test_a_groups_own_errbacks_do_not_replace_its_chords(writers, own):
    for w in writers.values():
        mine = w.errback("own")
        body = w.lib.group(w.step("g", fails=True), w.step("h")).set(link_error=mine if own == "one" else [mine])
        w.lib.chord([w.step("a")], body).apply_async(link_error=w.errback())
        assert (w.calls("own", 5), w.calls()) == (1, 1)


def test_a_groups_own_errbacks_do_not_replace_its_members(writers):
    """A Celery client has them replaced."""
    for w in (writers["canvas", "canvas"], writers["canvas", "celery"]):
        member = w.step("g", fails=True).on_error(w.errback())
        body = w.lib.group(member, w.step("h")).set(link_error=w.errback("own"))
        w.lib.chain(w.step("a"), body).apply_async()
        assert (w.calls("own", 5), w.calls()) == (1, 1)


def nested_chord(w):
    return w.lib.chord([w.lib.chord(w.failing_header(), w.step("inner")), w.step("beside")], w.step("body"))


def nested_chord_in_a_chain(w):
    group = w.lib.group(w.failing_header())
    return w.lib.chord([w.lib.chain(w.step("first"), group, w.step("inner")), w.step("beside")], w.step("body"))


def nested_twice(w):
    return w.lib.chord([nested_chord(w), w.step("last")], w.step("outermost"))


@pytest.mark.parametrize("make", [nested_chord, nested_chord_in_a_chain, nested_twice])
def test_an_errback_is_called_once_for_one_failed_header(writers, make):
    for name in (("canvas", "canvas"), ("celery", "canvas")):
        w = writers[name]
        whole = make(w)
        whole.link_error(w.errback())
        assert w.state(whole.apply_async()) == "FAILURE"
        assert w.calls(at_least=len(settled(w.pair, w.run, 0))) == 1


def test_errbacks_of_their_own_are_called_for_each(writers):
    w = writers["canvas", "canvas"]
    inner = w.lib.chord(w.failing_header(), w.step("inner").on_error(w.errback("inner errback")))
    result = w.lib.chord([inner, w.step("beside")], w.step("body").on_error(w.errback())).apply_async()
    assert w.state(result) == "FAILURE"
    assert (w.calls("inner errback", 5), w.calls()) == (1, 1)


def with_chunks(w, place):
    chunks = w.pair.app.tasks["t.add"].chunks([(1, 2), (3, 4)], 1)
    five = w.pair.s("ident", 5)
    if place == "header":
        return w.lib.chord([chunks, five], w.pair.s("ident"))
    if place == "group":
        return w.lib.group(chunks, five)
    return w.lib.chain(five, chunks) if place == "last step" else w.lib.chord([five], chunks)


@pytest.mark.parametrize("place", ["header", "group", "last step", "body"])
def test_chunks_as_a_part_give_their_groups_result(writers, place):
    """In tuple form, as Celery's worker does, which starts them as a task."""
    for w in writers.values():
        value = w.pair.run(with_chunks(w, place))
        (group_id, parent), members = value[0] if place in ("header", "group") else value
        assert (isinstance(group_id, str), parent) == (True, None)
        assert [w.pair.app.AsyncResult(member[0][0]).get(timeout=20) for member in members] == [[3], [7]]


def test_chunks_alone_are_a_group(writers):
    for w in writers.values():
        assert w.pair.app.tasks["t.add"].chunks([(1, 2), (3, 4)], 1).apply_async().get(timeout=20) == [[3], [7]]


def test_an_immutable_chain_takes_the_keyword_arguments_of_its_call(writers):
    for w in writers.values():
        chain = w.lib.chain(w.pair.s("rec", "a"), w.pair.s("ident")).set(immutable=True)
        assert chain.apply_async((7,), {"k": 1}).get(timeout=20) == ["a", [], {"k": 1}]


def test_the_body_of_an_empty_header_is_one_of_its_group(writers):
    for w in writers.values():
        first, context = w.pair.s("ident", 1), w.pair.s("context")
        alone = w.lib.chord([], context, app=w.pair.app)
        after = w.lib.chain(first, w.lib.chord([], context, app=w.pair.app))
        of_a_chain = w.lib.chord([], w.lib.chain(w.pair.s("ident"), context), app=w.pair.app)
        for whole in (alone, after, of_a_chain):
            assert isinstance(w.pair.run(whole)["group"], str)
        members = w.lib.group(context, w.pair.s("ident", 2))
        mine = w.pair.run(w.lib.group(w.lib.chord([], context, app=w.pair.app), members))
        assert mine[0]["group"] is not None
