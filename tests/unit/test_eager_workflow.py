"""Workflows that are carried out in the process that starts them. No server: the URLs lead nowhere."""

import inspect
import os
from inspect import signature

import pytest

from canvas import Canvas, Workflow, chain, chord, group, signals, workflow
from canvas.errors import CompositionError, NotRegistered, RunLost, TaskRevokedError, WorkflowFailed
from canvas.workflows.run import Run

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def app():
    app = make("eager")
    app.conf.task_always_eager = True
    return app


def make(name, broker=NOWHERE, backend=None):
    app = Canvas(name, broker=broker, backend=backend)
    define = {"name": None, "shared": False}
    for function in (add, ident, total, fail, pid, refuse):
        app.task(**{**define, "name": function.__name__})(function)
    for function in (flaky, swap, about, grow, stop):
        app.task(bind=True, **{**define, "name": function.__name__})(function)
    app.task(**{**define, "name": "later"})(later)
    app.noted = []
    app.task(**{**define, "name": "note"})(app.noted.append)
    return app


def add(x, y=1):
    return x + y


def ident(x):
    return x


def total(values):
    return sum(values)


def fail(*_):
    raise ValueError("boom")


def pid():
    return os.getpid()


def refuse(x):
    return object()


def flaky(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=600)
    return self.request.retries


def swap(self):
    return self.replace(
        chain(self.app.tasks["add"].s(1), group(self.app.tasks["add"].s(2), self.app.tasks["add"].s(3)))
    )


def about(self):
    return self.request.is_eager, self.request.called_directly, self.request.delivery_info["is_eager"]


def grow(self):
    self.add_to_chord(self.app.tasks["ident"].s(10))
    return 1


def stop(self):
    raise KeyboardInterrupt


async def later(x):
    return x + 1


@pytest.fixture
def flow(app):
    return Workflow("flow", app)


def sig(app, name, *args, **kwargs):
    return app.tasks[name].s(*args, **kwargs)


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
    """Those that a run takes from its own fields, and ``conclude``, which gets the state, wait for nothing."""
    methods = {name for name, _ in inspect.getmembers(Run, inspect.isfunction) if not name.startswith("_")}
    plain = methods - {"begin_once", "log_start", "first_settlement", "conclude", "progress"}
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


# -- what is stored


@pytest.fixture
def storing():
    app = make("storing", "memory://eager-workflows", "memory://eager-workflows")
    app.conf.task_always_eager = True
    assert app.driver.scheme == "memory"  # the store lives as long as a driver of it
    return app


def test_nothing_is_stored_or_sent(storing):
    flow = Workflow("flow", storing)
    flow.add(sig(storing, "ident", 1), name="one")
    run = flow.apply_async()
    assert storing.driver.admin.queue_length("celery") == 0
    assert storing.AsyncResult(run["one"].id).state == "PENDING"
    assert storing.runs() == []
    with pytest.raises(RunLost) as raised:
        storing.workflow(run.id)
    assert any("task_store_eager_result" in note for note in raised.value.__notes__)


def test_a_run_is_stored_where_results_are_to_be(storing):
    storing.conf.task_store_eager_result = True
    broken = [True]
    storing.task(name="gated", shared=False)(lambda x: fail() if broken else x)
    flow = Workflow("flow", storing)
    one = flow.add(sig(storing, "ident", 1), name="one")
    flow.add(sig(storing, "gated", one), name="two")
    run = flow.apply_async()
    stored = storing.workflow(run.id)
    assert states(stored) == {"one": "SUCCESS", "two": "FAILURE"}
    assert stored["one"].get(timeout=5) == 1
    with pytest.raises(ValueError, match="boom"):
        stored.get(timeout=5)
    broken.clear()
    assert stored.resume()
    assert storing.workflow(run.id).get(timeout=5) == 1
    assert storing.driver.admin.queue_length("celery") == 0


def test_a_task_may_have_its_result_stored_alone(storing):
    storing.task(name="kept", shared=False, store_eager_result=True)(ident)
    flow = Workflow("flow", storing)
    flow.add(sig(storing, "ident", 1), name="one")
    flow.add(sig(storing, "kept", 2), name="two")
    run = flow.apply_async()
    assert storing.AsyncResult(run["two"].id).get(timeout=5) == 2
    assert storing.AsyncResult(run["one"].id).state == "PENDING"


@pytest.fixture
def asks(app):
    """Tasks that call ``self.retry``, each with what ``ran``."""
    ran = []

    def item(self, x, how=None):
        ran.append(x)
        if x == 2 and (len(ran) < 5 or how == "always"):
            self.retry(countdown=600, **{"args": {"args": [x]}, "plain": {}}.get(how, {"exc": ValueError("again")}))
        return x

    async def item_later(self, x, how=None):
        return item(self, x, how)

    def item_pages(self):
        ran.append("page")
        yield [1]
        if len(ran) < 3:
            raise self.retry(countdown=600)
        yield [3]

    for function in (item, item_later, item_pages):
        app.task(bind=True, name=function.__name__, shared=False, max_retries=2)(function)
    return ran


@pytest.mark.parametrize("name", ["item", "item_later"])
@pytest.mark.parametrize("how", ["exc", "plain"])
def test_an_item_asks_for_a_retry_of_its_batch(app, flow, asks, name, how):
    flow.map(sig(app, name, how=how), over=[1, 2, 3], batch=3)
    assert flow.apply().get() == [1, 2, 3]
    assert asks == [1, 2, 1, 2, 1, 2, 3]


@pytest.mark.parametrize(
    ("how", "error", "count"), [("always", "again", 6), ("args", "item: retry.. inside a batch", 2)]
)
def test_a_batch_that_is_not_retried_fails(app, flow, asks, how, error, count):
    flow.map(sig(app, "item", how=how), over=[1, 2, 3], batch=3)
    with pytest.raises((ValueError, TypeError), match=error):
        flow.apply().get()
    assert len(asks) == count


def test_a_generator_asks_for_a_retry(app, flow, asks):
    flow.pages(sig(app, "item_pages"), sig(app, "item"), name="work")
    run = flow.apply()
    assert [run.get(), list(run.pages("work"))] == [2, [[1], [3]]]
    assert asks == ["page", "page", "page", 1, 3]
