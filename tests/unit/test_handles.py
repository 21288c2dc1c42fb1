"""Handles of results to come, functions that build workflows, and what is checked as a workflow is composed."""

import pickle
from copy import copy, deepcopy

import pytest

from canvas import Canvas, Workflow, chain, chord, group, workflow
from canvas.errors import EncodeError
from canvas.model.workflow_run import bind_inputs, extract


@pytest.fixture
def app():
    app = Canvas("handles", broker="memory://", backend="memory://")
    app.task(name="add", shared=False)(lambda x, y=1: x + y)
    app.task(name="ident", shared=False)(lambda x: x)
    return app


@pytest.fixture
def flow(app):
    return Workflow("etl", app)


@pytest.fixture
def load(app, flow):
    return flow.add(app.tasks["ident"].s(1), name="load")


@pytest.mark.parametrize(
    "use",
    [
        lambda node: f"value {node}",
        lambda node: f"{node:>10}",
        str,
        lambda node: "value %s" % node,  # noqa: UP031 - the old form goes another way
        "value {}".format,
        lambda node: node == 3,
        lambda node: 3 == node,  # noqa: SIM300
        lambda node: node != 3,
        lambda node: node["key"] == node["key"],
        lambda node: node < 3,
        lambda node: 3 >= node,  # noqa: SIM300
        lambda node: node in [1, 2],
        lambda node: 3 in node,
        lambda node: node + 1,
        lambda node: 1 - node,
        lambda node: -node,
        len,
        int,
        float,
        range,
        list,
        bool,
        lambda node: [1, 2][node],
    ],
)
def test_a_result_to_come_is_no_value(load, use):
    with pytest.raises(TypeError, match=r"the result of <(Node|Reference) load.*> is not known yet: (use|pass) "):
        use(load)


def test_a_handle_is_itself(load):
    assert repr(load["a"][0]) == "<Reference load['a'][0]>"
    assert copy(load) is load
    assert deepcopy([load])[0] is load
    assert {load: "value"}[load] == "value"
    assert not hasattr(load, "get")
    with pytest.raises(AttributeError, match=r"no attribute 'total'; for a part of its result write load\['total'\]"):
        load.total


@pytest.mark.parametrize("serializer", ["json", "pickle"])
def test_a_handle_outside_its_workflow_is_refused(app, load, serializer):
    with pytest.raises(
        EncodeError, match=r"args\[0\]\['deep'\]: .*<Node load> stands for the result of a node of workflow 'etl'"
    ):
        app.tasks["ident"].apply_async(({"deep": load},), serializer=serializer)
    with pytest.raises(EncodeError):
        pickle.dumps(load)


def test_a_handle_as_a_key_is_refused(app, flow, load):
    with pytest.raises(TypeError, match="<Node load> is a key of a dict"):
        flow.add(app.tasks["ident"].s({load: 1}))


def test_a_function_inside_a_function_adds_to_the_same_workflow(app):
    ident, add = app.tasks["ident"], app.tasks["add"]

    @workflow(app=app)
    def rows(day):
        return add(ident(day), 5)

    @workflow(app=app)
    def outer(day):
        ident(rows(day))
        ident(rows(day)["x"])

    flow = outer(3)
    assert [entry.name for entry in flow.entries] == ["ident", "add", "ident-2", "ident-3", "add-2", "ident-4"]
    assert [source.number for source in flow.entries[5].sources] == [4]
    assert len(rows(3)) == 2


async def _coroutine():
    """No body that a call runs."""


async def _async_generator():
    yield


def _generator():
    yield


@pytest.mark.parametrize(
    ("function", "kind"),
    [(_coroutine, "coroutine"), (_async_generator, "generator"), (_generator, "generator")],
)
def test_a_function_whose_call_runs_nothing_is_refused(app, function, kind):
    with pytest.raises(TypeError, match=f"@workflow: {function.__name__} is a {kind} function"):
        workflow(app=app)(function)
    with pytest.raises(TypeError, match=f"@workflow: wrapped is a {kind} function"):
        workflow(app=app, name="wrapped")(lambda: [function()][0])()


