"""Composing workflows: what is refused, what is compiled, how it looks. No server."""

import networkx as nx
import pytest

from canvas import Workflow, chain, signals, workflow
from canvas.errors import CompositionError
from canvas.graph.run_nodes import resumed, run_nodes
from canvas.model.workflow_run import KnownInput, NodeRef, OutgoingEdge, bind_inputs, extract, task_id_of
from tests.unit.flows import etl_app, fixtures, sig

app, flow = fixtures(etl_app, "etl")


def test_names_come_from_tasks_and_stay_unique(app, flow):
    names = [flow.add(sig(app, "ident", 1)).name for _ in range(3)]
    assert names == ["ident", "ident-2", "ident-3"]
    assert flow["ident-2"].number == 1
    with pytest.raises(CompositionError, match="there is a node 'ident' already"):
        flow.add(sig(app, "ident", 1), name="ident")
    with pytest.raises(KeyError, match="etl has no node 'nope'; it has ident, ident-2"):
        flow["nope"]


def test_what_is_no_signature_is_refused(app, flow):
    with pytest.raises(CompositionError, match="x: expected a signature"):
        flow.add(lambda: 1, name="x")
    with pytest.raises(CompositionError, match="empty chain"):
        flow.add(chain(app=app), name="x")
    with pytest.raises(CompositionError, match="on_failure: expected one of fail, continue; got 'ignore'"):
        flow.add(sig(app, "ident", 1), on_failure="ignore")
    with pytest.raises(CompositionError, match="name: expected text; got 3"):
        flow.add(sig(app, "ident", 1), name=3)


def test_constants_that_cannot_be_written_are_refused_at_once(app, flow):
    with pytest.raises(CompositionError, match=r"etl: odd: .*object"):
        flow.add(sig(app, "ident", {"deep": [object()]}), name="odd")
    with pytest.raises(CompositionError, match="etl: odd: "):
        flow.add(sig(app, "ident", 1), name="odd", on_failure="continue", default=object())


def test_handles_of_another_workflow_are_refused(app, flow):
    other = Workflow("other", app)
    theirs = other.add(sig(app, "ident", 1), name="theirs")
    with pytest.raises(CompositionError, match="mine: 'theirs' is a node of workflow 'other', not of 'etl'"):
        flow.add(sig(app, "ident", [theirs]), name="mine")
    with pytest.raises(CompositionError, match="not of 'etl'"):
        flow.add(sig(app, "ident", 1), after=theirs)
    with pytest.raises(CompositionError, match="over: expected a node"):
        flow.map(sig(app, "ident"), over={"a": 1})


def test_a_result_to_come_cannot_be_looked_at(app, flow):
    node = flow.add(sig(app, "ident", 1))
    with pytest.raises(TypeError, match=r"use flow\.map"):
        list(node)
    with pytest.raises(TypeError, match=r"use flow\.branch"):
        bool(node)
    assert repr(node["a"][0]) == "<Reference ident['a'][0]>"


def test_a_cycle_is_shown(app, flow):
    a, b, c = (flow.add(sig(app, "ident", n), name=name) for n, name in enumerate("abc"))
    flow.order(a, b)
    flow.order(b, c)
    flow.order(c, a)
    with pytest.raises(CompositionError, match=r"cycle: (a → b → c → a|b → c → a → b|c → a → b → c)"):
        flow.apply_async()


def test_an_empty_workflow_is_refused(flow):
    with pytest.raises(CompositionError, match="nothing to run"):
        flow.apply_async()
    assert repr(flow) == "<Workflow etl: 0 nodes>"


def test_a_compensation_takes_no_other_results(app, flow):
    first = flow.add(sig(app, "ident", 1), name="first")
    with pytest.raises(CompositionError, match="compensate takes no results but the node's own"):
        flow.add(sig(app, "ident", 1), name="second", compensate=sig(app, "ident", first))


def test_a_function_builds_a_workflow(app):
    add, total = app.tasks["add"], app.tasks["total"]

    @workflow(name="built", app=app)
    def build(n):
        first = add(n, 1)
        total([first, add(first, y=2)])

    flow = build(5)
    assert [entry.name for entry in flow.entries] == ["add", "add-2", "total"]
    assert flow.entries[0].sig["args"] == [5, 1]
    assert [source.number for source in flow.entries[2].sources] == [0, 1]
    # Outside, a task is a function.
    assert add(1, 2) == 3


