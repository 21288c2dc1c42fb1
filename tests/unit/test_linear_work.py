"""Work that grows with what it is done for: twice the workflow takes twice the calls, in the client and in each step."""

import re
import subprocess
import sys
from functools import partial

import pytest

from canvas import Workflow, chain, chord, group
from canvas.drivers.ports.values import Lease
from canvas.worker.settlement.deep_calls import with_deep_calls
from tests.support.apps import make
from tests.support.counting import Steps, counted
from tests.support.forked import ROOT

app = make("canvas", "redis://127.0.0.1:1/0", "redis://127.0.0.1:1/1")
ident, fail = app.tasks["t.ident"], app.tasks["t.fail"]


def test_function_calls_of_composing_a_node():
    flow, sigs = Workflow("many", app), [ident.si(number) for number in range(100)]
    flow.add(ident.si(1))
    calls = counted(lambda: [flow.add(sig) for sig in sigs]) / len(sigs)
    assert calls <= 90, f"{calls} function calls to add a node"


def test_function_calls_of_a_node():
    here = Steps(app, most=0)
    flow = Workflow("many", here.app)
    for number in range(20):
        flow.add(ident.si(number))
    flow.apply_async()
    while leased := here._broker.lease(Lease("steps", ("here",), 1)):
        assert here._settler.settle([here.count(lambda: here._pipeline.run(leased[0]))]).verdicts[0].held
    assert len(here.calls) == 20
    assert min(here.calls) <= 111, f"{min(here.calls)} function calls from a node's message to its settlement"


def chords_as_bodies(n, header=None, body=None):
    body = body or ident.s()
    for _ in range(n):
        body = chord([header or ident.si(1)], body, app=app)
    return body


def chords_as_bodies_with_errback(n):
    body = chords_as_bodies(n)
    body.link_error(ident.si(2))
    return body


def chords_as_bodies_that_fail(n):
    body = chord([fail.si()], chords_as_bodies(n), app=app)
    body.link_error(ident.si(2))
    return body


def chords_as_bodies_before_a_group(n):
    members = group(ident.s() for _ in range(n))
    for number, member in enumerate(members.tasks):
        member.link_error(ident.si(number))
        member.link_error(ident.si(-1))
    return chords_as_bodies(n, body=members)


def chords_in_headers(n):
    sig = ident.si(1)
    for _ in range(n):
        sig = chord([sig], ident.s(), app=app)
    return sig


def chains_and_chords_as_bodies(n):
    body = ident.s()
    for _ in range(n):
        body = chord([ident.si(1)], chain(ident.s(), body), app=app)
    body.link_error(ident.si(2))
    return body


def callbacks_of_callbacks(n):
    sig = ident.s()
    for _ in range(n):
        before = ident.s()
        before.link(sig)
        sig = before
    return sig.clone((1,))


def chain_of_groups(n):
    return chain(*[group([ident.si(1), ident.si(2)]) for _ in range(n)])


def chain_of_chords(n):
    return chain(*[chord([ident.si(1), ident.si(2)], ident.s()) for _ in range(n)])


def chain_of_chains(n):
    return chain(*[chain(ident.si(1), ident.s()) for _ in range(n)])


def steps_after_a_group(n):
    return chain(group([ident.si(1)] * n), *[ident.s() for _ in range(n)])


def chains_in_a_group(n):
    sig = group([chain(ident.si(1), ident.s(), ident.s()) for _ in range(n)])
    sig.link_error(ident.si(2))
    return sig


def wide_chord(n):
    sig = chord([ident.si(1) for _ in range(n)], group([ident.s() for _ in range(n)]))
    sig.link_error(ident.si(2))
    return sig


SIZES = {
    chords_as_bodies: 40,
    chords_as_bodies_with_errback: 40,
    chords_as_bodies_that_fail: 40,
    chords_as_bodies_before_a_group: 40,
    chords_in_headers: 110,
    chains_and_chords_as_bodies: 40,
    callbacks_of_callbacks: 75,
    chain_of_groups: 40,
    chain_of_chords: 40,
    chain_of_chains: 40,
    steps_after_a_group: 40,
    chains_in_a_group: 40,
    wide_chord: 40,
}
"""Nested so deeply that the depth of each message has to be looked at, of twice the size as well."""
IN_HEADERS = (chords_in_headers,)
"""Each message has all that is around its task, so that twice the depth is four times the bytes."""
COMPOSED_AT_ONCE = (chain_of_groups, chain_of_chords, chain_of_chains, steps_after_a_group)
ANEW = 1_000
"""Calls of a step that are the same for any workflow, at most."""


