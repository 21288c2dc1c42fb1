"""Errbacks of workflows that end in a group, behind chords: one call for each member that fails."""

import pytest

from tests.support.writer import Writer


def ends(w, *before):
    """Chords, each the body of the one before it, and a group with a failing member as the last body."""
    body = w.lib.group(w.step("good"), w.step("bad", fails=True))
    for tag in reversed(before):
        body = w.lib.chord([w.step(tag)], body)
    return body


SHAPES = {
    "a chord in a chord": lambda w: ends(w, "a", "b"),
    "a chord in a chord in a chord": lambda w: ends(w, "a", "b", "c"),
    "a chain that ends in a chord": lambda w: w.lib.chord([w.step("a")], w.lib.chain(w.step("b"), ends(w, "c"))),
    "a chain that ends in the group": lambda w: w.lib.chord([w.step("a")], w.lib.chain(w.step("b"), ends(w))),
    "a chain in a group": lambda w: w.lib.chord([w.step("a")], w.lib.group(w.lib.chain(w.step("b"), ends(w)), w.step("c"))),
    "groups one after the other": lambda w: w.lib.chain(w.lib.group(w.step("a"), w.step("b")), w.lib.group(w.step("c"), w.step("d")), ends(w)),
}  # fmt: skip
LINKED = {
    "to the whole": lambda whole, errback: (whole.link_error(errback), whole.apply_async())[1],
    "in the call": lambda whole, errback: whole.apply_async(link_error=errback),
}
TWICE = {("celery", "groups one after the other")}
"""Celery's client links to each member of the last group twice."""


@pytest.mark.parametrize("shape", SHAPES)
def test_one_call_for_each_failed_member(pairs, shape):
    for pair in pairs:
        for linked, send in LINKED.items():
            w = Writer(pair)
            send(SHAPES[shape](w), w.errback())
            expected = 2 if (pair.client, shape) in TWICE else 1
            assert w.calls(at_least=5) == expected, (pair.client, pair.worker, linked)


def test_an_errback_of_one_member_is_not_the_others(pairs):
    for pair in pairs:
        w = Writer(pair)
        body = w.lib.group(w.step("bad", fails=True), w.step("good").on_error(w.errback("own")))
        whole = w.lib.chord([w.step("a")], w.lib.chord([w.step("b")], body))
        whole.apply_async(link_error=w.errback())
        assert (w.calls(at_least=5), w.calls("own")) == (1, 0), (pair.client, pair.worker)
