"""Random acyclic graphs: what they give is what a plain evaluation in topological order gives, whoever runs them.

On canvas' worker in its own form (with results anywhere in the arguments), on a stock Celery worker, and on both at
once in Celery's form. Each node runs once.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canvas import Workflow, chain, chord, group
from canvas.errors import CompositionError
from tests.support.apps import make
from tests.support.ledger import Bench
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer
from tests.support.tasks.values import as_text

pytestmark = pytest.mark.random
MANY = {"max_examples": 1000, "deadline": None, "suppress_health_check": list(HealthCheck)}
FEW = {**MANY, "max_examples": 40}


@dataclass
class Drawn:
    """A node's parents, and how it takes each: as an argument of its own, by name, or only its turn."""

    parents: list[int]
    ways: list[str]


@st.composite
def graphs(draw, ways, most):
    """Layered, dense, N- and W-shaped, with wide joins: each node may wait for any before it."""
    nodes = []
    reach = draw(st.integers(1, 8))
    for number in range(draw(st.integers(1, most))):
        near = list(range(max(0, number - reach), number))
        parents = draw(st.lists(st.sampled_from(near), unique=True, max_size=draw(st.integers(0, 6)))) if near else []
        nodes.append(Drawn(parents, [draw(st.sampled_from(ways)) for _ in parents]))
    return nodes


class Fleet:
    """Workers on one server, and a client."""

    def __init__(self, stack, *workers):
        self.bench = Bench(stack.enter_context(RedisServer()))
        broker, backend, ledger = self.bench.urls()
        for number, library in enumerate(workers):
            place = ("-P", "threads", "-c", "4", "-n", f"w{number}@%h")
            stack.enter_context(WorkerProcess(library, broker, backend, *place, ledger=ledger))
        self.app = make("canvas", broker, backend, ledger=ledger)

    def check(self, nodes, compose, target):
        run_key = uuid4().hex
        flow = Workflow("drawn", self.app)
        expected = compose(self.app.tasks["t.step"], flow, nodes, run_key)
        run = flow.apply_async(target=target)
        run.get(timeout=60)
        assert run.results() == expected
        ran = self.bench.ledger(run_key, len(nodes))
        assert sorted(json.loads(one)["tag"] for one in ran) == sorted(expected)


@pytest.fixture(scope="module")
def fleets():
    with ExitStack() as stack:
        found = {
            "canvas": Fleet(stack, "canvas"),
            "celery": Fleet(stack, "celery"),
            "mixed": Fleet(stack, "celery", "canvas"),
        }
        yield found
        for fleet in found.values():
            fleet.app.close()


def anywhere(step, flow, nodes, key):
    """Results stand as arguments, in lists and dicts, by name; a value shows what its node was given."""
    handles, values = [], {}
    for number, node in enumerate(nodes):
        tag, args, kwargs, shown, named, after = f"n{number}", [], {}, [], {}, []
        for parent, way in zip(node.parents, node.ways, strict=True):
            handle, value = handles[parent], values[f"n{parent}"]
            if way == "argument":
                args.append(handle)
                shown.append(value)
            elif way == "list":
                args.append([handle, 1, {"deep": handle}])
                shown.append([value, 1, {"deep": value}])
            elif way == "name":
                kwargs[f"p{parent}"] = handle
                named[f"p{parent}"] = value
            else:
                after.append(handle)
        handles.append(flow.add(step.s(*args, tag=tag, run=key, **kwargs), name=tag, after=after))
        values[tag] = f"{tag}({', '.join(map(as_text, [*shown, *sorted(named.items())]))})"
    return values


def leading(step, flow, nodes, key):
    """What stock workers can: one result as first argument, or several in one list, or only an order."""
    handles, values = [], {}
    for number, node in enumerate(nodes):
        tag, data = f"n{number}", [handles[parent] for parent in node.parents]
        order = bool(node.ways) and node.ways[0] == "order"
        args = [] if order or not data else data if len(data) == 1 else [data]
        given_ = [values[f"n{parent}"] for parent in node.parents]
        shown = [] if not args else given_ if len(data) == 1 else [given_]
        handles.append(flow.add(step.s(*args, tag=tag, run=key), name=tag, after=data if order else ()))
        values[tag] = f"{tag}({', '.join(map(as_text, shown))})"
    return values


