"""Workflows that wait, race, repeat and nest, on canvas' worker."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from canvas import Workflow
from canvas.errors import CompositionError, NodeTimeout, TaskRevokedError
from canvas.testing.contract import eventually
from tests.worker.commands import invoked, named, reached, served_app, states, task

app = served_app("-P", "threads", "-c", "4")


class Approval(BaseModel):
    by: str
    amount: float


def test_a_sleep_lasts_and_keeps_nothing_busy(bench, app):
    # A busy machine may not look in time.
    sleeping = next(filter(None, (asleep(bench, app, seconds) for seconds in (0.5, 5, 15))))
    assert abs((sleeping.until - datetime.now(UTC)).total_seconds()) < 30


def asleep(bench, app, seconds):
    """The node of a run that sleeps for so many seconds, as it was seen meanwhile, if it was; the run has ended."""
    key, flow = bench.new_key(), Workflow("flow", app)
    first = flow.add(task(app, "noted").s(0.4, key), name="first")
    nap = flow.sleep(seconds, after=first)
    by_value = flow.sleep(first, name="by value", after=nap)
    until = flow.sleep(until=datetime.now(UTC) + timedelta(seconds=0.1), after=by_value, name="until")
    flow.add(task(app, "noted").si("awake", key), after=until)
    began = time.monotonic()
    run = flow.apply_async()
    seen = "SLEEPING", "SUCCESS"
    (node,) = eventually(lambda: [one for one in run.status().nodes if one.name == "sleep" and one.state in seen])
    assert run.get(timeout=40) == "awake"
    assert time.monotonic() - began > seconds + 0.4
    assert bench.ledger(key, 2) == ["0.4", "'awake'"]
    return node if node.state == "SLEEPING" else None


def test_a_sleep_of_what_is_no_time_fails(app, flow):
    text = flow.add(task(app, "ident").s("soon"), name="text")
    flow.sleep(text, name="nap")
    with pytest.raises(CompositionError, match="nap: expected seconds to sleep"):
        flow.apply_async().get(timeout=20)


def test_a_signal_reaches_the_node_that_waits(app, flow):
    asked = flow.add(task(app, "ident").s(1), name="asked")
    answer = flow.wait_for("approved", after=asked)
    named(app, flow, "end", answer["by"])
    run = flow.apply_async()
    reached(run, "approved", "AWAITING_SIGNAL")
    assert [run.query(), *map(run.query, run)] == ["STARTED", "SUCCESS", "AWAITING_SIGNAL", "WAITING"]
    run.signal("approved", {"by": "eve"}, key="request 1")
    assert run.get(timeout=20) == ["end", ["eve"], {}]
    assert [run.query(), *map(run.query, run)] == ["SUCCESS"] * 4
    run.signal("approved", {"by": "eve"}, key="request 1")  # repeated by a caller that had no answer
    assert run.signals() == {}
    with pytest.raises(KeyError, match="has no node 'aproved'; it has asked, approved, end"):
        run.query("aproved")
    with pytest.raises(CompositionError, match="has ended"):
        run.signal("approved", {"by": "late"}, key="request 2")


def test_signals_before_their_waits_are_kept_in_order(bench, app, flow):
    gate = bench.new_key()
    one = flow.wait_for("answer", after=flow.add(task(app, "until_open").s(gate)))
    two = flow.wait_for("answer", after=one, name="second")
    named(app, flow, "end", one, two)
    run = flow.apply_async()
    run.signal("answer", 1)
    run.signal("answer", 2)
    with pytest.warns(UserWarning, match="waits for signal 'nobody waits', which is kept with the run; they wait for"):
        run.signal("nobody waits", 3)
    assert run.signals() == {"answer": [1, 2], "nobody waits": [3]}
    bench.open(gate)
    assert run.get(timeout=20) == ["end", [1, 2], {}]
    assert run.signals() == {"nobody waits": [3]}
    eventually(lambda: 0 < bench.results.ttl(f"canvas:run:{run.id}") <= app.conf.workflow_run_expires)
    assert run.signals() == {"nobody waits": [3]}, "it expires with the run, and not before"


def test_a_signal_of_one_key_counts_once(app, flow):
    one = flow.wait_for("answer")
    two = flow.wait_for("answer", after=one, name="second")
    named(app, flow, "end", one, two)
    run = flow.apply_async()
    for _ in range(3):
        run.signal("answer", "first", key="a")
    reached(run, "second", "AWAITING_SIGNAL")
    run.signal("answer", "other", key="b")
    assert run.get(timeout=20) == ["end", ["first", "other"], {}]


def test_a_payload_of_the_wrong_type_is_refused(app, flow):
    answer = flow.wait_for("approved", model=Approval)
    named(app, flow, "end", answer["amount"])
    run = flow.apply_async()
    with pytest.raises(CompositionError, match=r"approved: payload\['amount'\]: 'much' is not of type 'number'"):
        run.signal("approved", {"by": "eve", "amount": "much"})
    with pytest.raises(CompositionError, match="approved: payload: 'by' is a required property"):
        run.signal("approved", {"amount": 1})
    run.signal("approved", Approval(by="eve", amount=2.5))
    assert run.get(timeout=20) == ["end", [2.5], {}]


def test_a_signal_from_another_process(bench, app, flow):
    flow.wait_for("go")
    run = flow.apply_async()
    broker, backend, _ = bench.urls()
    program = (
        "import sys; from canvas import Canvas\n"
        "app = Canvas('other', broker=sys.argv[1], backend=sys.argv[2])\n"
        "app.workflow(sys.argv[3]).signal('go', 'from outside')"
    )
    subprocess.run([sys.executable, "-c", program, broker, backend, run.id], check=True)
    assert run.get(timeout=20) == "from outside"


def test_a_wait_runs_out(app, flow):
    soft = flow.wait_for("soft", timeout=0.2, default="nobody")
    named(app, flow, "end", soft)
    assert flow.apply_async().get(timeout=20) == ["end", ["nobody"], {}]
    hard = Workflow("hard", app)
    hard.wait_for("hard", timeout=0.2)
    with pytest.raises(NodeTimeout, match=r"signal 'hard' had not come after 0.2 s"):
        hard.apply_async().get(timeout=20)


def test_a_cancelled_run_ends_while_it_waits(app, flow):
    nap = flow.sleep(3600, name="nap")
    answer = flow.wait_for("answer")
    late = flow.wait_for("late", after=nap)
    named(app, flow, "end", answer, late)
    run = flow.apply_async()
    reached(run, "answer", "AWAITING_SIGNAL")
    assert run.cancel() is True
    with pytest.raises(TaskRevokedError):
        run.get(timeout=20)
    assert states(run) == {
        "nap": "REVOKED", "answer": "REVOKED", "late": "UPSTREAM_FAILED", "end": "UPSTREAM_FAILED"
    }  # fmt: skip
    assert run.status().state == "CANCELLED"


def test_a_run_is_resumed_during_a_wait_and_the_signal_reaches_the_new_attempt(bench, app, flow):
    gate = bench.new_key()
    answer = flow.wait_for("answer")
    gated = flow.add(task(app, "gated").s(1, key=gate), name="gated")
    named(app, flow, "end", answer, gated)
    run = flow.apply_async()
    reached(run, "gated", "FAILURE")
    bench.open(gate)
    assert run.resume(force=True) is True
    reached(run, "gated", "SUCCESS")
    reached(run, "answer", "AWAITING_SIGNAL")
    run.signal("answer", "yes")
    assert run.get(timeout=20) == ["end", ["yes", [1]], {}]
    assert run.signals() == {}


def test_the_command_shows_waits_and_sends_signals(app, flow):
    inner = Workflow("inner", app)
    inner.wait_for("answer", timeout=600)
    named(app, flow, "end", flow.add(inner), flow.loop(task(app, "add").s(1), 0, at_most=2, name="loop"))
    run = flow.apply_async()
    child = eventually(lambda: run.child("inner"))
    reached(child, "answer", "AWAITING_SIGNAL")
    reached(run, "loop", "SUCCESS")
    shown = invoked(app, "workflow", "show", child.id).stdout
    assert "AWAITING_SIGNAL" in shown and "for 'answer'" in shown and "until 20" in shown
    outer = invoked(app, "workflow", "show", run.id).stdout
    assert f"run {child.id}" in outer and "round 2" in outer
    found = json.loads(invoked(app, "workflow", "show", child.id, "--json").stdout)["nodes"][0]
    assert (found["state"], found["signal"]) == ("AWAITING_SIGNAL", "answer")
    refused = invoked(app, "workflow", "signal", child.id, "answer", "{no json", check=False)
    assert refused.returncode == 1
    assert "payload: expected JSON" in refused.stderr
    assert "has signal answer" in invoked(app, "workflow", "signal", child.id, "answer", '{"by": "eve"}').stdout
    assert run.get(timeout=20) == ["end", [{"by": "eve"}, 2], {}]
    late = invoked(app, "workflow", "signal", child.id, "answer", check=False)
    assert late.returncode == 1 and "has ended" in late.stderr


def test_rules_of_inputs(bench, app, flow):
    gate = bench.new_key()
    bad = flow.add(task(app, "fail").s(), name="bad")
    good = flow.add(task(app, "ident").s(1), name="good")
    slow = flow.add(task(app, "until_open").s(gate), name="slow")
    rec = task(app, "rec")
    flow.add(rec.s("any success", bad, good, slow), name="any success", when="any_success")
    flow.add(rec.s("any done", bad, slow), name="any done", when="any_done")
    flow.add(rec.s("none failed", bad, good), name="none failed", when="none_failed")
    flow.add(rec.s("none succeeds", bad, flow.add(task(app, "fail").s())), name="none", when="any_success")
    flow.add(rec.s("all done", bad, slow), name="all done", when="all_done")
    run = flow.apply_async()
    assert run["any success"].get(timeout=20) == ["any success", [None, 1, None], {}]
    assert run["any done"].get(timeout=20) == ["any done", [None, None], {}]
    bench.open(gate)
    assert run["all done"].get(timeout=20) == ["all done", [None, gate], {}]
    run.result.get(timeout=20, propagate=False)
    found = states(run)
    assert (found["none failed"], found["none"]) == ("UPSTREAM_FAILED", "UPSTREAM_FAILED")
    assert run.status().state == "FAILURE"


def test_the_first_of_several_wins_and_the_rest_is_cancelled(bench, app, flow):
    gate, below = bench.new_key(), bench.new_key()
    quick = flow.add(task(app, "ident").s("quick"), name="quick")
    slow = flow.add(task(app, "until_open").s(gate), name="slow")
    after_slow = flow.add(task(app, "noted").s(slow, below), name="after slow")
    nap = flow.sleep(3600, name="nap")
    winner = flow.first(quick, after_slow, nap, name="winner")
    named(app, flow, "end", winner)
    run = flow.apply_async()
    assert run.get(timeout=20) == ["end", ["quick"], {}]
    reached(run, "nap", "REVOKED")
    bench.open(gate)
    assert run.status().state == "SUCCESS"


def test_a_node_has_its_time_and_what_stands_for_it(bench, app, flow):
    gate = bench.new_key()
    slow = flow.add(task(app, "a_until_open").s(gate), name="slow")
    by_value = flow.timeout(slow, 0.3, otherwise="late")
    quick = flow.timeout(flow.add(task(app, "ident").s("quick"), name="quick"), 60, otherwise="late")
    instead = flow.timeout(
        flow.add(task(app, "until_open").s(gate), name="other"), timedelta(seconds=0.3),
        otherwise=task(app, "ident").s("instead"),
    )  # fmt: skip
    failing = flow.timeout(flow.add(task(app, "fail").s(), name="failing"), 60, otherwise="late")
    named(app, flow, "end", by_value, quick, instead)
    flow.add(task(app, "ident").s(failing), name="below")
    run = flow.apply_async()
    assert run["end"].get(timeout=20) == ["end", ["late", "quick", "instead"], {}]
    bench.open(gate)
    bench.ledger(gate, 3)
    run.result.get(timeout=20, propagate=False)
    found = states(run)
    assert [found[name] for name in ("slow", "quick", "other", "failing")] == [
        "FAILURE", "SUCCESS", "FAILURE", "FAILURE"
    ]  # fmt: skip
    assert found["below"] == "UPSTREAM_FAILED"


def test_a_limit_without_an_otherwise_fails_the_run(bench, app, flow):
    gate = bench.new_key()
    flow.timeout(flow.add(task(app, "until_open").s(gate), name="slow"), 0.2)
    run = flow.apply_async()
    with pytest.raises(NodeTimeout, match=r"slow had not ended 0.2 s after its start"):
        run.get(timeout=20)
    bench.open(gate)


@pytest.mark.parametrize("ends", ["success", "failure", "cancel"])
def test_what_runs_finally_runs_once_whatever_has_happened(bench, app, flow, ends):
    key, gate = bench.new_key(), bench.new_key()
    first = flow.add(task(app, "until_open" if ends == "cancel" else "ident").s(gate), name="first")
    if ends == "failure":
        flow.add(task(app, "fail").s(first), name="fails")
    flow.wait_for("never", after=first, timeout=3600) if ends == "cancel" else None
    flow.finally_(task(app, "noted").s("cleaned", key), name="cleanup")
    run = flow.apply_async()
    if ends == "cancel":
        bench.ledger(gate, 1)
        run.cancel()
        bench.open(gate)
    run.result.get(timeout=20, propagate=False)
    assert states(run)["cleanup"] == "SUCCESS"
    assert bench.ledger(key, 1) == ["'cleaned'"]
    assert run.status().state == {"success": "SUCCESS", "failure": "FAILURE", "cancel": "CANCELLED"}[ends]
    if ends == "success":
        assert run.get(timeout=20) == gate


def test_a_run_that_has_only_finally_left_is_not_cancelled(bench, app, flow):
    gate = bench.new_key()
    flow.add(task(app, "ident").s(1), name="first")
    flow.finally_(task(app, "until_open").s(gate), name="cleanup")
    run = flow.apply_async()
    bench.ledger(gate, 1)
    assert not run.cancel(terminate=True)
    bench.open(gate)
    assert run.get(timeout=20) == 1
    assert (run.status().state, states(run)["cleanup"]) == ("SUCCESS", "SUCCESS")