def test_nodes_are_numbered_parents_first_and_bound_by_slot(app, flow):
    a = flow.add(sig(app, "ident", 1), name="a")
    b = flow.add(sig(app, "add", a["k"], y=a), name="b")
    flow.add(sig(app, "ident", [b, {"x": a}]), name="c", after=[b])
    nodes = run_nodes(flow.entries)
    assert [(node.name, node.kind) for node in nodes] == [
        ("start", "start"), ("a", "task"), ("b", "task"), ("c", "task"), ("end", "end"),
    ]  # fmt: skip
    assert nodes[0].outs == [OutgoingEdge(1, 0)]
    assert nodes[1].outs == [OutgoingEdge(2, 0), OutgoingEdge(3, 1)]
    assert nodes[3].slots == ["data", "data"]
    assert bind_inputs(nodes[2].sig, nodes[2].binds, [{"k": 5}]) == {
        **nodes[2].sig,
        "args": [5],
        "kwargs": {"y": {"k": 5}},
    }
    assert bind_inputs(nodes[3].sig, nodes[3].binds, ["B", "A"])["args"] == [["B", {"x": "A"}]]
    assert nodes[3].sig["args"] == [[None, {"x": None}]]


def test_a_resumed_run_leaves_out_what_has_ended(app, flow):
    a = flow.add(sig(app, "ident", 1), name="a")
    b = flow.add(sig(app, "ident", 2), name="b")
    c = flow.add(sig(app, "add", a, b), name="c")
    flow.add(sig(app, "ident", c), name="d")
    nodes = run_nodes(flow.entries)
    left = resumed(nodes, {1: ("SUCCESS", 10), 2: ("SUCCESS", 20)})
    assert left[0].outs == [OutgoingEdge(3, 2)]
    assert left[3].given == [KnownInput(0, "SUCCESS", 10), KnownInput(1, "SUCCESS", 20)]
    assert left[3].open_slots == 1
    half = resumed(nodes, {1: ("SUCCESS", 10)})
    assert half[0].outs == [OutgoingEdge(2, 0)]
    assert half[3].open_slots == 1
    assert not nodes[3].given


def test_places_travel_as_lists_and_nonsense_is_none():
    place = NodeRef("r", 0, 3)
    assert NodeRef.of(place.as_list()) == place
    assert NodeRef.of(["r", 1, 2, 3, 4]) == NodeRef("r", 1, 2, 3, 4)
    assert task_id_of(NodeRef("r", 1, 2, 3, 4)) == "r.1.2.3"
    for wrong in (None, "r", [], ["r", 1], [1, 2, 3], ["r", -1, 2], ["r", True, 2], ["r", 1, "2"], {"run": 1}):
        assert NodeRef.of(wrong) is None
    assert extract({"a": [1, 2]}, ["a", 1]) == 2


def test_a_plain_graph_converts_both_ways(app, flow):
    a = flow.add(sig(app, "ident", 1), name="a")
    b = flow.add(sig(app, "add", a["k"], y=a), name="b", on_failure="continue", default=3)
    flow.add(sig(app, "ident", [b]), name="c", after=[a])
    graph = flow.to_graph()
    assert set(graph.edges) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert graph.edges["a", "c"] == {"order": True}
    again = Workflow.from_graph(graph, app=app)
    first, second = ({node.name: node for node in run_nodes(one.entries)} for one in (flow, again))
    assert first["b"].binds == second["b"].binds
    assert second["b"].continue_on_failure
    assert {name: node.sig for name, node in first.items()} == {name: node.sig for name, node in second.items()}


def test_a_graph_of_others_says_where_results_go(app):
    graph = nx.DiGraph()
    for name in "ab":
        graph.add_node(name, signature=sig(app, "ident", 1))
    for name in "cd":
        graph.add_node(name, signature=sig(app, "add"))
    graph.add_edge("a", "c")
    graph.add_edge("b", "c", pick="k")
    graph.add_edge("a", "d", arg="y")
    graph.add_edge("c", "d", arg=0)
    flow = Workflow.from_graph(graph, app=app)
    found = {entry.name: entry for entry in flow.entries}
    assert [(bind.path, bind.pick) for bind in found["c"].binds] == [(("args", 0), ()), (("args", 1), ("k",))]
    assert {bind.path for bind in found["d"].binds} == {("kwargs", "y"), ("args", 0)}


