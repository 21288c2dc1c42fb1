"""An app and signatures for tests that compose workflows."""

import pytest

from canvas import Canvas, Workflow
from canvas.errors import NodeTimeout
from canvas.graph.run_nodes import run_nodes
from canvas.graph.workflow_embeddings import WorkflowEmbeddings


def fixtures(make, name="flow"):
    """The fixtures ``app``, which ``make`` makes, and ``flow``, a workflow of this name."""

    @pytest.fixture
    def app():
        return make()

    @pytest.fixture
    def flow(app):
        return Workflow(name, app)

    return app, flow


def flows_app():
    """An app in memory, with a task that fails and one that returns workflows."""
    app = Canvas("flows", broker="memory://", backend="memory://")

    @app.task(name="add", shared=False)
    def add(x, y):
        return x + y

    @app.task(name="ident", shared=False)
    def ident(x):
        return x

    @app.task(name="above", shared=False)
    def above(value, limit):
        return value > limit

    @app.task(name="fail", shared=False)
    def fail(*args):
        raise ValueError("boom")

    @app.task(name="late", shared=False)
    def late():
        raise NodeTimeout("it was late")

    @app.task(name="grow", shared=False, bind=True)
    def grow(self, depth):
        if depth == 0:
            return 0
        flow = Workflow("grown", app)
        flow.add(add.s(flow.add(self.s(depth - 1)), 1))
        return flow

    return app


def sig(app, name, *args, **kwargs):
    return app.tasks[name].s(*args, **kwargs)


def inner(app):
    inside = Workflow("inner", app)
    inside.add(sig(app, "add", inside.input("x", default=1), 1))
    return inside


def etl_app():
    """An app in memory whose tasks return what they are given, or its sum."""
    app = Canvas("wf", broker="memory://", backend="memory://")
    app.task(name="add", shared=False)(lambda x, y: x + y)
    app.task(name="total", shared=False)(sum)
    app.task(name="ident", shared=False)(lambda x: x)
    return app


def embedded(flow):
    """A workflow in Celery's form, with ids that are numbers."""
    numbers = iter(range(10_000))
    return WorkflowEmbeddings(run_nodes(flow.entries), lambda n: f"t{n}", lambda: f"id{next(numbers)}", {})
