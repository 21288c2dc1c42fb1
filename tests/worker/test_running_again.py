"""``run.again``: a node and all that depends on it run again; the results of all others are used as they are."""

import asyncio
import signal

import pytest

from canvas import Workflow
from canvas.errors import CompositionError
from canvas.model.run_index import RunQuery
from canvas.testing.contract import eventually
from canvas.workflows.resume import run_again_from
from canvas.workflows.run import resume_in_place
from tests.support.dying import killed_at
from tests.worker.commands import canvas, invoked, line, ran, served_app, states, task

app = served_app("-P", "threads", "-c", "4", short_leases=1)


@pytest.fixture(params=["worker", "here"])
def place(request, app):
    """How runs are carried out: by a worker, or in this process. A function that starts one and waits for its end."""
    if request.param == "here":
        app.conf.update(task_always_eager=True, task_store_eager_result=True)

    def carried_out(flow):
        run = flow.apply_async()
        eventually(run.ready)
        return run

    yield carried_out
    app.conf.update(task_always_eager=False, task_store_eager_result=False)


def again(run, name):
    """Run a node of a run that has ended again. Returns the value of the run then."""
    assert run.again(name)
    return run.get(timeout=20)


def test_a_node_of_a_success_and_what_depends_on_it(bench, app, flow, place):
    a, b, c, side = (bench.new_key() for _ in range(4))
    last = line(app, flow, a, b, c)
    flow.add(task(app, "noted").s(flow["a"], side), name="side")
    flow.add(task(app, "rec").s("end", last, flow["side"]), name="end of all")
    run = place(flow)
    assert run.get(timeout=20) == ["end", [1, 1], {}]
    assert run.again("b") is True
    assert run.attempt == 1
    assert run.get(timeout=20) == ["end", [1, 1], {}]
    assert set(states(run).values()) == {"SUCCESS"}
    assert ran(bench, a, b, c, side) == [1, 2, 2, 1]
    assert run.again(from_node="a") is True
    assert app.workflow(run.id).get(timeout=20) == ["end", [1, 1], {}]
    assert ran(bench, a, b, c, side) == [2, 3, 3, 2]
    assert [found.state for found in app.run_store.find(RunQuery(limit=1))] == ["SUCCESS"]


def test_from_an_event_loop(bench, app, flow, place):
    a, gate = bench.new_key(), bench.new_key()
    line(app, flow, a)
    flow.add(task(app, "gated").s(flow["a"], key=gate), name="gated")
    run = place(flow)
    bench.open(gate)

    async def control():
        assert await run.aresume()
        assert await run.aget(timeout=20) == [1]
        assert await run.aagain("a")
        assert await run.aget(timeout=20) == [1]
        assert await run.aquery() == run.query() == (await run.astatus()).state == "SUCCESS"
        assert [await run.aready(), await run.asuccessful(), await run.afailed()] == [True, True, False]
        assert await run.aresults() == {"a": 1, "gated": [1]}
        assert [await run.asignals(), await run.achild("a")] == [{}, None]
        assert await (await (await run.arefresh()).aretry()) == [1]
        return await run.acancel()

    assert asyncio.run(control()) is False
    assert ran(bench, a, gate) == [3, 4]


def test_a_failed_run_runs_its_failures_too(bench, app, flow, place):
    a, b, gate = (bench.new_key() for _ in range(3))
    line(app, flow, a, b)
    flow.add(task(app, "gated").s(flow["a"], key=gate), name="gated")
    run = place(flow)
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    bench.open(gate)
    assert again(run, "b") == {"b": 1, "gated": [1]}
    assert ran(bench, a, b, gate) == [1, 2, 2]


def test_all_items_of_a_map_run_again(bench, app, flow, place):
    items, after = bench.new_key(), bench.new_key()
    source = flow.add(task(app, "ident").s([1, 2, 3]), name="source")
    mapped = flow.map(task(app, "noted").s(items), over=source, name="mapped")
    flow.add(task(app, "noted").s(mapped, after), name="after")
    run = place(flow)
    assert run.get(timeout=20) == [1, 2, 3]
    assert again(run, "mapped") == [1, 2, 3]
    assert ran(bench, items, after) == [6, 2]
    again(run, "after")
    assert ran(bench, items, after) == [6, 3]
    again(run, "source")
    assert ran(bench, items, after) == [9, 4]