def test_graphs_that_are_none_are_refused(app, flow):
    with pytest.raises(CompositionError, match=r"expected a networkx\.DiGraph; got dict"):
        Workflow.from_graph({}, app=app)
    graph = nx.DiGraph([("a", "b"), ("b", "a")])
    with pytest.raises(CompositionError, match="cycle: "):
        Workflow.from_graph(graph, app=app)
    with pytest.raises(CompositionError, match="a: expected a node attribute 'signature'"):
        Workflow.from_graph(nx.DiGraph([("a", "b")]), app=app)
    flow.map(sig(app, "ident"), over=flow.add(sig(app, "ident", [1])), name="all")
    with pytest.raises(CompositionError, match="all: a map cannot be written as a plain graph"):
        flow.to_graph()


@pytest.fixture
def pictured(app, flow):
    a = flow.add(sig(app, "ident", 1), name='a "quoted" <name>')
    choice = flow.branch(a, {1: sig(app, "ident", a)}, otherwise=sig(app, "ident", 2))
    flow.map(sig(app, "ident"), over=choice, name="all", after=a)
    return flow


def test_pictures_in_four_forms(pictured):
    text = pictured.draw()
    assert "branch.1" in text
    assert "all ×n" in text
    mermaid = pictured.draw("mermaid")
    assert mermaid.startswith("flowchart LR")
    assert "#quot;quoted#quot;" in mermaid
    assert '|"otherwise"|' in mermaid
    dot = pictured.draw("dot")
    assert '\\"quoted\\"' in dot
    assert 'style=dashed, label="1"' in dot
    svg = pictured._repr_svg_()
    assert svg.startswith("<svg")
    assert "&lt;name&gt;" in svg
    with pytest.raises(CompositionError, match="form: expected one of text, mermaid, dot, svg; got 'png'"):
        pictured.draw("png")


def test_long_workflows_are_drawn_too(app):
    flow = Workflow("long", app)
    node = flow.add(app.signature("t", (0,)))
    for _ in range(1500):
        node = flow.add(app.signature("t", (node,)))
    assert flow.draw("svg").count("<rect") == 1501
    assert len(flow.draw()) < 200_000


@pytest.mark.parametrize("batch", [None, 2])
def test_items_are_sent_as_their_task_is_also_in_batches(app, batch):
    app.conf.task_routes = {"routed": {"queue": "by route"}}
    app.task(name="routed", shared=False)(lambda x: x)
    app.task(name="own", shared=False, queue="by attribute", priority=3)(lambda x: x)
    sent = []

    def note(sender=None, headers=None, properties=None, routing_key=None, **_):
        sent.append((routing_key, properties.get("priority"), headers["timelimit"]))

    signals.before_task_publish.connect(note)
    for each in (sig(app, "routed"), sig(app, "own"), sig(app, "ident").set(queue="by option", time_limit=5)):
        flow = Workflow("flow", app)
        flow.map(each, over=[1, 2], batch=batch)
        flow.apply_async()
    signals.before_task_publish.disconnect(note)
    none = [None, None]
    assert list(dict.fromkeys(map(str, sent))) == [
        str(one) for one in (("by route", None, none), ("by attribute", 3, none), ("by option", None, [5, None]))
    ]


def test_a_route_takes_the_messages_that_workflows_send_for_themselves(app):
    app.conf.task_routes = {"canvas.*": "own"}
    sent = {}

    def note(sender=None, routing_key=None, **_):
        sent[sender] = routing_key

    signals.before_task_publish.connect(note)
    flow = Workflow("flow", app)
    flow.sleep(60)
    flow.map(flow_of_one(app), over=[1])
    flow.apply_async(timeout=60)
    signals.before_task_publish.disconnect(note)
    assert sent == dict.fromkeys(["canvas.wake", "canvas.run_workflow", "canvas.cancel_run"], "own")


def flow_of_one(app):
    flow = Workflow("one", app)
    flow.add(sig(app, "ident", flow.input("x")))
    return flow