@settings(**FEW)
@given(nodes=graphs(["argument", "list", "name", "order"], 40))
def test_on_canvas_workers(fleets, nodes):
    fleets["canvas"].check(nodes, anywhere, "canvas")


@settings(**FEW)
@given(nodes=graphs(["argument", "order"], 16))
@pytest.mark.parametrize("fleet", ["celery", "mixed", "canvas"])
def test_in_celerys_form(fleets, fleet, nodes):
    try:
        fleets[fleet].check(nodes, leading, "celery")
    except CompositionError as exc:
        assert "more than task_message_max_bytes" in str(exc)


@pytest.mark.parametrize("fleet", ["celery", "mixed", "canvas"])
def test_composites_in_celerys_form(fleets, fleet):
    app = fleets[fleet].app
    add, ident, tsum = (app.tasks[f"t.{name}"] for name in ("add", "ident", "tsum"))
    flow = Workflow("composites", app)
    first = flow.add(chord([add.s(1, 1), add.s(2, 2)], tsum.s()), name="chord")
    both = flow.add(group(add.s(3, 3), chain(add.s(4, 4), add.s(1))), name="group")
    line = flow.add(chain(add.s(first, 10), group(add.s(1), add.s(2)), tsum.s()), name="line")
    last = flow.add(chain(ident.s([both, line, first]), ident.s()), name="last")
    flow.add(ident.s(last), name="end")
    flow.add(ident.s(7), name="alone", after=last)
    run = flow.apply_async(target="celery")
    assert run.get(timeout=30) == {"end": [[6, 9], 35, 6], "alone": 7}
    assert run.results() == {"chord": 6, "group": [6, 9], "line": 35, "last": [[6, 9], 35, 6], **run.get()}
    assert app.workflow(run.id).status().state == "SUCCESS"


@pytest.mark.parametrize("fleet", ["celery", "mixed"])
def test_a_failure_on_stock_workers_is_seen_and_resumed(fleets, fleet):
    app, bench = fleets[fleet].app, fleets[fleet].bench
    ident, gated, noted = (app.tasks[f"t.{name}"] for name in ("ident", "gated", "noted"))
    gate, key = bench.new_key(), bench.new_key()
    flow = Workflow("fails", app)
    first = flow.add(noted.s(1, key), name="first")
    broken = flow.add(gated.s(first, key=gate), name="broken")
    beside = flow.add(ident.s(first), name="beside")
    flow.add(ident.s(broken), name="below")
    flow.add(ident.s([broken, beside]), name="both")
    run = flow.apply_async(target="celery")
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=30)
    assert {node.name: node.state for node in run.status().nodes} == {
        "first": "SUCCESS", "broken": "FAILURE", "beside": "SUCCESS", "below": "UPSTREAM_FAILED",
        "both": "UPSTREAM_FAILED",
    }  # fmt: skip
    bench.open(gate)
    assert run.resume() is True
    assert run.get(timeout=30) == {"below": [1], "both": [[1], 1]}
    assert len(bench.ledger(key, 1)) == 1
    assert run.resume() is False


def test_cancel_stops_what_waits_on_stock_workers(fleets):
    app, bench = fleets["celery"].app, fleets["celery"].bench
    key, after = bench.new_key(), bench.new_key()
    flow = Workflow("slow", app)
    slow = flow.add(app.tasks["t.until_open"].s(key), name="slow")
    flow.add(app.tasks["t.noted"].s(slow, after), name="after")
    run = flow.apply_async(target="celery")
    bench.ledger(key, 1)
    assert run.cancel() is True
    bench.open(key)
    with pytest.raises(Exception, match="revoked"):
        run.get(timeout=30)
    assert run.state == "CANCELLED"
    assert bench.ledgers.lrange(f"ledger:{after}", 0, -1) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(**MANY)
@given(nodes=graphs(["argument", "list", "name", "order"], 40))
def test_many_on_canvas_workers(fleets, nodes):
    fleets["canvas"].check(nodes, anywhere, "canvas")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(**MANY)
@given(nodes=graphs(["argument", "order"], 40))
@pytest.mark.parametrize("fleet", ["celery", "mixed"])
def test_many_in_celerys_form(fleets, fleet, nodes):
    try:
        fleets[fleet].check(nodes, leading, "celery")
    except CompositionError as exc:
        assert "more than task_message_max_bytes" in str(exc)
