"""Workflows that are carried out in the process that starts them. No server: the URLs lead nowhere."""

import inspect
import os
from inspect import signature

import pytest

from canvas import Workflow, chord, group, signals, workflow
from canvas.errors import CompositionError, NotRegistered, TaskRevokedError, WorkflowFailed
from canvas.workflows.run import Run
from tests.unit.eager_app import always_eager, fail, ident, make
from tests.unit.flows import fixtures, sig

app, flow = fixtures(always_eager)


def states(run):
    return {node.name: node.state for node in run.status().nodes}


def test_every_kind_of_node_runs_here(app, flow):
    first = flow.add(sig(app, "add", 1, 2), name="first")
    lists = flow.add(sig(app, "ident", [[first, 2], [3]]), name="lists")
    flow.map(sig(app, "later"), over=lists, name="nested", depth=2)
    flow.add(chord([sig(app, "add", first), sig(app, "grow")], app.tasks["total"].s()), name="chord")
    flow.add(group(sig(app, "add", 1), sig(app, "add", 2)), name="group")
    flow.add(sig(app, "swap"), name="replaced")
    flow.add(sig(app, "flaky", 2), name="retried")
    flow.add(app.tasks["add"].chunks([(1, 1), (2, 2), (3, 3)], 2), name="chunks")
    flow.add(sig(app, "about"), name="about")
    choice = flow.branch(
        first, {3: sig(app, "add", 100), 4: sig(app, "fail")}, otherwise=sig(app, "fail"), name="branch"
    )
    flow.add(sig(app, "pid"), name="pid", after=choice)
    run = flow.apply_async()
    assert run.get() == {
        "nested": [[4, 3], [4]], "chord": 15, "group": [2, 3], "replaced": [4, 5], "retried": 2,
        "chunks": [[2, 4], [6]], "about": [True, False, True], "pid": os.getpid(),
    }  # fmt: skip
    assert run["nested"].get() == [[4, 3], [4]]
    assert run.result.get() is None
    assert run.ready()
    assert run.status().counts == {"SUCCESS": 12, "SKIPPED": 2}
    assert [node.name for node in run.status().nodes if node.seconds is not None and node.seconds > 60] == []


def test_an_early_ack_and_rates_and_limits_change_nothing(app, flow):
    app.task(name="slow", shared=False, rate_limit="1/h", concurrency_limit=1, acks_late=True, time_limit=1)(ident)
    items = flow.add(sig(app, "ident", [1, 2, 3]))
    flow.map(sig(app, "slow"), over=items)
    assert flow.apply_async().get() == [1, 2, 3]


def test_a_failure_and_what_policies_make_of_it(app, flow):
    bad = flow.add(sig(app, "fail"), name="bad")
    flow.add(sig(app, "ident", bad), name="below")
    soft = flow.add(sig(app, "fail"), name="soft", on_failure="continue", default=[1, "x"])
    flow.map(sig(app, "add"), over=soft, name="items", on_failure="continue", default=0)
    flow.add(sig(app, "note", "kept"), name="beside", compensate=app.tasks["note"].si("undone"))
    run = flow.apply_async()
    with pytest.raises(ValueError, match="boom") as raised:
        run.get()
    assert isinstance(raised.value.__cause__, WorkflowFailed)
    assert states(run) == {
        "bad": "FAILURE", "below": "UPSTREAM_FAILED", "soft": "FAILURE", "items": "SUCCESS", "beside": "SUCCESS"
    }  # fmt: skip
    assert run.state == "FAILURE"
    assert run["items"].get() == [2, 0]
    assert app.noted == ["kept", "undone"]
    assert isinstance(run["bad"].result, ValueError)
    with pytest.raises(ValueError, match="boom"):
        run["bad"].get()


def test_a_run_is_resumed_and_retried_here(app, flow):
    broken = [True]
    app.task(name="gated", shared=False)(lambda x: fail() if broken else x)
    first = flow.add(sig(app, "ident", 1), name="first")
    flow.add(sig(app, "note", first), name="noted")
    flow.add(sig(app, "gated", first), name="gated")
    run = flow.apply_async()
    assert states(run) == {"first": "SUCCESS", "noted": "SUCCESS", "gated": "FAILURE"}
    broken.clear()
    assert run.resume()
    assert not run.resume()
    assert run.get() == {"noted": None, "gated": 1}
    assert app.noted == [1]
    again = run.retry()
    assert again.id != run.id
    assert again.get() == {"noted": None, "gated": 1}
    assert not again.cancel()


