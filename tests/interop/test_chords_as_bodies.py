"""Chords as bodies of chords, at any depth: where a header fails, the last result does, and its errback is called once."""

import uuid

import pytest

from tests.support.random_workflows.observation import settled
from tests.support.writer import Writer


def second_of_three(w):
    last = w.lib.chord([w.step("c"), w.step("d")], w.step("last"))
    return w.lib.chord([w.step("a"), w.step("b")], w.lib.chord(w.failing_header(), last)), 5


def last_of_three(w):
    middle = w.lib.chord([w.step("b")], w.lib.chord(w.failing_header(), w.step("last")))
    return w.lib.chord([w.step("a")], middle), 5


def third_of_four(w):
    third = w.lib.chord(w.failing_header(), w.lib.chord([w.step("d")], w.step("last")))
    return w.lib.chord([w.step("a")], w.lib.chord([w.step("b")], third)), 5


def in_a_chain_as_body(w):
    chord = w.lib.chord(w.failing_header(), w.lib.chord([w.step("c")], w.step("d")))
    return w.lib.chord([w.step("a")], w.lib.chain(w.step("b"), chord, w.step("last"))), 5


def groups_one_after_the_other(w):
    groups = [w.lib.group(w.step(tag), w.step(f"{tag}2")) for tag in "ab"]
    return w.lib.chain(w.step("first"), groups[0], w.lib.group(w.failing_header()), groups[1], w.step("last")), 6


def before_a_chain(w):
    return w.lib.chord(w.failing_header(), w.lib.chain(w.step("a"), w.step("last"))), 3


def before_a_chain_that_starts_with_a_chord(w):
    return w.lib.chord(w.failing_header(), w.lib.chain(w.lib.chord([w.step("a")], w.step("b")), w.step("last"))), 3


def before_a_chain_in_a_chord(w):
    return w.lib.chord([w.step("first")], before_a_chain(w)[0]), 4


SHAPES = [
    second_of_three, last_of_three, third_of_four, in_a_chain_as_body, groups_one_after_the_other, before_a_chain,
    before_a_chain_that_starts_with_a_chord, before_a_chain_in_a_chord,
]  # fmt: skip


@pytest.mark.parametrize("linked", ["in the call", "to the chord"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_failed_header_ends_the_last_result_and_calls_its_errback_once(pairs, shape, linked):
    for pair in pairs:
        if (pair.client, pair.worker) == ("celery", "celery"):
            continue  # leaves most of them PENDING
        w = Writer(pair)
        whole, notes = shape(w)
        if linked == "to the chord":
            whole.link_error(w.errback())
            result = whole.apply_async()
        else:
            result = whole.apply_async(link_error=w.errback())
        assert w.state(result) == "FAILURE", (pair.client, pair.worker)
        assert w.calls(at_least=notes) == 1, (pair.client, pair.worker)


def test_the_chain_in_a_group_that_is_a_body_calls_its_errback_for_a_failed_header(pairs):
    """Each member of the group does: a chain's own errbacks are those of its result."""
    for pair in pairs:
        w = Writer(pair)
        members = w.lib.group(w.lib.chain(w.step("a"), w.step("b")), w.step("c"))
        w.lib.chord(w.failing_header(), members).apply_async(link_error=w.errback())
        assert w.calls(at_least=4) == 2, (pair.client, pair.worker)


def test_errbacks_are_equal_whether_they_were_read_from_a_message(pairs):
    """A worker links those of a chain to each of its steps, which have them as lists from JSON."""
    pair = next(pair for pair in pairs if (pair.client, pair.worker) == ("canvas", "canvas"))
    w = Writer(pair)
    errback = pair.s("errback_by_id", key := uuid.uuid4().hex)
    last = w.lib.chord([w.step("b", fails=True)], w.step("last"))
    result = w.lib.chord([w.step("a")], last).apply_async(link_error=errback)
    assert w.state(result) == "FAILURE"
    settled(pair, w.run, 2)
    assert pair.bench.ledgers.llen(f"ledger:{key}") == 1


@pytest.mark.parametrize("client", ["canvas", "celery"])
def test_a_hundred_chords_in_each_other(pairs, client):
    """Each worker's step rebuilds all that is left: with work that grows with the square of the depth, or a call for
    each level of each signature, it would not come to an end."""
    pair = next(pair for pair in pairs if (pair.client, pair.worker) == (client, "canvas"))
    body = pair.s("ident")
    for _ in range(100):
        body = pair.lib.chord([pair.si("ident", 1)], body, app=pair.app)
    assert pair.run(body, timeout=60) == [1]
