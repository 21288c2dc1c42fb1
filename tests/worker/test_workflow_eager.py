"""A workflow comes to the same on a worker and in the process that starts it."""

import pytest

from canvas import Workflow, chain, chord, group
from canvas.errors import ChordError
from tests.worker.commands import named, served_app, states, task

app = served_app("-P", "threads", "-c", "4")


def outcome(run):
    try:
        value = run.get(timeout=30)
    except (ValueError, LookupError, ChordError) as exc:
        value = type(exc), str(exc)
    return value, run.results(), states(run), run.state


def values(app, flow):
    parts = flow.add(task(app, "parts").s(1), name="parts")
    added = flow.add(task(app, "add").s(parts["x"], y=parts["pair"][1]), name="added")
    named(app, flow, "one", parts["pair"], {"deep": added})
    named(app, flow, "two", added, after=flow["one"])


def composites(app, flow):
    add = task(app, "add")
    first = flow.add(chain(add.s(1, 1), add.s(2)), name="chain")
    both = flow.add(group(add.s(first, 1), add.s(first, 2)), name="group")
    flow.add(chord([add.s(both[0], 10), add.s(both[1], 20)], task(app, "tsum").s()), name="chord")
    flow.add(task(app, "swap").s(dict(chain(add.s(1, 1), group(add.s(5), add.s(6))))), name="replaced")
    flow.add(add.chunks([(1, 1), (2, 2), (3, 3)], 2), name="chunks")


def failures(app, flow):
    bad = flow.add(task(app, "fail").s(), name="bad")
    flow.add(task(app, "ident").s(bad), name="below")
    named(app, flow, "soft", flow.add(task(app, "fail").s(), name="goes on", on_failure="continue", default=7))
    flow.add(chord([task(app, "fail").s(), task(app, "add").s(1, 1)], task(app, "tsum").s()), name="chord")


def a_part_that_is_missing(app, flow):
    parts = flow.add(task(app, "parts").s(1), name="parts")
    flow.add(task(app, "ident").s(parts["pair"][7]), name="wanting")


def choices(app, flow):
    kind = flow.add(task(app, "ident").s("book"), name="kind")
    choice = flow.branch(kind, {"book": task(app, "ident").s(1), "film": task(app, "fail").s()}, name="choice")
    named(app, flow, "after", choice)
    flow.branch(kind, {"none": task(app, "fail").s()}, name="nothing fits")


def maps(app, flow):
    items = flow.add(task(app, "ident").s([1, "x", 3]), name="items")
    flow.map(task(app, "add").s(1), over=items, name="soft", on_failure="continue", default=0)
    lists = flow.add(task(app, "ident").s([[1], [], [2, 3]]), name="lists")
    flow.map(task(app, "add").s(1), over=lists, name="deep", depth=2)


def a_last_node_with_a_default(app, flow):
    flow.add(task(app, "fail").s(), name="last", on_failure="continue", default=7)


def last_nodes_with_defaults(app, flow):
    first = flow.add(task(app, "ident").s(1), name="first")
    flow.add(task(app, "fail").s(first), name="list", on_failure="continue", default=[1])
    flow.add(task(app, "fail").s(first), name="nothing", on_failure="continue")
    flow.add(task(app, "ident").s(first), name="fine")


@pytest.mark.parametrize(
    "compose",
    [values, composites, failures, a_part_that_is_missing, choices, maps, a_last_node_with_a_default,
     last_nodes_with_defaults],
)  # fmt: skip
def test_a_worker_and_this_process_come_to_the_same(app, compose):
    flow = Workflow("flow", app)
    compose(app, flow)
    assert outcome(flow.apply()) == outcome(flow.apply_async())


def test_a_last_node_that_failed_has_its_default(app):
    one, several = Workflow("one", app), Workflow("several", app)
    a_last_node_with_a_default(app, one)
    last_nodes_with_defaults(app, several)
    assert one.apply_async().get(timeout=30) == 7
    assert several.apply_async().get(timeout=30) == {"list": [1], "nothing": None, "fine": 1}


def test_a_part_that_is_missing_is_named(app):
    flow = Workflow("flow", app)
    a_part_that_is_missing(app, flow)
    with pytest.raises(IndexError, match=r"parts\['pair'\]\[7\]: parts\['pair'\] has no 7; it is a list of 2"):
        flow.apply_async().get(timeout=30)


async def test_a_default_on_an_event_loop(app):
    flow = Workflow("one", app)
    a_last_node_with_a_default(app, flow)
    assert await (await flow.aapply_async()) == 7