def test_a_timeout_counts_delays_that_were_skipped(app, flow):
    late = flow.add(sig(app, "flaky", 3), name="late")
    flow.add(sig(app, "ident", late), name="after")
    run = flow.apply_async(timeout=1000)
    with pytest.raises(
        TaskRevokedError,
        match=rf"run {run.id} of 'flow' was cancelled: .* timeout of 1000 s; .*late \(TaskRevokedError: revoked\)",
    ):
        run.get()
    assert run.state == "CANCELLED"
    assert flow.apply_async(timeout=5000).get() == 3


@pytest.mark.parametrize("target", ["canvas", "celery"])
def test_both_forms_run_here(app, flow, target):
    ends = [flow.add(sig(app, "add", number)) for number in range(3)]
    flow.add(sig(app, "total", ends))
    run = flow.apply_async(target=target)
    assert run.get() == 6
    assert run.state == run.query("total") == "SUCCESS"


def test_values_pass_as_a_worker_would_have_sent_them(app, flow):
    flow.add(sig(app, "refuse", 1), name="odd")
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        flow.apply_async().get()
    flow = Workflow("tuple", app)
    flow.add(sig(app, "ident", flow.add(sig(app, "ident", (1, 2)))))
    assert flow.apply_async().get() == [1, 2]


def test_a_task_that_is_not_registered_fails_its_node(app, flow):
    app.conf.worker_unknown_task = "requeue"
    flow.add(app.signature("elsewhere"), name="unknown")
    run = flow.apply_async()
    with pytest.raises(NotRegistered, match="elsewhere"):
        run.get()


def test_errors_are_raised_where_they_are_to_be(app, flow):
    app.conf.task_eager_propagates = True
    flow.add(sig(app, "fail"))
    with pytest.raises(ValueError, match="boom"):
        flow.apply_async()


def test_an_interrupt_reaches_the_caller(app, flow):
    flow.add(sig(app, "stop"))
    with pytest.raises(KeyboardInterrupt):
        flow.apply_async()


def test_a_workflow_inside_a_task_runs_here_too(app, flow):
    @app.task(name="inner", shared=False)
    def inner(x):
        flow = Workflow("inner", app)
        flow.add(sig(app, "add", x, 10))
        return flow.apply_async().get()

    flow.add(sig(app, "inner", flow.add(sig(app, "ident", 1))))
    assert flow.apply_async().get() == 11


def test_functions_that_build_workflows_run_here(app):
    @workflow(app=app)
    def build(n):
        app.tasks["add"](app.tasks["ident"](n), y=2)

    assert build(5).apply_async().get() == 7


async def test_on_an_event_loop(app, flow):
    first = flow.add(sig(app, "later", 1), name="first")
    flow.add(sig(app, "ident", first), name="second")
    run = await flow.aapply_async()
    assert await run == 2
    assert sorted([node.name async for node in run.progress()]) == ["first", "second"]


def test_each_method_of_a_run_has_an_awaitable_form():
    """Those that a run takes from its own fields, and ``conclude``, which gets the state, wait for nothing. Workers call
    ``cancel_again``."""
    methods = {name for name, _ in inspect.getmembers(Run, inspect.isfunction) if not name.startswith("_")}
    plain = methods - {"begin_once", "log_start", "first_settlement", "conclude", "progress", "cancel_again"}
    plain -= {name for name in methods if name[0] == "a" and name[1:] in methods}
    assert {name for name in plain if f"a{name}" not in methods} == set()
    for name in plain:
        assert list(signature(getattr(Run, f"a{name}")).parameters) == list(signature(getattr(Run, name)).parameters)


def test_what_cannot_be_composed_is_refused_here_too(app, flow):
    with pytest.raises(CompositionError, match="nothing to run"):
        flow.apply_async()


def test_apply_runs_here_without_the_setting():
    app = make("applied")
    flow = Workflow("flow", app)
    flow.add(sig(app, "pid"))
    run = flow.apply()
    assert run.get() == os.getpid()
    assert run.retry().get() == os.getpid()


def test_signals_are_those_of_eager_tasks(app, flow):
    seen = []

    def receive(name):
        return lambda **about: seen.append((name, getattr(about["sender"], "name", about["sender"])))

    names = ("task_received", "task_prerun", "task_success", "task_failure", "task_postrun")
    receivers = {name: receive(name) for name in names}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    try:
        flow.add(sig(app, "ident", 1))
        flow.apply_async()
    finally:
        for name, receiver in receivers.items():
            getattr(signals, name).disconnect(receiver)
    assert sorted(seen) == [("task_postrun", "ident"), ("task_prerun", "ident"), ("task_success", "ident")]
