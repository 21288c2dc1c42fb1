"""Errbacks linked to each part of a workflow in which each task fails in turn: which tasks they are called for."""

import uuid

import pytest

from tests.support.random_workflows.observation import settled
from tests.support.writer import Writer

CHAIN, GROUP, CHORD = "chain", "group", "chord"
SHAPES = {
    "chord": (CHORD, "a", "b", "c"),
    "chord in a header": (CHORD, "a", (CHORD, "b", "c", "d"), "e"),
    "chord as a body": (CHORD, "a", (CHORD, "b", "c", "d")),
    "chord as a body of a body": (CHORD, "a", (CHORD, "b", (CHORD, "c", "d"))),
    "chord in a chain": (CHAIN, "a", (CHORD, "b", "c", "d"), "e"),
    "chord at the end of a body": (CHORD, "a", (CHAIN, "b", (CHORD, "c", "d"))),
    "chord at the start of a body": (CHORD, "a", (CHAIN, (CHORD, "b", "c"), "d")),
    "group as a body": (CHORD, "a", (GROUP, "b", "c")),
    "group in a chain": (CHAIN, "a", (GROUP, "b", "c"), "d"),
    "groups in a row": (CHAIN, (GROUP, "a", "b"), (GROUP, "c", "d")),
    "chain in a header and as a body": (CHORD, (CHAIN, "a", "b"), "c", (CHAIN, "d", "e")),
    "chord in a group as a body": (CHORD, "a", (GROUP, (CHORD, "b", "c"), "d")),
    "group in a header": (CHORD, (GROUP, "a", "b"), "c", "d"),
    "chains in a chain": (CHAIN, (CHAIN, "a", "b"), (CHAIN, "c", "d")),
    "chord in a header of a header": (CHORD, (CHORD, (CHORD, "a", "b"), "c"), "d"),
    "chord as a body in a header": (CHORD, "a", (CHORD, "b", (CHORD, "c", "d")), "e"),
    "chord that ends in a group": (CHAIN, "a", (CHORD, "b", (GROUP, "c", "d"))),
    "chain that ends in a group in a header": (CHORD, "a", (CHAIN, "b", (GROUP, "c", "d")), "e"),
}


def leaves(shape):
    return [shape] if isinstance(shape, str) else [leaf for part in shape[1:] for leaf in leaves(part)]


def places(shape, here=()):
    """The path to each part, which an errback can be linked to."""
    inner = [] if isinstance(shape, str) else enumerate(shape[1:])
    return [here, *(place for number, part in inner for place in places(part, (*here, number)))]


def write(w, shape, failing, linked, here=()):
    if isinstance(shape, str):
        sig = w.step(shape, fails=shape == failing)
    else:
        kind, *inner = shape
        parts = [write(w, part, failing, linked, (*here, number)) for number, part in enumerate(inner)]
        sig = w.lib.chord(parts[:-1], parts[-1]) if kind == CHORD else getattr(w.lib, kind)(*parts)
    if here == linked:
        sig.link_error(w.errback())
    return sig


def observed(pair, shape):
    """By failing task and place of the errback: the tasks that ran, those the errback was called for, and the states
    of the results."""
    sent = {}
    for failing in leaves(shape):
        for linked in places(shape):
            w = Writer(pair)
            sent[failing, linked] = w, write(w, shape, failing, linked).apply_async()
    settled(pair, uuid.uuid4().hex, 0)
    found = {}
    for case, (w, result) in sent.items():
        notes = settled(pair, w.run, 0)
        results = getattr(result, "results", None) or [result]
        names = {one.id: f"result {number}" for number, one in enumerate(results)}
        names |= {note["id"]: note["tag"] for note in notes if note["tag"] != "errback"}
        ran = sorted(note["tag"] for note in notes if note["tag"] != "errback")
        called = sorted(names.get(note["args"][0], "another") for note in notes if note["tag"] == "errback")
        found[case] = ran, called, [pair.app.AsyncResult(one.id).state for one in results]
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_place_and_every_failure(pairs, shape):
    """Where a workflow of Celery's ends, canvas calls the same errbacks; elsewhere it ends the workflow."""
    found = {(pair.client, pair.worker): observed(pair, SHAPES[shape]) for pair in pairs}
    ours = found["canvas", "canvas"]
    assert found["celery", "canvas"] == ours
    for case, (ran, called, states) in found["celery", "celery"].items():
        assert not {"PENDING", "STARTED", "RETRY"} & set(ours[case][2]), case
        if "PENDING" not in states:
            assert ours[case] == found["canvas", "celery"][case] == (ran, called, states), case
