"""What a running task sees and does, and what its callers learn of it, on every pairing."""

import uuid

import pytest

from tests.support.random_workflows.observation import settled


def test_states_of_its_own(pair):
    key = pair.bench.new_key()
    assert pair.run(pair.s("progress", key)) == "done"
    assert pair.bench.ledger(key, 1) == ["PROGRESS"]


def test_options_reach_the_task(pair):
    sig = pair.s("options").set(priority=3, shadow="other", headers={"mine": "yes"}, time_limit=50, soft_time_limit=40)
    found = sig.apply_async(expires=600).get(timeout=30)
    assert found["priority"] == 3
    assert found["shadow"] == "other"
    assert found["mine"] == "yes"
    assert found["timelimit"] == [50, 40]
    assert found["expires"] is not None


def test_collect_and_graph(pair):
    result = (pair.s("add", 1, 1) | pair.s("add", 2) | pair.s("add", 3)).apply_async()
    result.get(timeout=30)
    assert [value for _, value in result.parent.parent.collect()] == [2, 4, 7]
    assert len(list(result.parent.parent.graph)) == 3


def test_a_groups_results(pair):
    result = pair.lib.group(pair.s("add", n, n) for n in range(4)).apply_async()
    assert result.get(timeout=30) == [0, 2, 4, 6]
    assert (result.successful(), result.completed_count(), len(result.children)) == (True, 4, 4)
    result.save()
    assert pair.app.GroupResult.restore(result.id).get(timeout=30) == [0, 2, 4, 6]


def test_retries_inside_a_header(pair):
    header = [pair.s("flaky", 2), pair.s("ident", 5)]
    assert pair.run(pair.lib.chord(header, pair.s("ident"))) == [2, 5]


def test_rejecting_fails_the_chord(pair):
    key = pair.bench.new_key()
    body = pair.s("ident").on_error(pair.s("errback_by_id", key))
    result = pair.lib.chord([pair.s("rejected"), pair.s("ident", 2)], body).apply_async()
    assert pair.bench.wait_state(pair.app, result.id) == "FAILURE"
    assert pair.bench.ledger(key, 1) == [result.id]


def test_errbacks_on_the_header_by_setting(pair):
    pair.app.conf.task_allow_error_cb_on_chord_header = True
    try:
        key = pair.bench.new_key()
        chord = pair.lib.chord([pair.s("fail"), pair.s("fail"), pair.s("ident", 1)], pair.s("ident"))
        chord.link_error(pair.s("errback_by_id", key))
        chord.apply_async()
        assert len(set(pair.bench.ledger(key, 3))) == 3
    finally:
        pair.app.conf.task_allow_error_cb_on_chord_header = False


def test_links_of_chords_and_groups(pair):
    of_chord, of_group = pair.bench.new_key(), pair.bench.new_key()
    chord = pair.lib.chord([pair.s("ident", 1)], pair.s("ident"))
    chord.link(pair.s("noted", of_chord))
    assert pair.run(chord) == [1]
    assert pair.bench.ledger(of_chord, 1) == ["[1]"]
    group = pair.lib.group(pair.s("ident", 1), pair.s("ident", 2))
    group.link(pair.s("noted", "after the first", of_group))
    group.apply_async()
    assert pair.bench.ledger(of_group, 1) == ["'after the first'"]


def test_tasks_that_tasks_send_are_their_children(pair):
    result = pair.s("sends", 3).apply_async()
    assert result.get(timeout=30) == "sent"
    child = result.children[0]
    found = child.get(timeout=30)
    assert (found["parent_id"], found["root_id"]) == (result.id, result.id)


def test_priorities_are_inherited_only_by_setting(pair):
    chain = pair.s("priority") | pair.s("priority")
    result = chain.apply_async(priority=6)
    assert result.get(timeout=30) == 0
    assert result.parent.get(timeout=30) == 6


@pytest.mark.parametrize("kind", ["group", "chord", "chain"])
def test_partial_arguments_reach_the_first_tasks(pair, kind):
    lib = pair.lib
    flow = {
        "group": lambda: lib.group(pair.s("rec", "a"), pair.s("rec", "b")),
        "chord": lambda: lib.chord([pair.s("rec", "a"), pair.s("rec", "b")], pair.s("ident")),
        "chain": lambda: lib.group(pair.s("rec", "a"), pair.s("rec", "b")) | pair.s("ident"),
    }[kind]()
    expected = [[7, ["a"], {"k": 1}], [7, ["b"], {"k": 1}]]
    assert flow.apply_async((7,), {"k": 1}).get(timeout=30) == expected


def test_nothing_is_left_over(pairs):
    """After all of it: no chord's keys but those that expire, no messages, no leases."""
    for pair in pairs:
        settled(pair, uuid.uuid4().hex, 0)
        assert all(pair.bench.results.ttl(key) > 0 for key in pair.bench.results.keys("celery-taskset-meta-*"))


def test_a_handle_that_a_task_returns_is_told_in_tuple_form(pair):
    (task_id, parent), children = pair.run(pair.s("sends_one", 3))
    assert pair.app.AsyncResult(task_id).get(timeout=30) == 3
    assert (parent, children) == (None, None)
    ((first, _),) = pair.run(pair.lib.chord([pair.s("sends_one", 1)], pair.s("ident")))
    assert pair.app.AsyncResult(first[0]).get(timeout=30) == 1


def test_chunks_may_be_followed_or_follow(pair):
    chunks = pair.app.tasks["t.add"].chunks([(1, 1), (2, 2), (3, 3)], 2)
    if pair.client == "canvas":
        assert pair.run(pair.lib.chain(chunks, pair.s("ident"))) == [[2, 4], [6]]
        assert pair.run(pair.s("ident", 0) | chunks | pair.s("ident")) == [[2, 4], [6]]
    (group_id, _), members = pair.run(pair.lib.chain(pair.s("ident", 0), chunks))
    assert group_id
    assert [pair.app.AsyncResult(member[0][0]).get(timeout=30) for member in members] == [[2, 4], [6]]