def test_a_loop_and_a_workflow_inside_start_anew(bench, app, flow, place):
    rounds, inside = bench.new_key(), bench.new_key()
    looped = flow.loop(task(app, "noted").s(rounds), 1, at_most=3, name="looped")
    inner = Workflow("inner", app)
    line(app, inner, inside)
    flow.add(inner, name="inside", after=looped)
    run = place(flow)
    run.get(timeout=20)
    assert ran(bench, rounds, inside) == [3, 1]
    again(run, "inside")
    assert ran(bench, rounds, inside) == [3, 2]
    again(run, "looped")
    assert ran(bench, rounds, inside) == [6, 3]


@pytest.mark.parametrize("found", [False, True], ids=["own", "found"])
def test_a_node_of_a_run_inside(bench, app, flow, place, found):
    a, b, c, deep = (bench.new_key() for _ in range(4))
    deepest = Workflow("deepest", app)
    line(app, deepest, deep)
    inner = Workflow("inner", app)
    line(app, inner, a, b)
    inner.add(deepest, name="deep", after=inner["a"])
    flow.add(task(app, "noted").s(1, c), name="c", after=flow.add(inner, name="inside"))
    run = place(flow)
    run.get(timeout=20)
    run = app.workflow(run.id) if found else run
    assert again(run, "inside/b") == 1
    assert ran(bench, a, b, deep, c) == [1, 2, 1, 2]
    assert again(run, "inside/deep/a") == 1
    assert run.state == "SUCCESS"
    assert ran(bench, a, b, deep, c) == [1, 2, 2, 3]
    assert again(run, "inside") == 1
    assert ran(bench, a, b, deep, c) == [2, 3, 3, 4]


def test_a_run_inside_that_is_told_twice_runs_again_once(bench, app, flow):
    a, b = bench.new_key(), bench.new_key()
    inner = Workflow("inner", app)
    line(app, inner, a, b)
    flow.add(inner, name="inside")
    run = flow.apply_async()
    run.get(timeout=20)
    assert again(run, "inside/b") == 1
    child = run.child("inside")
    resume_in_place(app, child.id, child.nodes[-1].details["outcome"], "b", attempt=0)
    assert run.child("inside").attempt == 1
    assert ran(bench, a, b) == [1, 2]


def test_a_node_of_a_workflow_that_a_task_returned(bench, app, flow):
    key, gate = bench.new_key(), bench.new_key()
    bench.open(gate)
    flow.call(task(app, "builds_gated").s(key, gate), name="grown")
    run = flow.apply_async()
    assert run.get(timeout=20) == [1]
    assert again(run, "grown/gated") == [1]
    assert ran(bench, key, gate) == [1, 2]


def test_a_node_of_a_run_inside_whose_tasks_still_run_after_its_limit(bench, app, flow):
    key = bench.new_key()
    inner = Workflow("inner", app)
    inner.add(task(app, "until_open").s(key), name="held")
    flow.timeout(flow.add(inner, name="inside"), 2, otherwise=0, name="in time")
    run = flow.apply_async()
    assert run.get(timeout=20) == 0
    with pytest.raises(CompositionError, match="inside: the run in its place has not ended"):
        run.again("inside/held")
    bench.open(key)
    eventually(run.child("inside").ready)
    assert again(run, "inside/held") == key


def test_a_branch_is_decided_again(bench, app, flow, place):
    kind, arm, other = (bench.new_key() for _ in range(3))
    which = flow.add(task(app, "noted").s("x", kind), name="which")
    arms = {"x": task(app, "noted").si(1, arm), "y": task(app, "noted").si(2, other)}
    flow.branch(which, arms, name="choice")
    run = place(flow)
    assert run.get(timeout=20) == 1
    assert again(run, "choice") == 1
    assert ran(bench, kind, arm, other) == [1, 2, 0]
    assert again(run, "choice.x") == 1
    assert ran(bench, kind, arm, other) == [1, 3, 0]
    assert states(run)["choice.y"] == "SKIPPED"


