"""From signature to graph to plan: what is refused, which option goes where, what the graph looks like."""

from itertools import count

import networkx as nx
import pytest

from canvas import Canvas, chain, chord, chunks, group, signature
from canvas.errors import CompositionError
from canvas.graph.compile import compile, graph_of


@pytest.fixture(autouse=True)
def app():
    return Canvas("comp", broker="memory://comp", backend="memory://comp")


def s(name, *args, **options):
    return signature(name, args, options=options)


def twins():
    return group(s("c"), s("d")).set(task_id="g")


def plan(sig, args=(), **options):
    numbers = count()
    return compile(sig, args, {}, options, new_id=lambda: f"id{next(numbers)}")


def test_a_chain_is_a_path():
    graph = graph_of(s("a") | s("b") | s("c"), iter("xyz").__next__)
    assert list(graph.edges) == [("x", "y"), ("y", "z")]
    assert nx.is_directed_acyclic_graph(graph)


def test_a_chord_is_a_fork_that_joins():
    numbers = count()
    graph = graph_of(chord([s("a"), s("b")], s("c")), lambda: f"n{next(numbers)}")
    assert len([n for n in graph if n.startswith("join:")]) == len([n for n in graph if n.startswith("fork:")]) == 1
    kinds = sorted(data["kind"] for *_, data in graph.edges(data=True))
    assert kinds == ["body", "member", "member", "part", "part"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: chord([s("a")]), "needs a body"),
        (lambda: chain(chain()), "empty chain"),
        (lambda: group(s("a", task_id="same"), s("b", task_id="same")), "duplicate task id 'same': b"),
        (lambda: group(s("a") | twins(), s("b") | twins()), "duplicate group id 'g'"),
    ],
)
def test_what_is_no_workflow_is_refused_by_name(make, said):
    with pytest.raises(CompositionError, match=said):
        plan(make())


def test_a_signature_inside_itself_is_refused():
    loop = group(s("a"))
    loop.tasks.append(s("b") | s("c"))
    loop.tasks[1].tasks.append(loop)
    with pytest.raises((CompositionError, RecursionError), match=r"cycle|recursion"):
        plan(loop)


def test_headers_that_end_in_nothing_have_a_part_where_they_are_workflows():
    empty = chunks(s("t"), [], 2)
    for member in (chord([], group()), empty, group(chord([], group())), s("a") | chord([s("b")], group())):
        found = plan(chord([member], s("body")))
        assert found.chords[0].size == 1
    with pytest.raises(CompositionError, match="empty chain"):
        plan(chord([chord([s("t")], chain())], s("body")))
    loop = chord([s("a")], s("b"))
    loop.kwargs["body"] = loop
    with pytest.raises((CompositionError, RecursionError), match=r"cycle|recursion"):
        plan(chord([loop], s("body")))


def test_chain_options_reach_the_first_step_and_callbacks_the_last():
    found = plan(s("a") | s("b"), queue="q", link=s("cb"), link_error=s("eb"), task_id="T", countdown=3)
    first = found.calls[0].options
    step = first["chain"][0]
    assert (first["queue"], first["countdown"], "queue" in step["options"]) == ("q", 3, False)
    assert step["options"]["task_id"] == found.result.id == "T"
    assert [c["task"] for c in step["options"]["link"]] == ["cb"]
    assert [e["task"] for e in first["link_error"]] == [e["task"] for e in step["options"]["link_error"]] == ["eb"]
    assert "link" not in first


def test_group_options_override_its_members():
    found = plan(group(s("a", queue="own"), s("b")).set(queue="theirs"))
    assert [d.options["queue"] for d in found.calls] == ["theirs", "theirs"]
    assert [d.options["group_index"] for d in found.calls] == [0, 1]


def test_chord_options_reach_header_and_body_but_delays_only_the_header():
    found = plan(chord([s("a"), s("b")], s("c")), queue="q", countdown=5, task_id="T")
    body = found.calls[0].options["chord"]
    assert [(d.options["queue"], d.options["countdown"]) for d in found.calls] == [("q", 5), ("q", 5)]
    assert (body["options"]["queue"], "countdown" in body["options"], body["options"]["task_id"]) == ("q", False, "T")


def test_partial_arguments_reach_the_first_steps_only():
    found = plan(group(s("a", 1), s("b", 2).set(immutable=True)) | s("c", 3), (9,))
    assert [d.args for d in found.calls] == [(9, 1), (2,)]


def test_nested_groups_keep_their_order():
    found = plan(group(group(s("a"), s("b")), s("c"), group(s("d"))))
    assert [(d.task, d.options["group_index"]) for d in found.calls] == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]


def test_sizes_count_what_will_be_returned():
    header = [
        s("a"),
        s("b") | s("c"),
        group(s("d"), s("e")),
        chord([s("f")], group(s("g"), s("h"))),
        s("i") | group(s("j"), s("k")),
    ]
    found = plan(chord(header, s("z")))
    outer = next(b for b in found.chords if b.size > 1)
    assert outer.size == 8
    assert outer.nested


def test_options_of_chunks_are_given_to_each():
    found = plan(chunks(s("a"), [(1,), (2,)], 1).set(priority=6))
    assert [call.options["priority"] for call in found.calls] == [6, 6]


def test_empty_things():
    assert plan(chain()).result is None
    empty = plan(group())
    assert (empty.calls, empty.result.members) == ([], [])
    body = plan(chord([], s("a"))).calls
    assert [(d.task, d.args) for d in body] == [("a", ([],))]


def test_what_follows_a_received_step_is_carried_on():
    rest = [{"task": "later", "args": (), "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}]
    found = plan(s("a") | s("b"), chain=rest)
    assert [step["task"] for step in found.calls[0].options["chain"]] == ["later", "b"]
    found = plan(chord([s("a")], s("b")), chain=rest)
    assert found.calls[0].options["chord"]["options"]["chain"] == rest


def test_long_chains_and_wide_groups_are_no_problem():
    assert len(plan(chain(s("a", i) for i in range(3000))).calls[0].options["chain"]) == 2999
    assert len(plan(chord([s("a", i) for i in range(3000)], s("b"))).calls) == 3000


def test_links_of_members_survive_a_chains_link():
    member = s("b")
    member.link(s("own"))
    found = plan(s("a") | group(member, s("c")), link=s("cb"))
    members = found.calls[0].options["chain"][0]["kwargs"]["tasks"]
    assert [[c["task"] for c in m["options"]["link"]] for m in members] == [["own", "cb"], ["cb"]]


def test_pictures():
    flow = s("t.a", 1) | group(s("t.b"), s("t.c") | s("t.d")) | s("t.e")
    drawn = flow.draw()
    assert drawn.index("t.a(1)") < drawn.index("t.c") < drawn.index("t.d") < drawn.index("t.e")
    assert flow.draw("mermaid").startswith("flowchart LR")
    assert flow.draw("dot").count("->") == flow.draw("mermaid").count("-->") == 5
