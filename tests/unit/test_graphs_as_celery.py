"""``celery.utils.graph``, next to Celery's own."""

import io

import pytest
from celery.utils import graph as theirs

from canvas.celery_names.utils.code import graph as ours

ARCS = {"a": ["b", "c"], "b": ["d", "e é"], "c": ["d"], "d": ["f"], "e é": [], "f": []}


def made(library, **formatter):
    graph = library.DependencyGraph(ARCS.items(), formatter=library.GraphFormatter(**formatter) if formatter else None)
    more = library.DependencyGraph([("g", [])])
    graph.connect(more)
    graph.add_arc("h")
    graph.add_edge("h", "g")
    return graph


def shown(library, graph):
    written = io.StringIO()
    graph.to_dot(written)
    valencies = [graph.valency_of(node) for node in (*graph, "unknown")]
    return (
        repr(graph),
        valencies,
        list(graph.edges()),
        len(graph),
        "h" in graph,
        graph["h"],
        dict(graph.items()),
        written.getvalue(),
    )


def test_a_graph_is_celerys():
    assert shown(ours, made(ours)) == shown(theirs, made(theirs))
    about = {"root": "a", "type": "graph", "id": "steps", "indent": 1, "style": "dashed"}
    assert shown(ours, made(ours, **about)) == shown(theirs, made(theirs, **about))


def test_an_own_formatter():
    written = []
    for library in (ours, theirs):

        class Loud(library.GraphFormatter):
            def label(self, obj):
                return str(obj).upper()

            def terminal_node(self, obj, **attrs):
                return super().terminal_node(obj, color="red", **attrs)

        text = io.StringIO()
        made(library).to_dot(text, formatter=Loud(root="a"))
        written.append(text.getvalue())
    assert written[0] == written[1]


def test_the_order():
    for graph in (made(ours), made(theirs)):
        order = graph.topsort()
        assert len(order) == 8
        assert all(order.index(below) < order.index(node) for node in graph for below in graph[node])
    with pytest.raises(ours.CycleError):
        ours.DependencyGraph([("a", ["b"]), ("b", ["a"])]).topsort()