def test_what_was_compensated_runs_again_and_nothing_else_is_compensated(bench, app, flow, place):
    paid, undone, gate, beside = (bench.new_key() for _ in range(4))
    noted = task(app, "noted")
    flow.add(noted.s(1, paid), name="paid", compensate=noted.s(undone))
    flow.add(task(app, "gated").s(flow["paid"], key=gate), name="gated")
    flow.add(noted.s(1, beside), name="beside")
    run = place(flow)
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    bench.ledger(undone, 1)
    bench.open(gate)
    assert again(run, "beside") == {"gated": [1], "beside": 1}
    assert ran(bench, paid, undone, gate, beside) == [2, 1, 2, 2]
    # It has succeeded: its compensation has not run since then.
    again(run, "gated")
    assert ran(bench, paid, undone, gate, beside) == [2, 1, 3, 2]


def test_a_run_of_celery_workers(bench, app, flow):
    a, b = bench.new_key(), bench.new_key()
    noted = task(app, "noted")
    flow.add(noted.s(1, a), name="first")
    flow.add(noted.s(flow["first"], b), name="second")
    run = flow.apply_async(target="celery")
    run.get(timeout=20)
    assert run.again("second")
    eventually(lambda: ran(bench, a, b) == [1, 2])
    assert run.get(timeout=20) == 1


def test_what_cannot_run_again(bench, app, flow):
    key = bench.new_key()
    flow.add(task(app, "until_open").s(key), name="held")
    flow.branch(flow["held"], {1: task(app, "ident").s(1)}, name="choice")
    inner = Workflow("inner", app)
    line(app, inner, bench.new_key())
    flow.add(inner, name="inside", after=flow["held"])
    run = flow.apply_async()
    assert run.again("held") is False
    refused = invoked(app, "workflow", "again", run.id, "--from", "held", check=False)
    assert "has not ended" in refused.stderr
    bench.open(key)
    run.get(timeout=20)
    with pytest.raises(CompositionError, match=r"has no node 'hold': did you mean 'held'\? it has held, choice"):
        run.again("hold")
    with pytest.raises(CompositionError, match="has no node 'end'"):
        run.again("end")
    assert {run.nodes[number].name for number in run_again_from(run, "choice").numbers} == {"choice", "choice?"}
    with pytest.raises(CompositionError, match=r"stands in the place of task .*again\(from_node='…/a'\)"):
        run.child("inside").again("a")
    with pytest.raises(CompositionError, match=r"has no node 'b'.*it has a"):
        run.again("inside/b")
    with pytest.raises(CompositionError, match="held has no inner run"):
        run.again("held/b")
    shown = canvas(bench, "workflow", "again", run.id, "--from", "nothing", check=False)
    assert shown.returncode != 0
    assert "has no node 'nothing'" in shown.stderr


def test_the_command_runs_a_node_again(bench, app, flow):
    a, b = bench.new_key(), bench.new_key()
    line(app, flow, a, b)
    run = flow.apply_async()
    run.get(timeout=20)
    assert "runs again from b" in canvas(bench, "workflow", "again", run.id, "--from", "b").stdout
    eventually(lambda: run.status().state == "SUCCESS" and run.attempt == 1)
    assert ran(bench, a, b) == [1, 2]


INSTANTS = [
    (*call, when) for call in (("runs", "begin_attempt"), ("settler", "dispatch_chord")) for when in ("before", "after")
]


@pytest.mark.parametrize("instant", INSTANTS, ids=lambda one: f"{one[2]} {one[1]}")
def test_a_caller_that_is_killed_begins_one_attempt_or_none(bench, app, flow, instant):
    a, b, c = (bench.new_key() for _ in range(3))
    line(app, flow, a, b, c)
    run = flow.apply_async()
    run.get(timeout=20)
    assert killed_at(bench, instant, lambda other: other.workflow(run.id).again("b")) == -signal.SIGKILL
    if instant == INSTANTS[0]:
        assert run.status().state == "SUCCESS"
        assert run.again("b")
    eventually(lambda: run.status().state == "SUCCESS" and run.attempt == 1)
    assert run.get(timeout=20) == 1
    assert ran(bench, a, b, c) == [1, 2, 2]


def test_one_of_two_callers_begins_the_attempt(bench, app, flow):
    a, b = bench.new_key(), bench.new_key()
    line(app, flow, a, b)
    run = flow.apply_async()
    run.get(timeout=20)
    runs = [app.workflow(run.id) for _ in range(2)]
    looked = [one._look() for one in runs]
    begun = [
        one._begin_attempt(found, False, run_again_from(one, "b")) for one, found in zip(runs, looked, strict=True)
    ]
    assert begun == [True, False]
    assert run.get(timeout=20) == 1
    assert ran(bench, a, b) == [1, 2]
