"""Random workflows of every kind of node."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from canvas import Canvas, Workflow

LIMIT = 50.0
MOST = 4
"""Greater items fail."""
KINDS = [
    "add", "add", "fail", "kept", "sleep", "wait", "wait out", "loop", "inner loop", "exhausted", "slow inside", "inside",
    "grown", "branch", "map", "batch", "inner map", "line", "pages", "yielded",
]  # fmt: skip
RULES = ["all_success", "all_done", "any_success", "any_done", "none_failed"]


@dataclass
class Drawn:
    """A node: its kind, the earlier nodes that it takes results of, and numbers that its kind needs."""

    kind: str
    parents: list[int] = field(default_factory=list)
    rule: str = "all_success"
    number: int = 0


def number_of(value):
    """A node's value as a number: a line of maps has a list, a failed parent ``None``."""
    return sum(value) if isinstance(value, list) else value or 0


def nodes_before(at):
    return st.lists(st.integers(0, at - 1), unique=True, min_size=1, max_size=3) if at else st.just([])


@st.composite
def workflows(draw):
    drawn = []
    for at in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(KINDS + (["first"] if at > 1 else [])))
        parents = draw(nodes_before(at))
        if kind == "first":
            parents = draw(st.lists(st.integers(0, at - 1), unique=True, min_size=2, max_size=3))
        rule = draw(st.sampled_from(RULES)) if kind in ("add", "fail") else "all_success"
        drawn.append(Drawn(kind, parents, rule, draw(st.integers(0, 3))))
    return drawn


def app_with_tasks(broker="memory://", backend="memory://"):
    """An app with the tasks of the workflows; ``undone``: the ids of the tasks that have undone something, with what."""
    app = Canvas("model", broker=broker, backend=backend, set_as_current=False)
    app.undone = []

    @app.task(name="total", shared=False)
    def total(values, more):
        return sum(map(number_of, values)) + more

    @app.task(name="undo", shared=False, bind=True)
    def undo(self, value, name):
        app.undone.append((self.request.id, name))

    @app.task(name="picky", shared=False)
    def picky(value):
        if value > MOST:
            raise ValueError("too much")
        return value + 1

    @app.task(name="pair", shared=False)
    def pair(value):
        return [value, value + 1]

    @app.task(name="page", shared=False)
    def page(cursor, pages):
        cursor = cursor or 0
        items = [2 * cursor, 2 * cursor + 1] if cursor < pages else []
        return {"items": items, "next": cursor + 1 if cursor + 1 < pages else None}

    @app.task(name="yield_pages", shared=False)
    def yield_pages(pages):
        for page in range(pages):
            yield [2 * page, 2 * page + 1]

    @app.task(name="above", shared=False)
    def above(value, limit):
        return value > limit

    @app.task(name="more", shared=False)
    def more(value):
        return value + 1

    @app.task(name="fail", shared=False)
    def fail(*args):
        raise ValueError("drawn")

    @app.task(name="grow", shared=False)
    def grow(number, name):
        flow = Workflow("grown", app)
        flow.add(more.s(flow.add(more.s(number), compensate=undo.s(name))))
        return flow

    return app


def composed(app, drawn, scale=1.0):
    """The workflow, its times multiplied by ``scale``."""
    flow = Workflow("drawn", app)
    handles = []
    for at, node in enumerate(drawn):
        handles.append(compose(app, flow, handles, node, f"n{at}", scale))
    flow.finally_(app.tasks["total"].s([], 1), name="finally")
    return flow


def compose(app, flow, handles, node, name, scale):
    tasks = app.tasks
    parents = [handles[parent] for parent in node.parents]
    options = {"name": name, "after": parents}
    match node.kind:
        case "add":
            undo = tasks["undo"].s(name)
            return flow.add(tasks["total"].s(parents, node.number), name=name, when=node.rule, compensate=undo)
        case "kept":
            return flow.add(tasks["fail"].s(), on_failure="continue", default=5, **options)
        case "branch":
            on = flow.add(tasks["more"].s(node.number), name=f"{name} on", after=parents)
            arms = {1: tasks["more"].s(10), 2: tasks["more"].s(20)}
            return flow.branch(on, arms, tasks["more"].s(30), name=name)
        case "map" | "batch":
            items = flow.add(tasks["pair"].s(node.number + 1), name=f"{name} items", after=parents)
            how = {"batch": 2} if node.kind == "batch" else {"concurrency": 1, "stop_after": 1}
            return flow.map(tasks["picky"].s(), items, name=name, compensate=tasks["undo"].s(name), **how)
        case "inner map":
            items = flow.add(tasks["pair"].s(node.number + 1), name=f"{name} items", after=parents)
            return flow.map(step_inside(app, "picky", name), items, name=name)
        case "inner loop":
            inner, until = step_inside(app, "more", name), tasks["above"].s(5)
            return flow.loop(inner, node.number, until=until, at_most=20, **options)
        case "line":
            items = flow.add(tasks["pair"].s(node.number), name=f"{name} items", after=parents)
            undo, undo_before = tasks["undo"].s(name), tasks["undo"].s(f"{name} before")
            fed = flow.map(tasks["more"].s(), items, name=f"{name} before", compensate=undo_before)
            return fed.map(tasks["picky"].s(), name=name, compensate=undo)
        case "pages":
            undo = tasks["undo"].s(name)
            return flow.pages(tasks["page"].s(node.number), tasks["picky"].s(), compensate=undo, **options)
        case "yielded":
            undo = tasks["undo"].s(name)
            return flow.pages(tasks["yield_pages"].s(node.number), tasks["picky"].s(), compensate=undo, **options)
        case "fail":
            return flow.add(tasks["fail"].s(), when=node.rule, **options)
        case "sleep":
            return flow.sleep((10 + node.number) * scale, **options)
        case "wait":
            return flow.wait_for("go", **options)
        case "wait out":
            return flow.wait_for("never", timeout=30 * scale, **({"default": 7} if node.number else {}), **options)
        case "loop":
            return flow.loop(tasks["more"].s(), node.number, until=tasks["above"].s(5), at_most=20, **options)
        case "exhausted":
            return flow.loop(tasks["more"].s(), 0, until=tasks["above"].s(5), at_most=2, **options)
        case "first":
            return flow.first(*parents, name=name)
        case "grown":
            return flow.call(tasks["grow"].si(node.number, name), **options)
    inside = Workflow(f"inside {name}", app)
    given_number = inside.input("number")
    nap = inside.sleep((LIMIT * 2 if node.kind == "slow inside" else LIMIT / 2) * scale)
    inside.add(tasks["total"].s([given_number], 1), after=nap, compensate=tasks["undo"].s(name))
    return flow.timeout(flow.add(inside, inputs={"number": node.number}, **options), LIMIT * scale)


def step_inside(app, task, name):
    """A workflow that runs one task for a value, and undoes that."""
    inside = Workflow(f"step of {name}", app)
    inside.add(app.tasks[task].s(inside.input("value")), compensate=app.tasks["undo"].s(name))
    return inside


def signals_of(drawn):
    """How many signals its nodes wait for."""
    return sum(node.kind == "wait" for node in drawn)
