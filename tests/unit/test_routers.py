"""Routers in task_routes: how they are named, and how they are called."""

import functools

import pytest

from canvas import Canvas
from canvas.errors import ConfigurationError


def by_name(name, args, kwargs, options, task=None, **_):
    return {"queue": getattr(task, "lane", None) or "unknown"}


@pytest.mark.parametrize("routes", [by_name, "tests.unit.test_routers.by_name", "tests.unit.test_routers:by_name"])
def test_routers_get_the_task_and_may_be_named(routes):
    app = Canvas("routed", broker="memory://routed", task_routes=(routes,), set_as_current=False)

    @app.task(name="fast")
    def fast():
        """A lane of its own."""

    app.tasks["fast"].lane = "quick"
    assert app.router.route("fast", {}).routing_key == "quick"
    assert app.router.route("other", {}).routing_key == "unknown"


@pytest.mark.parametrize(
    "route",
    [
        lambda task, args, kwargs, options: "q",
        lambda name, args, kwargs, options, /, task=None: "q",
        functools.partial(by_name),
    ],
)
def test_routers_are_called_as_they_can_be(route):
    app = Canvas("routed", broker="memory://routed", task_routes=(route,), set_as_current=False)
    assert app.router.route("t", {}).routing_key in ("q", "unknown")


def test_routers_that_cannot_be_imported_are_named():
    app = Canvas("routed", broker="memory://routed", task_routes="no.such.router", set_as_current=False)
    with pytest.raises(ConfigurationError, match=r"task_routes: 'no\.such\.router' cannot be imported"):
        app.router.route("t", {})
