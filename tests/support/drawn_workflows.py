"""Random workflows of every kind of node, and a plain evaluation of what their runs come to."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from canvas import Canvas, Workflow
from canvas.errors import CanvasError

ANY = "any value"
FAILED = "failed"
LIMIT = 50.0
MOST = 4
"""Greater items fail."""
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
        kinds = [
            "add",
            "add",
            "fail",
            "sleep",
            "wait",
            "wait out",
            "loop",
            "exhausted",
            "slow inside",
            "inside",
            "grown",
            "line",
            "pages",
            "yielded",
        ]
        kind = draw(st.sampled_from(kinds + (["first"] if at > 1 else [])))
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
    def grow(number):
        flow = Workflow("grown", app)
        flow.add(more.s(flow.add(more.s(number))))
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
            return flow.call(tasks["grow"].si(node.number), **options)
    inside = Workflow(f"inside {name}", app)
    given_number = inside.input("number")
    nap = inside.sleep((LIMIT * 2 if node.kind == "slow inside" else LIMIT / 2) * scale)
    inside.add(tasks["total"].s([given_number], 1), after=nap, compensate=tasks["undo"].s(name))
    return flow.timeout(flow.add(inside, inputs={"number": node.number}, **options), LIMIT * scale)


def expected(drawn):
    """For each node its value, ``ANY`` or ``FAILED``; ``None`` for one that may be cancelled before it has ended."""
    ends = []
    for node in drawn:
        ends.append(end_of(node, [ends[parent] for parent in node.parents]))
    return ends


def end_of(node, parents):
    failed = [one is FAILED for one in parents]
    if node.kind == "first":
        good = [one for one in parents if one is not FAILED]
        return FAILED if not good else good[0] if len(good) == 1 else ANY
    runs = {
        "all_success": not any(failed), "none_failed": not any(failed), "all_done": True, "any_done": True,
        "any_success": not parents or not all(failed),
    }[node.rule]  # fmt: skip
    if not runs:
        return FAILED
    match node.kind:
        case "add":
            early = node.rule in ("any_success", "any_done") and len(parents) > 1
            known = not early and ANY not in parents
            return sum(number_of(one) for one in parents if one is not FAILED) + node.number if known else ANY
        case "fail" | "exhausted" | "slow inside":
            return FAILED
        case "sleep":
            return None
        case "wait":
            return ANY
        case "wait out":
            return 7 if node.number else FAILED
        case "loop":
            return 6
        case "grown":
            return node.number + 2
        case "line":
            return [node.number + 2, node.number + 3] if node.number + 2 <= MOST else FAILED
        case "pages" | "yielded":
            return 2 * node.number if 2 * node.number - 1 <= MOST else FAILED
    return node.number + 1


def may_be_cancelled(drawn):
    """Nodes that a race may cancel: all ways from them lead to it."""
    found = set()
    for at, node in enumerate(drawn):
        if node.kind == "first":
            inside = {at}
            for before in range(at - 1, -1, -1):
                after = {number for number, one in enumerate(drawn) if before in one.parents}
                if after and after <= inside:
                    inside.add(before)
            found |= inside - {at}
    return found


def waits_for_all(node):
    return node.kind != "first" and node.rule not in ("any_success", "any_done")


def not_awaited(drawn):
    """Nodes for which the end of the run does not wait: those after them may have started without them. Where they end
    after a run that has failed, they are not undone."""
    awaited = set()
    for at in reversed(range(len(drawn))):
        after = [number for number, node in enumerate(drawn) if at in node.parents]
        if not after or any(number in awaited and waits_for_all(drawn[number]) for number in after):
            awaited.add(at)
    return set(range(len(drawn))) - awaited


def number_in(name):
    return int(name[1:].split()[0])


def to_undo(drawn, unsure, states, failed):
    """The names that are undone, once for each item: of a run that has failed, all that has succeeded."""
    found = []
    for at, node in enumerate(drawn):
        name = f"n{at}"
        if at in unsure:
            continue
        state = states[name]
        if node.kind in ("pages", "yielded") and state in ("SUCCESS", "FAILURE"):
            # The run of a page that fails undoes its own items, whatever the run around it does.
            pages = [[2 * page, 2 * page + 1] for page in range(node.number)]
            ends = [max(items) > MOST for items in pages]
            found += [name for items, ends_badly in zip(pages, ends, strict=True) for item in items
                      if item <= MOST and (failed or ends_badly)]  # fmt: skip
        elif failed and node.kind == "line" and states[f"{name} before"] == "SUCCESS":
            found += [f"{name} before"] * 2
            found += [name for item in (node.number + 1, node.number + 2) if item <= MOST]
        elif failed and node.kind in ("add", "inside") and state == "SUCCESS":
            found.append(name)
    return sorted(found)


def signals_of(drawn):
    """How many signals its nodes wait for."""
    return sum(node.kind == "wait" for node in drawn)


def undone_of(app, run):
    """What has been undone for a run, in this order."""
    return [name for task_id, name in app.undone if task_id.startswith(run.id)]


def assert_as_evaluated(run, drawn):
    """A run has ended as the plain evaluation."""
    wanted, cancelled = expected(drawn), may_be_cancelled(drawn)
    status = run.status()
    states = {node.name: node.state for node in status.nodes}
    for at, end in enumerate(wanted):
        state, name = states[f"n{at}"], f"n{at}"
        if at in cancelled and state in ("REVOKED", "UPSTREAM_FAILED", "STARTED"):
            continue
        if end is FAILED:
            assert state in ("FAILURE", "UPSTREAM_FAILED", "REVOKED"), (name, drawn, status)
        else:
            assert state == "SUCCESS", (name, drawn, status)
            assert end is ANY or run[name].get() == end, (name, drawn)
    assert states["finally"] == "SUCCESS"
    sinks = [end for at, end in enumerate(wanted) if not any(at in node.parents for node in drawn)]
    assert (status.state == "FAILURE") == (FAILED in sinks), (drawn, status)
    if FAILED in sinks:
        assert isinstance(run.get(propagate=False), CanvasError | ValueError)


def is_undone(run, drawn, undone):
    """Whether ``undone`` is all that a run that has ended is to undo."""
    unsure = may_be_cancelled(drawn) | not_awaited(drawn)
    sure = sorted(name for name in undone if number_in(name) not in unsure)
    status = run.status()
    states = {node.name: node.state for node in status.nodes}
    return sure == to_undo(drawn, unsure, states, status.state == "FAILURE")


def assert_in_order(drawn, undone):
    """A node was undone after the nodes that depend on it."""
    for name in undone:
        after = {f"n{at}" for at, node in enumerate(drawn) if number_in(name) in node.parents and waits_for_all(node)}
        # A page that fails undoes its own items at once, before the run around it undoes anything.
        paged = drawn[number_in(name)].kind in ("pages", "yielded")
        last = len(undone) - undone[::-1].index(name) if paged else undone.index(name)
        assert not after & set(undone[last:]), (name, undone, drawn)
