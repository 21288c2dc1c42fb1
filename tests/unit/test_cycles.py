"""A signature that contains itself, however that was made, is refused with its path wherever it is used."""

import asyncio
import traceback
from copy import deepcopy

import pytest

from canvas import Canvas, chain, chord, group, signature
from canvas.errors import CompositionError, EncodeError
from canvas.graph.compile import graph_of

app = Canvas("cycles", broker="memory://cycles", backend="memory://cycles", set_as_current=False)
ran = []


@app.task(name="a")
def a(*args, **kwargs):
    ran.append(args)


s = app.tasks["a"].s


def chain_among_its_steps():
    sig = chain(s(1), s(2))
    sig.tasks.append(sig)
    return sig


def group_in_itself():
    sig = group(s(1), s(2))
    sig.tasks[0] = sig
    return sig


def chord_in_its_header():
    sig = chord([s(1)], s(2))
    sig.tasks.append(chain(s(3), sig))
    sig.tasks[1].tasks[1] = sig
    return sig


def chord_as_its_body():
    sig = chord([s(1)], s(2))
    sig.body = sig
    return sig


def chord_in_its_bodys_chain():
    sig = chord([s(1)], chain(s(2), s(3)))
    sig.body.tasks.append(sig)
    return sig


def two_in_one_another():
    one = chain(s(1), s(2))
    other = group(s(3), one)
    one.tasks.append(other)
    return other


def callback_of_itself():
    sig = s(1)
    sig.link(sig)
    return sig


def errback_of_its_body():
    sig = chord([s(1)], s(2))
    sig.body.link_error(sig)
    return sig


def in_wire_form():
    data = dict(s(1))
    data["options"] = {"link": [data]}
    return signature(data, app=app)


CYCLES = [
    chain_among_its_steps, group_in_itself, chord_in_its_header, chord_as_its_body, chord_in_its_bodys_chain,
    two_in_one_another, callback_of_itself, errback_of_its_body, in_wire_form,
]  # fmt: skip


def own_argument():
    sig = s(1)
    sig.args = (sig,)
    return sig


def in_a_keyword_argument():
    sig = s(1)
    sig.kwargs["deep"] = [{"in": sig}]
    return sig


def mapped_over_itself():
    sig = app.tasks["a"].map([1])
    sig.kwargs["it"].append(sig)
    return sig


@pytest.mark.parametrize("make", [*CYCLES, own_argument, in_a_keyword_argument, mapped_over_itself])
def test_it_is_not_sent(make):
    with pytest.raises(CompositionError, match=r"cycle: \S+ → .*cannot contain itself") as refused:
        make().apply_async()
    assert len(traceback.extract_tb(refused.value.__traceback__)) < 30
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    with pytest.raises(CompositionError, match="cycle: "):
        asyncio.run(make().aapply_async())


USES = {
    "apply": lambda sig: sig.apply(),
    "clone": lambda sig: sig.clone(),
    "deepcopy": deepcopy,
    "flatten_links": lambda sig: sig.flatten_links(),
    "graph": lambda sig: graph_of(sig, app.new_id),
    "node of a workflow": lambda sig: app.Workflow().add(sig),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("make", CYCLES)
def test_no_use_of_it_goes_on_without_end(make, use):
    if make is in_wire_form and use in (USES["clone"], deepcopy):
        assert use(make()).task == "a"  # plain data, which Python copies with its cycles
        return
    ran.clear()
    with pytest.raises(CompositionError, match="cycle: ") as refused:
        use(make())
    assert len(traceback.extract_tb(refused.value.__traceback__)) < 30
    assert ran == []


@pytest.mark.parametrize("make", [chain_among_its_steps, group_in_itself, chord_in_its_header])
def test_freezing_it_is_refused(make):
    with pytest.raises(CompositionError, match="cycle: "):
        make().freeze()


@pytest.mark.parametrize("make", CYCLES)
def test_it_can_be_shown(make):
    assert len(repr(make())) < 2000


def test_the_path_names_each_signature_and_the_place_in_it():
    with pytest.raises(
        CompositionError, match=r"cycle: celery\.group\.tasks\[1\] → celery\.chain\.tasks\[2\] → celery"
    ):
        two_in_one_another().apply_async()


def test_one_signature_in_two_places_is_no_cycle():
    once = chain(s(1), s(2))
    plan = app.plan(group(once, once, chain(once, once)))
    assert len(plan.calls) == 3


@pytest.mark.parametrize("give", ["link", "link_error", "on_error"])
@pytest.mark.parametrize("make", CYCLES)
def test_callbacks_for_it_are_taken_or_refused(make, give):
    """Those of a group and a chord go to what they are made of."""
    try:
        getattr(make(), give)(s(9))
    except CompositionError as exc:
        assert "cycle: " in str(exc)
        assert len(traceback.extract_tb(exc.__traceback__)) < 30


@pytest.mark.parametrize("name", ["chain", "group", "chord"])
def test_a_composite_in_wire_form(name):
    data = {
        "chain": lambda: deepcopy(dict(chain(s(1), s(2)))),
        "group": lambda: deepcopy(dict(group(s(1), s(2)))),
        "chord": lambda: deepcopy(dict(chord([s(1)], s(2)))),
    }[name]()
    (data["kwargs"]["tasks"] if name != "chord" else data["kwargs"]["header"]).append(data)
    for use in (lambda: signature(data, app=app), lambda: chain(s(1), data), lambda: s(1).link(data)):
        with pytest.raises(CompositionError, match=r"cycle: celery\.") as refused:
            use()
        assert len(traceback.extract_tb(refused.value.__traceback__)) < 30


def list_in_itself():
    found = [1]
    found.append(found)
    return found


def very_deep():
    found = []
    for _ in range(20_000):
        found = [found]
    return found


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
@pytest.mark.parametrize("make", [list_in_itself, very_deep])
def test_data_that_contains_itself_is_refused_with_its_place(make, serializer):
    data = make()
    for sig in (s(data), s(key={"x": data}), chain(s(1), s(data)), chord([s(1)], s(data)), app.tasks["a"].map([data])):
        with pytest.raises(EncodeError, match=r"\S+\[\S+\]: \S+: (args|kwargs)\[.*cannot be written") as refused:
            sig.apply_async(serializer=serializer)
        assert len(str(refused.value)) < 500


@pytest.mark.parametrize("make", [list_in_itself, very_deep])
def test_data_that_contains_itself_is_refused_in_a_workflow(make):
    data = make()
    flow = app.Workflow()
    node = flow.add(s(1))
    for use in (lambda: flow.add(s(data)), lambda: flow.map(s(data), node), lambda: flow.add(s(1), compensate=s(data))):
        with pytest.raises(CompositionError, match="contains itself, or is nested too deeply"):
            use()
