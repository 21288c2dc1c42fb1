"""Random workflows on all four pairings of canvas and real Celery: what ran, as whose child, with which end."""

import json
import operator
import uuid

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.support.random_workflows.celery_flaws import loses, repeats, waits_for_ignored, waits_for_nothing
from tests.support.random_workflows.drawing import calls, workflows
from tests.support.random_workflows.observation import Observation, agree, settled
from tests.support.random_workflows.trees import Chain, Chord, Group, Leaf, Spread, leaves, number
from tests.support.random_workflows.writing import write

pytestmark = pytest.mark.random


def compare(pairs, tree, call):
    number(tree)
    run = uuid.uuid4().hex
    results = [write(tree, pair, run).apply_async(**call) for pair in pairs]
    reference, at_least = None, 0
    for pair, result in zip(pairs, results, strict=True):
        notes = settled(pair, run, at_least)
        facts = Observation(pair, tree, result, notes).facts()
        if reference is None:
            reference, at_least = facts, len(notes)
            continue
        for kind, value in facts.items():
            same = agree if pair.worker == "celery" and kind == "records" else operator.eq
            assert same(reference[kind], value), (
                f"{pair.client} client, {pair.worker} worker: {kind} differ for {tree} called with {call}\n"
                f"  expected {json.dumps(reference[kind], default=str)}\n  found    {json.dumps(value, default=str)}"
            )


def differential(failing, examples, decorated=False, optioned=False):
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tree=workflows(failing, decorated, optioned), call=calls)
    def check(pairs, tree, call):
        assume(not loses(tree, call) and not waits_for_nothing(tree))
        assume(not waits_for_ignored(tree))
        compare(pairs, tree, call)

    return check


def closed():
    return Chain([Leaf(), Leaf()], immutable=True)


@pytest.mark.parametrize(
    "tree",
    [
        closed(),
        Group([closed(), Leaf()]),
        Chord([], closed()),
        Chord([], Group([closed(), Leaf()])),
        Chord([closed(), Leaf()], Leaf()),
    ],
    ids=["called", "member", "body", "in a body", "header"],
)
def test_only_the_chain_that_is_called_is_immutable(pairs, tree):
    """Groups and chords copy their members, and Celery's copies of chains lose the flag."""
    compare(pairs, tree, {"args": ["first"]})


@pytest.mark.timeout(300)
def test_workflows_that_succeed(pairs):
    differential(False, 60)(pairs)


