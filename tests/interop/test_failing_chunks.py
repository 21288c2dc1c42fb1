"""Chunks, maps and starmaps of which a call fails, wherever they stand: the four pairings come to the same."""

import pytest

from tests.interop.test_differential import compare
from tests.support.random_workflows.trees import Chain, Chord, Group, Leaf, Spread

KINDS = ["chunks", "map", "starmap"]


def failing(kind):
    return Spread(kind, 5, fails=True)


PLACES = {
    "alone": failing,
    "the first step": lambda kind: Chain([failing(kind), Leaf()]),
    "the last step": lambda kind: Chain([Leaf(), failing(kind)]),
    "a step before a group": lambda kind: Chain([Leaf(), failing(kind), Group([Leaf(), Leaf()])]),
    "a member of a group": lambda kind: Group([failing(kind), Leaf()]),
    "a member of a group before a step": lambda kind: Chain([Group([failing(kind), Leaf()]), Leaf()]),
    "a header": lambda kind: Chord([failing(kind)], Leaf(errback=True)),
    "beside others in a header": lambda kind: Chord([Leaf(), failing(kind), Spread(kind, 3)], Leaf(errback=True)),
    "in a chain in a header": lambda kind: Chord([Chain([Leaf(), failing(kind)]), Leaf()], Leaf(errback=True)),
    "a body": lambda kind: Chord([Leaf(), Leaf()], failing(kind)),
    "in a body": lambda kind: Chord([Leaf()], Chain([Leaf(), failing(kind), Leaf(errback=True)])),
}


FOLLOWED = {"the first step", "a step before a group", "in a body"}
"""Celery's client sends chunks that a step follows as one task, whose result, a GroupResult, cannot be sent."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_the_pairings_agree(pairs, place, kind):
    alike = [pair for pair in pairs if pair.client == "canvas" or kind != "chunks" or place not in FOLLOWED]
    compare(alike, PLACES[place](kind), {})


def test_chunks_that_a_step_follows_fail_visibly_for_a_client_of_celery(pairs):
    for pair in (pair for pair in pairs if pair.client == "celery"):
        item = pair.app.tasks["t.add"]
        whole = pair.lib.chain(item.chunks([(1, 1), (2, 2)], 1), pair.s("tsum").set(ignore_result=False))
        with pytest.raises(Exception, match=r"JSON|Object of type|serializable"):
            whole.apply_async().get(timeout=20)
