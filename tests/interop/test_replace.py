"""``self.replace`` and ``self.add_to_chord``: another signature in a running task's place, or beside it."""

import pytest


def test_replaced_by_a_task(pair):
    result = pair.s("swap", pair.s("context")).apply_async()
    found = result.get(timeout=30)
    assert (found["id"], found["root_id"], found["parent_id"]) == (result.id, result.id, result.id)
    assert found["replaced_task_nesting"] == 1


def test_replaced_by_a_chain(pair):
    assert pair.run(pair.s("swap", pair.s("add", 1, 2) | pair.s("mul", 10))) == 30


def test_replaced_by_a_group(pair):
    members = pair.lib.group(pair.s("add", 1, 1), pair.s("add", 2, 2))
    assert pair.run(pair.s("swap", members)) == [2, 4]


def test_replaced_by_a_chain_that_ends_in_a_group(pair):
    chain = pair.s("ident", 5) | pair.lib.group(pair.s("add", 1), pair.s("add", 2))
    assert pair.run(pair.s("swap", chain)) == [6, 7]


def test_replaced_by_a_chord(pair):
    chord = pair.lib.chord([pair.s("add", 1, 1), pair.s("add", 2, 2)], pair.s("tsum"))
    assert pair.run(pair.s("swap", chord)) == 6


def test_replaced_twice(pair):
    assert pair.run(pair.s("swap_again", pair.s("add", 1, 2))) == 3
    nested = pair.run(pair.s("swap_again", pair.s("context")))
    assert nested["replaced_task_nesting"] == 2


@pytest.mark.parametrize("kind", ["task", "chain", "group", "chord", "chord of a group"])
def test_replaced_inside_a_chain(pair, kind):
    lib = pair.lib
    by = {
        "task": lambda: pair.s("add", 5),
        "chain": lambda: pair.s("add", 2) | pair.s("add", 3),
        "group": lambda: lib.group(pair.s("add", 2), pair.s("add", 1)),
        "chord": lambda: lib.chord([pair.s("add", 1), pair.s("add", 2)], pair.s("tsum")),
        "chord of a group": lambda: lib.chord([pair.si("add", 0, 1)], lib.group(pair.si("add", 0, 7), pair.s("tsum"))),
    }[kind]()
    flow = pair.s("ident", 1) | pair.s("swap", by) | pair.s("rec") | pair.s("ident")
    value = {"task": 6, "chain": 6, "group": [3, 2], "chord": 5, "chord of a group": [7, 1]}[kind]
    result = flow.apply_async()
    assert result.get(timeout=30) == [value, [], {}]
    if kind != "chord of a group" or pair.worker == "canvas":  # Celery's stores that one under no id of the chain's
        assert result.parent.parent.get(timeout=30) == value


@pytest.mark.parametrize("kind", ["task", "chain", "group", "chord"])
def test_replaced_inside_a_header(pair, kind):
    lib = pair.lib
    by = {
        "task": lambda: pair.s("add", 1, 2),
        "chain": lambda: pair.s("add", 1, 2) | pair.s("add", 3),
        "group": lambda: lib.group(pair.s("ident", 0), pair.s("ident", 2)),
        "chord": lambda: lib.chord([pair.s("add", 1, 1), pair.s("add", 2, 2)], pair.s("tsum")),
    }[kind]()
    value = {"task": 3, "chain": 6, "group": [0, 2], "chord": 6}[kind]
    flow = lib.chord([pair.s("swap", by), pair.s("ident", 5)], pair.s("ident"))
    assert pair.run(flow) == [value, 5]


def test_replaced_inside_a_body(pair):
    body = pair.s("swap", pair.s("tsum")) | pair.s("add", 1)
    assert pair.run(pair.lib.chord([pair.s("ident", 2), pair.s("ident", 3)], body)) == 6


def test_links_and_errbacks_move_to_the_replacement(pair):
    key = pair.bench.new_key()
    ok = pair.s("swap", pair.s("add", 1, 2))
    ok.link(pair.s("noted", key))
    assert pair.run(ok) == 3
    assert pair.bench.ledger(key, 1) == ["3"]
    key = pair.bench.new_key()
    result = pair.s("swap", pair.s("fail")).on_error(pair.s("errback_by_id", key)).apply_async()
    with pytest.raises(ValueError, match="boom"):
        result.get(timeout=30)
    assert pair.bench.ledger(key, 1) == [result.id]


def test_what_it_refuses_is_the_tasks_failure(pair):
    result = pair.s("swap", {**pair.lib.chain(pair.s("ident", 1)), "kwargs": {"tasks": []}}).apply_async()
    assert pair.bench.wait_state(pair.app, result.id) == "FAILURE"


def test_a_header_task_adds_to_its_chord(pair):
    header = [pair.s("grow", 1, pair.s("ident", 10), pair.s("add", 50, 50)), pair.s("ident", 2)]
    assert sorted(pair.run(pair.lib.chord(header, pair.s("ident")))) == [1, 2, 10, 100]


def test_added_chains_count_by_their_end(pair):
    header = [pair.s("grow", 1, pair.s("ident", 10) | pair.s("add", 5)), pair.s("ident", 2)]
    assert sorted(pair.run(pair.lib.chord(header, pair.s("ident")))) == [1, 2, 15]


def test_adding_outside_a_chord_is_an_error(pair):
    with pytest.raises(ValueError, match="chord"):
        pair.run(pair.s("grow", 1, pair.s("ident", 10)))