def first_steps(shape, n):
    return Steps(app, most=3).take(shape(n))


@pytest.fixture(scope="module", autouse=True)
def warm():
    """What the first workflow of a process imports is not counted."""
    for shape in SIZES:
        first_steps(shape, 2)


@pytest.mark.parametrize("shape", SIZES, ids=lambda shape: shape.__name__)
def test_a_step_of_a_workflow_twice_as_large_takes_twice_the_calls(shape):
    n = SIZES[shape]
    # The usual recursion limit is not reached here: a step that reaches it is tried once more.
    (sent, *once), (sent_twice, *twice) = (with_deep_calls(partial(first_steps, shape, size)) for size in (n, 2 * n))
    assert max(twice) <= 2.3 * max(once) + ANEW, f"{once} calls for {n}, {twice} for {2 * n}"
    assert sent_twice <= (4.6 if shape in IN_HEADERS else 2.3) * sent, f"{sent} to send {n}, {sent_twice} for {2 * n}"


@pytest.mark.parametrize("shape", [chords_as_bodies, chain_of_groups], ids=lambda shape: shape.__name__)
def test_a_step_deeper_than_the_recursion_limit_is_tried_once_more(shape):
    once, twice = max(first_steps(shape, 50)), max(first_steps(shape, 100))
    assert twice <= 5 * once, f"{once} calls for 50, {twice} for 100"


@pytest.mark.parametrize("shape", COMPOSED_AT_ONCE, ids=lambda shape: shape.__name__)
def test_composing_twice_as_many_takes_twice_the_calls(shape):
    n = 50
    once, twice = counted(lambda: shape(n)), counted(lambda: shape(2 * n))
    assert twice <= 2.3 * once, f"{once} calls for {n}, {twice} for {2 * n}"


def test_a_chain_of_very_many_chains():
    """Each is taken apart in turn, not inside of the one before."""
    assert len(chain_of_chains(3_000).tasks) == 6_000


def of_independent_nodes(n):
    """The calls that start, and then run, a workflow of ``n`` nodes side by side."""
    here = Steps(app, most=0)
    flow = Workflow("wide", here.app)
    for number in range(n):
        flow.add(ident.si(number), name=f"node{number}")
    return counted(flow.apply_async), counted(here.work)


def of_a_map(n):
    """The calls that run a map of ``n`` items."""
    here = Steps(app, most=0)
    flow = Workflow("map", here.app)
    flow.map(ident.s(), flow.add(ident.si(list(range(n))), name="items"), name="each")
    flow.apply_async()
    return counted(here.work)


def of_a_group(n):
    here = Steps(app, most=0)
    sig, sender = group([ident.si(number) for number in range(n)]), here.app.sender
    return counted(lambda: (sender.send(sig, sender.plan(sig, (), {}, {}), {}), here.work()))


COUNTS = """
from tests.unit.test_linear_work import *
print(of_independent_nodes(100), of_independent_nodes(300), of_a_group(100), of_a_group(300))
"""


def test_calls_of_a_node():
    """In a process of its own: listeners that other tests have left would be counted too."""
    done = subprocess.run([sys.executable, "-c", COUNTS], cwd=ROOT, capture_output=True, text=True, check=True)
    start, run, start_more, run_more, members, members_more = map(int, re.findall(r"\d+", done.stdout))
    of_nodes, of_members = start_more + run_more - start - run, members_more - members
    assert of_nodes <= 1.3 * of_members, "a node does more of what a group's member does"
    assert (start_more - start) / 200 <= 101, "to start one of many nodes"
    assert (run_more - run) / 200 <= 221, "to run one of many nodes"


def test_an_item_of_a_map_takes_less_than_three_times_a_group_s_member():
    assert of_a_map(150) - of_a_map(50) <= 3 * (of_a_group(150) - of_a_group(50))
