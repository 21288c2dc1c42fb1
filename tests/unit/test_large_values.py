"""A large value on its way from a task to the next: copied a fixed number of times, whatever its size."""

import tracemalloc

import pytest

from canvas import chain
from canvas.drivers.ports.values import Lease
from tests.support.apps import make
from tests.support.counting import Steps

app = make("canvas", "redis://127.0.0.1:1/0", "redis://127.0.0.1:1/1")
ident = app.tasks["t.ident"]


def peak(call):
    """The most bytes that a call has allocated at one moment, and its value."""
    tracemalloc.start()
    try:
        value = call()
        return tracemalloc.get_traced_memory()[1], value
    finally:
        tracemalloc.stop()


def copies(size):
    """How often a value of ``size`` bytes is in memory at most: while it is sent, and while a link of a chain passes
    it on. Python counts the memory that the messages take; JSON's escapes are not needed here."""
    here = Steps(app, most=0)
    sender, sig = here.app.sender, chain(ident.s("x" * size), ident.s(), ident.s())
    plan = sender.plan(sig, (), {}, {})
    sent, _ = peak(lambda: sender.send(sig, plan, {}))
    (delivery,) = here._broker.lease(Lease("steps", ("here",), 1))
    passed_on, settlement = peak(lambda: here._pipeline.run(delivery))
    assert here._settler.settle([settlement]).verdicts[0].held
    return sent / size, passed_on / size


@pytest.mark.parametrize("size", [500_000, 4_000_000])
def test_copies_of_a_large_value(size):
    sent, passed_on = copies(size)
    assert sent <= 5
    assert passed_on <= 7
