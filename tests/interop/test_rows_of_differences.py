"""Rows of docs/explanation/differences.md about composing that no other test shows: what canvas does."""

import json

import pytest

from canvas import StampingVisitor, chain, chord, group
from canvas.errors import CycleError
from canvas.testing.contract import eventually
from tests.support.writer import Writer


@pytest.fixture(scope="module")
def own(pairs):
    return next(pair for pair in pairs if (pair.client, pair.worker) == ("canvas", "canvas"))


def test_one_chain_applied_twice_is_two_runs(own):
    whole = chain(own.s("ident", 1), own.s("add", 1))
    first, second = whole.apply_async(), whole.apply_async()
    assert first.id != second.id
    assert (first.parent.id != second.parent.id, first.get(timeout=20), second.get(timeout=20)) == (True, 2, 2)


def test_nested_groups_in_a_header_keep_their_order(own):
    one, two, three, four = (own.si("ident", number) for number in (1, 2, 3, 4))
    assert own.run(chord([group(one, group(two, three)), four], own.s("ident"))) == [1, 2, 3, 4]


def test_callbacks_and_errbacks_of_what_ends_in_a_group_are_added_to_the_members_own(own):
    w = Writer(own)
    members = group(w.step("a"), w.step("b"))
    members.tasks[0].link(w.step("own"))
    whole = chain(w.step("first"), members)
    whole.link(w.step("all"))
    whole.apply_async()
    assert (w.calls("all", at_least=6), w.calls("own")) == (2, 1)
    w = Writer(own)
    failing = group(w.step("bad", fails=True).on_error(w.errback("own")), w.step("good"))
    chain(w.step("first"), failing.set(link_error=[w.errback("all")])).apply_async()
    assert (w.calls("all", at_least=5), w.calls("own")) == (1, 1)


def test_a_signature_that_contains_itself_is_refused(own):
    whole = chain(own.s("ident", 1), own.s("ident"))
    whole.tasks[1].link(whole)
    for use in (whole.apply_async, whole.apply, whole.clone):
        with pytest.raises(CycleError):
            use()


def test_keyword_arguments_of_a_call_reach_the_header_of_a_chord_that_starts_a_chain(own):
    whole = chain(chord([own.s("rec", "one"), own.s("rec", "two")], own.s("ident")), own.s("ident"))
    found = whole.apply_async(kwargs={"k": 1}).get(timeout=20)
    assert found == [["one", [], {"k": 1}], ["two", [], {"k": 1}]]


def test_the_body_of_an_empty_header_in_a_chain_with_options_takes_the_empty_list(own):
    whole = chain(chord([], own.s("rec", "body")), own.s("ident"), queue="celery")
    assert own.run(whole) == [[], ["body"], {}]


def test_a_step_after_chunks_takes_the_list_of_their_lists(own):
    pieces = own.app.tasks["t.add"].chunks([(1, 1), (2, 2), (3, 3)], 2)
    assert own.run(chain(pieces, own.s("ident"))) == [[2, 4], [6]]
    assert own.run(pieces | own.s("ident")) == [[2, 4], [6]]


def test_stamps_stay_with_their_signature(own):
    one, two = own.s("ident", 1), own.s("ident", 2)
    one.stamp(first="1")
    two.stamp(second="2")
    assert (one.options["stamped_headers"], two.options["stamped_headers"]) == (["first"], ["second"])
    assert own.run(group(one, two)) == [1, 2]

    class ByTask(StampingVisitor):
        def on_signature(self, sig, **_):
            return {sig.task: "1"}

    both = group(own.s("ident", 1), own.s("add", 1, 1))
    both.stamp(ByTask())
    assert [member.options["stamped_headers"] for member in both.tasks] == [["t.ident"], ["t.add"]]
    assert own.run(both) == [1, 2]


def test_an_errback_that_is_a_chain_is_called_with_the_task_s_id(own):
    key = own.bench.new_key()
    errback = chain(own.s("errback_by_id", key), own.s("noted", key))
    result = own.s("fail").apply_async(link_error=errback)
    notes = eventually(lambda: (found := own.bench.ledgers.lrange(f"ledger:{key}", 0, -1))[1:] and found)
    assert notes == [result.id, "None"]


def test_the_parent_of_an_applied_chord_and_the_text_of_listed_arguments(pairs):
    found = {}
    for client in ("canvas", "celery"):
        pair = next(pair for pair in pairs if pair.client == client)
        applied = pair.lib.chord([pair.s("ident", 1)], pair.s("ident")).apply()
        pair.app.tasks["t.ident"].apply_async([1], queue="unread")
        (sent,) = pair.bench.broker.lrange("unread", 0, -1)
        pair.bench.broker.delete("unread")
        found[client] = type(applied.parent).__name__, json.loads(sent)["headers"]["argsrepr"]
    assert found == {"canvas": ("GroupResult", "(1,)"), "celery": ("NoneType", "[1]")}
