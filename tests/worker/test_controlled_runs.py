"""Runs that are looked at, resumed, cancelled and timed while a worker carries them out."""

import asyncio
import json
import time
from datetime import UTC, datetime
from functools import partial

import pytest
from pydantic import BaseModel

from canvas import chain
from canvas.errors import (
    CompositionError,
    EncodeError,
    InvalidTaskError,
    TaskRevokedError,
)
from canvas.model.workflow_run import OutgoingEdge, RunNode
from canvas.testing.contract import eventually
from canvas.workflows.status import ancestors
from tests.worker.commands import canvas, invoked, named, served_app, states, task

app = served_app("-P", "threads", "-c", "4")


class Approval(BaseModel):
    by: str
    amount: float


def test_resume_runs_only_what_did_not_succeed(bench, app, flow):
    first, gate = bench.new_key(), bench.new_key()
    a = flow.add(task(app, "noted").s(1, first), name="a")
    b = flow.add(task(app, "gated").s(a, key=gate), name="b")
    c = flow.add(task(app, "rec").s("c", b, a), name="c")
    choice = flow.branch(a, {1: task(app, "ident").s(b)}, name="choice")
    flow.add(task(app, "rec").s("d", c, choice), name="d")
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    assert set(states(run).values()) == {"SUCCESS", "FAILURE", "UPSTREAM_FAILED"}
    bench.open(gate)
    again = app.workflow(run.id)
    assert again.resume() is True
    assert again.resume() is False
    assert again.get(timeout=20) == ["d", [["c", [[1], 1], {}], [1]], {}]
    assert again.resume() is False
    assert run.refresh().get(timeout=5) == again.get()
    assert set(states(run).values()) == {"SUCCESS"}
    assert len(bench.ledger(first, 1)) == 1
    assert len(bench.ledger(gate, 2)) == 2


def test_a_failed_run_is_resumed_once_however_many_ask(bench, app, flow):
    gate = bench.new_key()
    flow.add(task(app, "gated").s(key=gate))
    run = flow.apply_async()
    with pytest.raises(ValueError, match="closed"):
        run.get(timeout=20)
    bench.open(gate)
    handles = [app.workflow(run.id) for _ in range(5)]

    async def all_at_once():
        return await asyncio.gather(*(asyncio.to_thread(one.resume) for one in handles))

    assert sum(asyncio.run(all_at_once())) == 1
    assert app.workflow(run.id).get(timeout=20) == []
    assert len(bench.ledger(gate, 2)) == 2


def test_cancel_starts_nothing_more(bench, app, flow):
    key, after = bench.new_key(), bench.new_key()
    slow = flow.add(task(app, "until_open").s(key), name="slow")
    flow.add(task(app, "noted").s(slow, after), name="after")
    flow.add(chain(task(app, "ident").s(slow), task(app, "noted").s(after)), name="chain")
    run = flow.apply_async()
    bench.ledger(key, 1)
    assert app.workflow(run.id).cancel() is True
    assert app.workflow(run.id).cancel() is True
    assert run.status().state == "CANCELLING"
    bench.open(key)
    with pytest.raises(Exception, match="revoked"):
        run.get(timeout=20)
    assert states(run) == {"slow": "SUCCESS", "after": "REVOKED", "chain": "REVOKED"}
    assert run.state == "CANCELLED"
    assert run.cancel() is False
    assert bench.ledgers.lrange(f"ledger:{after}", 0, -1) == []
    assert run.resume() is True
    run.get(timeout=20)
    assert len(bench.ledger(after, 2)) == 2
    assert len(bench.ledger(key, 2)) == 2


