"""The graph of a result, next to that of Celery for the same arcs."""

import io
import re

import pytest
from celery.utils.graph import DependencyGraph

from canvas import Canvas
from canvas.errors import IncompleteStream
from canvas.model.record import Record

CHILDREN = {"a": ["b", "c"], "b": ["d", 'e "e"'], "c": [], "d": ["f"], 'e "e"': [], "f": []}


@pytest.fixture
def app():
    app = Canvas("graphs", broker="memory://graphs", backend="memory://graphs")
    yield app
    app.close()


def store(app, task_id, state="SUCCESS"):
    children = [app.AsyncResult(child).as_tuple() for child in CHILDREN[task_id]]
    app.backend._results.store([app.backend.store_of(Record(task_id, state, 1, None, children))])


def test_a_graph_is_shown_and_asked_as_in_celery(app):
    for task_id in CHILDREN:
        store(app, task_id)
    graph = app.AsyncResult("a").graph
    assert {node.id: [child.id for child in below] for node, below in graph.items()} == CHILDREN
    same = DependencyGraph(graph.items())
    assert repr(graph) == repr(same)
    assert (list(graph.edges()), len(graph)) == (list(same.edges()), len(same))
    assert [graph.valency_of(node) for node in graph] == [same.valency_of(node) for node in graph]
    assert graph.valency_of("unknown") == same.valency_of("unknown") == 0
    for order in (graph.topsort(), same.topsort()):
        assert all(order.index(child) < order.index(node) for node in graph for child in graph[node])


def test_a_graph_is_written_in_graphviz_language(app):
    for task_id in CHILDREN:
        store(app, task_id)
    graph, written = app.AsyncResult("a").graph, io.StringIO()
    graph.to_dot(written)
    arcs = re.findall(r'^    ("(?:[^"\\\\]|\\\\.)*") -> (.*)$', written.getvalue(), re.MULTILINE)
    assert len(arcs) == 5
    assert ('"b"', r'"e \"e\""') in arcs


def test_a_graph_of_results_that_are_not_ready(app):
    store(app, "a")
    with pytest.raises(IncompleteStream):
        app.AsyncResult("a").graph
    assert {node.id for node in app.AsyncResult("a").build_graph(intermediate=True)} == {"a", "b", "c"}
