"""Signatures: one dict form, merging, editing, freezing, composing errors (semantics.md §1)."""

import copy
import json
import pickle

import celery.canvas
import pytest

import canvas
from canvas import Canvas, chain, chord, chunks, group, signature
from canvas.errors import CompositionError
from canvas.model.record import children_of
from canvas.model.request import Request
from canvas.primitives.registry import maybe_signature
from canvas.primitives.signature import Signature


@pytest.fixture(autouse=True)
def app():
    app = Canvas("sig", broker="memory://sig", backend="memory://sig")
    for name in ("add", "mul", "tsum"):
        app.task(name=name, typing=False)(lambda *args, **kwargs: args)
    return app


def s(name, *args, **kwargs):
    return signature(name, args, kwargs)


def test_a_workflow_belongs_to_the_app_of_its_innermost_tasks():
    first, last = Canvas("first", broker="memory://"), Canvas("last", broker="memory://")
    task = first.task(name="first.task")(lambda: None)
    last.set_current()
    flow = group([chain(task.s(), task.s())])
    assert flow.app is chord([flow], chain(task.s(), task.s())).app is first


def test_the_form_is_celerys():
    assert signature("add", (1,), {"k": 2}, immutable=True, countdown=3) == {
        "task": "add", "args": (1,), "kwargs": {"k": 2}, "options": {"countdown": 3}, "subtask_type": None,
        "immutable": True,
    }  # fmt: skip


def test_partial_arguments_go_first_and_options_over():
    sig = s("add", "t", k=1).set(queue="a")
    assert sig.merged_with((9,), {"k": 2, "z": 3}, {"queue": "b"}) == ((9, "t"), {"k": 2, "z": 3}, {"queue": "b"})
    assert s("add", 1).set(immutable=True).merged_with((9,), {"k": 2}) == ((1,), {}, {})


def test_group_id_and_stamps_are_not_overridden():
    sig = s("add").set(group_id="g", stamped_headers=["who"], who="me")
    merged = sig.merged_with(options={"group_id": "x", "who": "you", "task_id": "T"})[2]
    assert (merged["group_id"], merged["who"], merged["task_id"]) == ("g", "me", "T")


def test_clones_share_nothing():
    for sig in (
        s("add").set(link=[s("mul")]),
        group(s("add"), s("mul")),
        s("add") | s("mul"),
        chord([s("add")], s("mul")),
    ):
        before = json.dumps(sig)
        twin = sig.clone()
        assert twin == sig
        for member in twin.members() or [twin]:
            member.set(queue="changed").link(s("tsum"))
        assert json.dumps(sig) == before


def test_links_are_added_once_and_return_their_argument():
    sig, callback = s("add"), s("mul")
    assert sig.link(callback) is callback
    sig.link(s("mul"))
    assert sig.options["link"] == [callback]
    assert sig.on_error(s("tsum")) is sig
    assert [one.task for one in sig.flatten_links()] == ["add", "mul"]


def test_json_pickle_and_copy_round_trips():
    for sig in (s("add", 1), s("add") | group(s("mul"), s("mul")) | s("tsum"), chord([s("add")], s("mul"))):
        for twin in (signature(json.loads(json.dumps(sig))), pickle.loads(pickle.dumps(sig)), copy.deepcopy(sig)):
            assert type(twin) is type(sig)
            assert json.dumps(twin) == json.dumps(sig)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"task": 1}, "task name"), ({"task": "x", "subtask_type": "bogus"}, "bogus"),
        ({"task": "celery.group", "subtask_type": "group", "kwargs": {}}, "kwargs"),
        ({"task": "celery.chord", "subtask_type": "chord", "kwargs": {"header": 3}}, "header"),
        ({"task": "celery.chain", "subtask_type": "chain", "kwargs": {"tasks": 1}}, "list"),
    ],
)  # fmt: skip
def test_bad_dicts_are_refused(bad, said):
    with pytest.raises(CompositionError, match=said):
        maybe_signature(bad)


@pytest.mark.parametrize(
    "make", [lambda: group(1), lambda: group([s("add"), 2]), lambda: chain(s("add"), 3), lambda: chord(5)]
)
def test_members_must_be_signatures(make):
    with pytest.raises(CompositionError):
        make()


def test_pipe_with_something_else():
    with pytest.raises(TypeError):
        s("add") | 3


def test_generators_are_consumed_once():
    members = group(s("add", i) for i in range(3))
    assert [m.args for m in members.tasks] == [m.args for m in members.tasks] == [(0,), (1,), (2,)]
    assert len(members) == 3


def test_set_immutable_as_each_kind_understands_it():
    pair = group(s("add"), s("mul")).set(immutable=True)
    assert [m.immutable for m in pair.tasks] == [True, True]
    both = chord([s("add")], s("mul")).set(immutable=True)
    assert (both.header[0].immutable, both.body.immutable) == (True, False)
    line = (s("add") | s("mul")).set(immutable=True)
    assert (line.immutable, line.tasks[0].immutable) == (True, False)


def test_chunks(app):
    pieces = app.tasks["add"].chunks([(i, i) for i in range(5)], 2)
    assert [len(member.kwargs["it"]) for member in pieces.group().tasks] == [2, 2, 1]
    with pytest.raises(CompositionError, match="1 or more"):
        chunks(s("add"), [], 0)


def test_freezing_gives_ids_that_sending_keeps(app):
    flow = s("add") | group(s("add"), s("mul")) | s("tsum")
    frozen = flow.freeze()
    plan = app.plan(flow)
    assert plan.result.as_tuple() == frozen.as_tuple()


def test_sending_twice_gives_two_runs(app):
    flow = s("add") | s("mul")
    first, second = flow.delay(1), flow.delay(1)
    assert first.id != second.id
    assert "task_id" not in flow.options


def test_reprcall_and_names():
    assert repr(s("mod.add", 1, k=2)) == "mod.add(1, k=2)"
    assert repr(group()) == "group(<empty>)"
    assert "empty" in repr(chain())
    assert isinstance(signature(s("add")), Signature)


def test_steps_of_an_inner_chain_have_errbacks_of_their_own():
    """What stamps the errback of one step must leave the others' alone."""
    inner = chain(signature("a"), signature("b"), signature("c"))
    inner.link_error(signature("errback"))
    built = chain(signature("first"), inner)
    errbacks = [step.options["link_error"][0] for step in built.tasks[1:]]
    assert errbacks == [signature("errback")] * 3
    assert len({id(errback) for errback in (*errbacks, *inner.options["link_error"])}) == 4


def test_children_of_a_request_that_has_none():
    assert children_of(Request(children=None)) == []


@pytest.mark.parametrize("kind", ["chain", "group", "chord", "map"])
def test_copies_are_immutable_where_celery_s_are(kind):
    def found(lib):
        task = lib.signature("t.add", (1,))
        sig = {
            "chain": lambda: lib.chain(task, task),
            "group": lambda: lib.group(task, task),
            "chord": lambda: lib.chord([task, task], task),
            "map": lambda: lib.xmap(task, [1]),
        }[kind]()
        sig.set(immutable=True)
        read = lib.signature(json.loads(json.dumps(sig)))
        return sig.immutable, sig.clone().immutable, read.immutable

    assert found(canvas) == found(celery.canvas)