def test_a_run_over_its_time_is_cancelled_each_time(bench, app, flow):
    one, two = bench.new_key(), bench.new_key()
    first = flow.add(task(app, "until_open").s(one), name="first")
    second = flow.add(task(app, "until_open").s(two), name="second", after=[first])
    named(app, flow, "last", second)
    run = flow.apply_async(timeout=2)
    bench.ledger(one, 1)
    eventually(lambda: run.state == "CANCELLING")
    bench.open(one)
    late = r"was cancelled: it had not ended after its timeout of 2 s; .*revoked"
    with pytest.raises(TaskRevokedError, match=late):
        run.get(timeout=20)
    assert states(run) == {"first": "SUCCESS", "second": "REVOKED", "last": "UPSTREAM_FAILED"}
    bench.close(one)
    again = run.retry()
    assert run.resume() is True
    bench.ledger(one, 3)
    bench.ledger(two, 1)
    for each in (run, again):
        eventually(lambda each=each: each.state == "CANCELLING")
    bench.open(one)
    bench.open(two)
    for each in (run, again):
        with pytest.raises(TaskRevokedError, match=late):
            each.get(timeout=20)
    assert states(run) == {"first": "SUCCESS", "second": "SUCCESS", "last": "REVOKED"}
    assert states(again) == {"first": "SUCCESS", "second": "REVOKED", "last": "UPSTREAM_FAILED"}


def test_a_run_that_ends_in_time_is_let_be(app, flow):
    flow.add(task(app, "ident").s(1))
    run = flow.apply_async(timeout=20)
    assert run.get(timeout=20) == 1
    with pytest.raises(CompositionError, match=r"timeout: expected seconds above 0; got -1"):
        flow.apply_async(timeout=-1)
    for wrong in (0, True, "2"):
        with pytest.raises(CompositionError, match=rf"concurrency: expected a whole number, 1 or more; got {wrong!r}"):
            flow.apply_async(concurrency=wrong)
    with pytest.raises(CompositionError, match="concurrency: Celery workers"):
        flow.apply_async(concurrency=2, target="celery")
    with pytest.raises(InvalidTaskError, match="is not a date"):
        flow.apply_async(timeout=1e300)


def test_nodes_do_not_begin_after_they_expire(bench, app, flow):
    key, expires = bench.new_key(), time.time() + 2
    slow = flow.add(task(app, "until_open").s(key), name="slow")
    named(app, flow, "after", slow)
    run = flow.apply_async(expires=datetime.fromtimestamp(expires, UTC))
    bench.ledger(key, 1)
    eventually(lambda: time.time() > expires)
    bench.open(key)
    with pytest.raises(Exception, match="expired"):
        run.get(timeout=20)
    assert states(run) == {"slow": "SUCCESS", "after": "REVOKED"}
    # What is run again has all the time it needs.
    assert run.resume() is True
    assert run.get(timeout=20) == ["after", [key], {}]


def test_retry_is_a_new_run(app, flow):
    flow.add(task(app, "ident").s(5))
    first = flow.apply_async()
    assert first.get(timeout=20) == 5
    second = app.workflow(first.id).retry()
    assert second.id != first.id
    assert second.get(timeout=20) == 5
    assert [run.id for run in app.runs(limit=2)] == [second.id, first.id]


async def test_progress_on_an_event_loop(app, flow):
    first = flow.add(task(app, "sleep").s(0.1, 1), name="first")
    named(app, flow, "second", first)
    broken = flow.add(task(app, "fail").s(first), name="broken", on_failure="continue")
    named(app, flow, "third", broken)
    run = await flow.aapply_async()
    seen = [(node.name, node.state) async for node in run.progress()]
    assert sorted(seen) == [("broken", "FAILURE"), ("first", "SUCCESS"), ("second", "SUCCESS"), ("third", "SUCCESS")]
    assert seen[0] == ("first", "SUCCESS")
    assert (await run)["second"] == ["second", [1], {}]


def test_the_ancestors_of_a_node():
    nodes = [
        RunNode(str(number), "task", outs=[OutgoingEdge(to, 0) for to in outs])
        for number, outs in enumerate([[2], [3], [3, 4], [], []])
    ]
    assert [ancestors(nodes, number) for number in range(5)] == [set(), set(), {0}, {0, 1, 2}, {0, 2}]


def test_status_has_times_and_the_critical_path(app, flow):
    slow = flow.add(task(app, "sleep").s(1.5), name="slow")
    quick = flow.add(task(app, "sleep").s(0.0), name="quick")
    named(app, flow, "end", slow, quick)
    run = flow.apply_async()
    run.get(timeout=20)
    status = run.status()
    times = {node.name: node.seconds for node in status.nodes}
    assert 1.5 <= times["slow"] < 20
    assert times["quick"] < times["slow"]
    assert status.critical_path == ["slow", "end"]
    assert status.counts == {"SUCCESS": 3}
    assert status.ended >= status.created
    assert json.loads(json.dumps(status.as_dict()))["name"] == "flow"