@pytest.mark.timeout(300)
def test_workflows_that_fail(pairs):
    differential(True, 40)(pairs)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("failing", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_workflows_whose_composites_have_callbacks(pairs, failing):
    differential(failing, 15, decorated=True)(pairs)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("failing", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_workflows_whose_tasks_have_options(pairs, failing):
    differential(failing, 15, optioned=True)(pairs)


@pytest.mark.parametrize("kind", ["map", "starmap"])
def test_maps_of_nothing(pairs, kind):
    for pair in pairs:
        assert pair.run(write(Spread(kind, 0), pair, "nothing")) == []


def test_which_failure_a_nested_header_ends_with(pairs):
    """That of a group in it, though others come before."""
    first, inner, last = [Leaf(immutable=True, fails=True) for _ in range(3)]
    nested = Chord([], Group([inner, Leaf(immutable=True)]))
    tree = Chord([first, nested, last], Leaf(immutable=True))
    for _ in range(4):
        compare(pairs, tree, {})
        compare_eager(pairs, tree, {})


def test_groups_after_a_chord_of_nothing_run_once(pairs):
    """A Celery client sends the last group once for each member of the one before."""
    tree = Chain([Chord([], Group([])), Group([Leaf(), Leaf()]), Group([Leaf(), Leaf()])])
    for pair in pairs:
        number(tree)
        run = uuid.uuid4().hex
        write(tree, pair, run).apply_async()
        twice = pair.client == "celery"
        notes = [note["tag"] for note in settled(pair, run, 6 if twice else 4)]
        assert sorted(notes) == (["0", "1", "2", "2", "3", "3"] if twice else ["0", "1", "2", "3"])
    assert repeats(tree)


ALONE = [
    Group([Leaf()]),
    Group([Group([Chain([Leaf(), Leaf()])])]),
]


@pytest.mark.parametrize("body", ALONE, ids=["task", "chain"])
@pytest.mark.parametrize("header", [[], [Leaf(), Leaf()]], ids=["no header", "header"])
def test_what_follows_a_chord_that_ends_in_a_group_of_one(pairs, body, header):
    """It follows the one task, whose result stays that of a group."""
    chord, leaf = Chord(header, body), Leaf()
    after = [Chord([], leaf), Chord([leaf, leaf], body)]
    for tree in (
        Chain([chord, *after[:1]]),
        Chain([leaf, chord, *after, leaf]),
        Chord([Chain([chord, after[0]]), leaf], leaf),
    ):
        compare(pairs, tree, {"args": ["first"]})
        compare_eager(pairs, tree, {"args": ["first"]})


HEADLESS = [Chord([], Group([Leaf()])), Chord([], Group([Leaf(), Leaf()])), Chord([], Group([Chain([Leaf(), Leaf()])]))]


@pytest.mark.parametrize("member", HEADLESS, ids=["one task", "two tasks", "chain"])
def test_a_chord_without_a_header_that_ends_in_a_group(pairs, member):
    """Alone in a header, its group is the parent of the result, and not the header of nothing. Sent by a later step, it
    stays one member, with one value."""
    for tree in (
        Chord([member], Spread("map", 1)),
        Chord([member], Group([Leaf()])),
        Chord([], Chord([member], Leaf())),
        Chain([Leaf(), Chord([member], Chain([Leaf(), Leaf()]))]),
        Chain([Leaf(), Group([member, Leaf()]), Leaf()]),
        Chord([Leaf()], Chord([member, Leaf()], Leaf())),
        Chord([Leaf()], Group([member, Leaf()])),
        Chord([Chain([Leaf(), Chord([member, Leaf()], Leaf())]), Leaf()], Leaf()),
    ):
        compare(pairs, tree, {})
        compare_eager(pairs, tree, {})


@pytest.mark.parametrize("beside", [[], [Leaf()]], ids=["alone", "beside a task"])
def test_a_group_that_a_member_without_a_header_ends_in_is_one_child(pairs, beside):
    """A worker of Celery notes it twice, whoever sends it: by itself, and as or in the group around."""
    tree = Chain([Leaf(), Chord([HEADLESS[1], *beside], Leaf())])
    for pair in pairs:
        number(tree)
        run = uuid.uuid4().hex
        write(tree, pair, run).apply_async()
        ids = {note["tag"]: note["id"] for note in settled(pair, run, len(leaves(tree)))}
        noted = json.dumps(pair.record(ids["0"])["children"]).count(ids["1"])
        assert noted == (2 if pair.worker == "celery" else 1)


FAILING = [Leaf(), Leaf(fails=True, errback=True), Leaf(errback=True)]


@pytest.mark.parametrize("failing", [0, 1], ids=["at once", "later"])
def test_errbacks_of_steps_that_do_not_run_are_not_called(pairs, failing):
    """Also of those at the end of a chord that is a body itself."""
    group = Group([Leaf(), Leaf()])
    inner = Chord([Leaf(immutable=True)], Leaf(errback=True))
    compare(pairs, Chain([group, inner, *FAILING[1 - failing :], Leaf(errback=True)]), {})


FAILS = Leaf(immutable=True, fails=True)
LED = [Leaf(errback=True), Leaf()]


@pytest.mark.parametrize(
    "last",
    [
        Chord([FAILS], Chain(LED)),
        Chord([FAILS], Chain(LED), errback=True),
        Chord([FAILS], Chain([*LED, Group([*LED])])),
    ],
    ids=["chain", "errback of the chord", "ends in a group"],
)
def test_errbacks_of_a_body_that_is_a_chord_before_a_chain(pairs, last):
    """Celery calls none of the steps of the chain when the last header fails. Its workers take such a body of a client
    of canvas apart."""
    tree = Chain([Group([Leaf(immutable=True)] * 2), last])
    compare([pair for pair in pairs if pair.worker == "canvas"], tree, {})


def records(pair, tree):
    number(tree)
    run = uuid.uuid4().hex
    result = write(tree, pair, run).apply_async()
    notes = settled(pair, run, len(leaves(tree)))
    return Observation(pair, tree, result, notes).records


NOTHING = Group([])
ENDS_IN_NOTHING = [
    Chord([], NOTHING),
    Chord([Leaf(immutable=True)], NOTHING),
    Chain([Leaf(immutable=True), Chord([Leaf()], NOTHING)]),
    Chord([Chord([], NOTHING)], NOTHING),
]


@pytest.mark.parametrize("member", ENDS_IN_NOTHING, ids=str)
def test_a_header_whose_members_end_in_nothing(pairs, member):
    """Its body runs, where Celery's chord waits for ever."""
    for header in ([member], [member, Chord([], NOTHING)]):
        compare_eager(pairs, Chord(header, Leaf()), {})
        compare_eager(pairs, Chain([Leaf(), Chord(header, Leaf())]), {})
        ends = [records(pair, Chord(header, Leaf())) for pair in pairs if pair.client == "canvas"]
        assert ends[0] == ends[1]


def compare_eager(pairs, tree, call):
    number(tree)
    worker = next(pair for pair in pairs if (pair.client, pair.worker) == ("canvas", "canvas"))
    run, here = uuid.uuid4().hex, uuid.uuid4().hex
    result = write(tree, worker, run).apply_async(**call)
    values = Observation(worker, tree, result, settled(worker, run, 0))
    result = write(tree, worker, here).apply(**call)
    noted = [json.loads(note) for note in worker.bench.ledgers.lrange(f"ledger:{here}", 0, -1)]
    found = Observation(worker, tree, result, noted, eager=True)
    assert found.executions == values.executions, tree
    assert found.records == values.records, tree


def eager(failing, examples):
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tree=workflows(failing), call=calls)
    def check(pairs, tree, call):
        compare_eager(pairs, tree, call)

    return check


@pytest.mark.timeout(300)
@pytest.mark.parametrize("failing", [False, True])
def test_apply_does_what_a_worker_does(pairs, failing):
    eager(failing, 40)(pairs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("decorated", [False, True])
@pytest.mark.parametrize("failing", [False, True])
def test_thousands(pairs, failing, decorated):
    differential(failing, 2500, decorated, optioned=True)(pairs)