@pytest.mark.parametrize(
    "make",
    [
        lambda add, ident, load: ident.s(),
        lambda add, ident, load: ident.s(load, 2),
        lambda add, ident, load: add.s(load, z=load),
        lambda add, ident, load: chain(add.s(1), ident.s(2)),
        lambda add, ident, load: group(ident.s(load), ident.s(1, 2)),
        lambda add, ident, load: chord([ident.s()], ident.s()),
        lambda add, ident, load: chord([ident.s(1)], ident.s(load)),
    ],
)
def test_arguments_that_do_not_fit_are_refused_as_a_node_is_added(app, flow, load, make):
    sig = make(app.tasks["add"], app.tasks["ident"], load)
    with pytest.raises(TypeError, match=r"^etl: wrong: (add|ident)\(\) (missing|takes|got an unexpected)"):
        flow.add(sig, name="wrong")
    assert len(flow) == 1


def test_arguments_of_maps_arms_and_compensations_are_checked(app, flow, load):
    ident = app.tasks["ident"]
    with pytest.raises(TypeError, match="etl: each: ident"):
        flow.map(ident.s(1), over=load, name="each")
    with pytest.raises(TypeError, match=r"etl: choice\.1: ident"):
        flow.branch(load, {1: ident.s()}, name="choice")
    with pytest.raises(TypeError, match="etl: x: compensate: ident"):
        flow.add(ident.s(1), name="x", compensate=ident.s(1))
    flow.map(ident.s(), over=load)
    flow.add(ident.s(1), compensate=ident.si(1))
    flow.add(chain(ident.si(1), ident.si(2), ident.s()))


def test_arguments_are_left_alone_where_a_task_is_not_checked(app, flow):
    app.task(name="loose", shared=False, typing=False)(lambda x: x)
    flow.add(app.tasks["loose"].s(1, 2, 3))
    flow.add(app.signature("elsewhere", (1, 2, 3)))
    lazy = Canvas("lazy", broker="memory://", backend="memory://", set_as_current=False, autofinalize=False)
    lazy.task(name="ident", shared=False)(lambda x: x)
    with pytest.raises(TypeError, match="ident"):
        Workflow("early", lazy).add(lazy.signature("ident", (1, 2)))


@pytest.mark.parametrize("call", ["apply_async", "apply"])
def test_unknown_options_of_a_run_are_refused(flow, load, call):
    with pytest.raises(TypeError, match=r"workflow 'etl' has no option 'timeuot' for its runs: did you mean timeout\?"):
        getattr(flow, call)(timeuot=3)
    with pytest.raises(
        TypeError,
        match=r"expected expires, timeout, target, inputs, labels, concurrency, run_key, run_key_mismatch; options of messages, such as queue",
    ):
        getattr(flow, call)(queue="high")


@pytest.mark.parametrize(
    ("value", "pick", "text"),
    [
        (
            {"sum": 1, "rows": 2},
            ["summ"],
            "total['summ']: the result of node 'total' has no 'summ'; it has 'sum', 'rows'",
        ),
        ({"a": [1]}, ["a", 3], "total['a'][3]: total['a'] has no 3; it is a list of 1"),
        (5, ["x"], "total['x']: the result of node 'total' has no 'x'; it is int 5"),
        ({}, ["x"], "total['x']: the result of node 'total' has no 'x'; it has no keys"),
    ],
)
def test_a_part_that_is_not_there_is_named(value, pick, text):
    with pytest.raises((LookupError, TypeError)) as raised:
        extract(value, pick, 0, lambda slot: "total")
    assert raised.value.args == (text,)


def test_parts_that_are_there_ask_for_no_name():
    assert bind_inputs({"args": [None]}, [(("args", 0), 0, ("a",))], [{"a": 1}], None) == {"args": [1]}


def test_a_map_takes_a_list(app, flow):
    flow.map(app.tasks["ident"].s(), over=[1, 2], name="each")
    assert flow.apply()["each"].get() == [1, 2]