def test_the_command_line_shows_and_controls_runs(bench, app, flow):
    # In this process, but for one: a program's start takes seconds on a busy machine.
    command = partial(invoked, app)
    gate = bench.new_key()
    a = flow.add(task(app, "ident").s(1), name="a" * 90)
    named(app, flow, "b", flow.add(task(app, "gated").s(a, key=gate), name="gate"))
    run = flow.apply_async()
    eventually(lambda: run.state == "FAILURE")
    assert run.id in canvas(bench, "workflow", "list").stdout
    shown = command("workflow", "show", run.id)
    assert "UPSTREAM_FAILED" in shown.stdout
    assert "closed" in shown.stdout
    assert "a" * 90 in shown.stdout  # lines are broken on a terminal only
    assert f"resume it: canvas workflow resume {run.id}\n" in shown.stdout
    assert json.loads(command("workflow", "show", run.id, "-j").stdout)["counts"]["SUCCESS"] == 1
    assert command("workflow", "watch", run.id, check=False).returncode == 1
    assert "has ended" in command("workflow", "cancel", run.id).stdout
    bench.open(gate)
    assert "goes on" in command("workflow", "resume", run.id).stdout
    assert "SUCCESS" in command("workflow", "watch", run.id).stdout
    again = command("workflow", "retry", run.id).stdout.strip()
    assert app.workflow(again).get(timeout=20) == ["b", [[1]], {}]
    missing = command("workflow", "show", "no-such-run", check=False)
    assert missing.returncode == 1
    assert "there is no run 'no-such-run'" in missing.stderr


def test_a_task_that_cannot_be_ended_still_decides_over_a_run_whose_time_is_over(bench, app, flow):
    gate = bench.new_key()
    flow.add(task(app, "until_open").s(gate), name="only")
    run = flow.apply_async(timeout=0.1)
    eventually(lambda: run.state == "CANCELLING")
    bench.open(gate)
    assert run.get(timeout=20) == gate
    assert run.state == "SUCCESS"


def test_a_cancelled_run_ends_although_tasks_wait_for_its_limit(bench, app, flow):
    gate = bench.new_key()
    flow.map(task(app, "until_open").s(), over=[gate] * 40, name="map")
    run = flow.apply_async(concurrency=1)
    eventually(lambda: bench.broker.llen(f"canvas:concurrency:waiting:run:{run.id}") == 39)
    assert run.cancel()
    bench.open(gate)
    with pytest.raises(TaskRevokedError):
        run.get(timeout=20)


def test_signals_of_one_moment_each_reach_their_run(app, flow):
    gate = flow.wait_for("go")
    typed = flow.wait_for("approved", model=Approval)
    named(app, flow, "end", [gate, flow.wait_for("go", after=gate), typed["by"]])
    runs = [flow.apply_async() for _ in range(3)]
    ended = app.workflow(flow.apply_async().id)
    ended.cancel()
    eventually(ended.ready)
    good = {"by": "ann", "amount": 1.5}

    async def at_once():
        one, two, three = runs
        going = [run.asignal("go", number) for run in runs for number in (1, 2)]
        others = [one.asignal("approved", {"by": "ann"}), ended.asignal("go"), two.asignal("go", object())]
        never = asyncio.ensure_future(three.asignal("approved", good))
        asyncio.get_running_loop().call_soon(never.cancel)  # the store has it, or never gets it
        given = [one.asignal("approved", good), two.asignal("approved", good)]
        return await asyncio.gather(*going, *others, *given, never, return_exceptions=True)

    *sent, wrong, late, unwritable, _, _, cancelled = asyncio.run(at_once())
    assert sent == [None] * 6
    assert isinstance(wrong, CompositionError) and "amount" in str(wrong)
    assert isinstance(late, CompositionError) and "has ended" in str(late)
    assert isinstance(unwritable, EncodeError)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert [run["end"].get(timeout=20) for run in runs[:2]] == [["end", [[1, 2, "ann"]], {}]] * 2
    assert not runs[2].signals().get("go")
