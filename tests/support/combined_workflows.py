"""Each construct of workflows inside of each other one, with its plain evaluation.

A *body* is what a workflow inside does with its input. A *frame* is what runs that workflow. Both know the value that
they come to by plain Python, which counts the tasks that run.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from canvas import Canvas, Workflow

SIGNALLED = 100
"""The payload of each signal."""
LONG = 3_600
LATE = 7
"""The value that stands for a node that is too late."""


class Plain:
    """The tasks as functions, with a count of their successes by name and arguments."""

    def __init__(self) -> None:
        self.ran: Counter[Any] = Counter()

    def more(self, value):
        self.ran["more", value] += 1
        return value + 1

    def total(self, values):
        self.ran["total", sum(values)] += 1
        return sum(values)

    def pair(self, value):
        self.ran["pair", value] += 1
        return [value, value + 1]

    def checked(self, value):
        self.ran["checked", value] += 1
        return value

    def asked(self, value):
        self.ran["asked", value] += 1

    def above(self, value, limit):
        self.ran["above", value] += 1
        return value > limit

    def until_above(self, step, value, limit):
        while True:
            value = step(value)
            if self.above(value, limit):
                return value


@dataclass(frozen=True)
class Body:
    """What a workflow inside does."""

    compose: Callable[[Canvas, Workflow, Any], Any]
    """Adds its nodes; takes the handle of the input and gives that of the value."""
    value: Callable[[Plain, int], int]


@dataclass(frozen=True)
class Frame:
    """What runs a workflow inside; ``compose`` takes a function that makes such a workflow, and the name of its body."""

    compose: Callable[[Canvas, Workflow, Callable[[], Workflow], str], Any]
    value: Callable[[Plain, Callable[[int], int]], Any]


def sig(app, name, *args, **kwargs):
    return app.tasks[f"c.{name}"].s(*args, **kwargs)


def nested(app, flow, x):
    inner = Workflow("innermost", app)
    inner.add(sig(app, "more", inner.input("y")))
    return flow.add(inner, inputs={"y": x}, name="innermost")


def too_late(app, flow, x):
    inner = Workflow("slow", app)
    inner.add(sig(app, "total", [inner.input("y")]), after=inner.sleep(LONG))
    return flow.timeout(flow.add(inner, inputs={"y": x}, name="slow"), 0.2, otherwise=LATE)


def skipped_join(app, flow, x):
    on = flow.add(sig(app, "more", x), name="on")
    chosen = flow.branch(on, {-1: sig(app, "more", 1)}, name="chosen")
    return flow.add(sig(app, "total", [x]), after=chosen, when="none_failed", name="joined")


def failed_join(app, flow, x):
    bad = flow.add(sig(app, "fails"), after=x, on_failure="continue", default=0, name="bad")
    good = flow.add(sig(app, "more", x), name="good")
    return flow.add(sig(app, "total", [good]), after=bad, when="all_done", name="joined")


def with_finally(app, flow, x):
    flow.finally_(sig(app, "cleaned"), name="inner cleanup")
    return flow.add(sig(app, "more", x), name="step")


def never(app, flow, x):
    flow.finally_(sig(app, "cleaned"), name="inner cleanup")
    return flow.wait_for("never", after=flow.add(sig(app, "asked", x), name="asked"))


def waits(app, flow, x):
    asked = flow.add(sig(app, "asked", x), name="asked")
    return flow.add(sig(app, "total", [x, flow.wait_for("go", after=asked)]), name="step")


BODIES = {
    "task": Body(lambda app, flow, x: flow.add(sig(app, "more", x)), lambda run, x: run.more(x)),
    "wait": Body(waits, lambda run, x: (run.asked(x), run.total([x, SIGNALLED]))[1]),
    "sleep": Body(
        lambda app, flow, x: flow.add(sig(app, "more", x), after=flow.sleep(0.05, after=x)), lambda run, x: run.more(x)
    ),
    "loop": Body(
        lambda app, flow, x: flow.loop(sig(app, "more"), x, until=sig(app, "above", 2), at_most=999),
        lambda run, x: run.until_above(run.more, x, 2),
    ),
    "map": Body(
        lambda app, flow, x: flow.add(
            sig(app, "total", flow.map(sig(app, "more"), flow.add(sig(app, "pair", x)), concurrency=1))
        ),
        lambda run, x: run.total([run.more(one) for one in run.pair(x)]),
    ),
    "line": Body(
        lambda app, flow, x: flow.add(
            sig(app, "total", flow.map(sig(app, "more"), flow.add(sig(app, "pair", x))).map(sig(app, "more"), batch=2))
        ),
        lambda run, x: run.total([run.more(run.more(one)) for one in run.pair(x)]),
    ),
    "pages": Body(
        lambda app, flow, x: flow.pages(sig(app, "page", 2), sig(app, "more"), after=x),
        lambda run, x: len([run.more(one) for one in range(4)]),
    ),
    "race": Body(
        lambda app, flow, x: flow.first(flow.add(sig(app, "more", x)), flow.sleep(LONG, after=x)),
        lambda run, x: run.more(x),
    ),
    "limit": Body(
        lambda app, flow, x: flow.timeout(flow.add(sig(app, "more", x)), LONG, otherwise=0), lambda run, x: run.more(x)
    ),
    "too late": Body(too_late, lambda run, x: LATE),
    "nested": Body(nested, lambda run, x: run.more(x)),
    "grown": Body(lambda app, flow, x: flow.call(sig(app, "grow", x, "task")), lambda run, x: run.checked(run.more(x))),
    "finally": Body(with_finally, lambda run, x: run.more(x)),
    "branch": Body(
        lambda app, flow, x: flow.branch(x, {0: sig(app, "more", 40)}, sig(app, "more", 50)),
        lambda run, x: run.more(50 if x else 40),
    ),
    "skipped join": Body(skipped_join, lambda run, x: (run.more(x), run.total([x]))[1]),
    "failed join": Body(failed_join, lambda run, x: run.total([run.more(x)])),
}


def in_branch(app, flow, inside, body):
    return flow.branch(flow.input("on", default=1), {1: flow.add(inside(), inputs={"x": 0}, name="arm")})


def by_page(app, flow, inside, body):
    page = Workflow("page", app)
    page.map(inside(), page.input("items"))
    return flow.pages(sig(app, "page", 2), page)


def after_failure(app, flow, inside, body):
    good, bad = flow.add(inside(), inputs={"x": 0}, name="good"), flow.wait_for("never", timeout=0.1, name="bad")
    return flow.add(sig(app, "total", [good]), after=bad, when="all_done", name="joined")


FRAMES = {
    "node": Frame(
        lambda app, flow, inside, body: flow.add(inside(), inputs={"x": 0}, name="outer"), lambda run, f: f(0)
    ),
    "map": Frame(lambda app, flow, inside, body: flow.map(inside(), [0, 1, 2]), lambda run, f: [f(0), f(1), f(2)]),
    "lanes": Frame(
        lambda app, flow, inside, body: flow.map(inside(), [0, 1], concurrency=1), lambda run, f: [f(0), f(1)]
    ),
    "line": Frame(
        lambda app, flow, inside, body: flow.map(inside(), [0, 1]).map(inside()), lambda run, f: [f(f(0)), f(f(1))]
    ),
    "loop": Frame(lambda app, flow, inside, body: flow.loop(inside(), 0, at_most=2), lambda run, f: f(f(0))),
    "until": Frame(
        lambda app, flow, inside, body: flow.loop(inside(), 0, until=sig(app, "above", -1), at_most=9),
        lambda run, f: run.until_above(f, 0, -1),
    ),
    "pages": Frame(by_page, lambda run, f: len([f(0), f(1), f(2), f(3)])),
    "race": Frame(
        lambda app, flow, inside, body: flow.first(
            flow.add(inside(), inputs={"x": 0}, name="outer"), flow.wait_for("never", timeout=0.1)
        ),
        lambda run, f: f(0),
    ),
    "limit": Frame(
        lambda app, flow, inside, body: flow.timeout(flow.add(inside(), inputs={"x": 0}), LONG, otherwise=LATE),
        lambda run, f: f(0),
    ),
    "limit of a map": Frame(
        lambda app, flow, inside, body: flow.timeout(flow.map(inside(), [0, 1]), LONG, otherwise=[]),
        lambda run, f: [f(0), f(1)],
    ),
    "limit of a loop": Frame(
        lambda app, flow, inside, body: flow.timeout(flow.loop(inside(), 0, at_most=2), LONG, otherwise=LATE),
        lambda run, f: f(f(0)),
    ),
    "grown": Frame(lambda app, flow, inside, body: flow.call(sig(app, "grow", 0, body)), lambda run, f: f(0)),
    "grown in a loop": Frame(
        lambda app, flow, inside, body: flow.loop(sig(app, "grow", body), 0, at_most=2), lambda run, f: f(f(0))
    ),
    "grown in a map": Frame(
        lambda app, flow, inside, body: flow.map(sig(app, "grow", body), [0, 1]), lambda run, f: [f(0), f(1)]
    ),
    "branch": Frame(in_branch, lambda run, f: f(0)),
    "join": Frame(after_failure, lambda run, f: run.total([f(0)])),
}
