"""Random workflows of every kind of node on a worker, with Redis and with SQL, compared with a plain evaluation."""

import random
import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from canvas.errors import CompositionError
from canvas.testing.contract import eventually
from canvas.testing.worker import start_worker
from tests.support.drawn_workflows import app_with_tasks, composed, signals_of, workflows
from tests.support.plain_evaluation import assert_as_evaluated, assert_in_order, is_undone, undone_of

pytestmark = [pytest.mark.slow, pytest.mark.random, pytest.mark.timeout(3600)]
SCALE = 0.5
TOGETHER = 16
MANY = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.explicit, Phase.generate]}


@pytest.fixture(scope="module", params=["redis", "postgresql"])
def app(request, bench, postgres):
    broker, backend, _ = bench.urls()
    bench.empty()
    app = app_with_tasks(broker, backend if request.param == "redis" else postgres.new_database())
    with app, start_worker(app, concurrency=8, pool="threads"):
        yield app


def started(app, drawn):
    run = composed(app, drawn, SCALE).apply_async()
    send_signals(run, drawn)
    return run


def send_signals(run, drawn):
    """As many signals as its nodes wait for, unless it ends before."""
    with suppress(CompositionError):
        for _ in range(signals_of(drawn)):
            run.signal("go", 100)


@settings(max_examples=3, **MANY)
@given(st.lists(workflows(), min_size=TOGETHER, max_size=TOGETHER))
def test_runs_end_as_a_plain_evaluation(app, some):
    runs = [started(app, drawn) for drawn in some]
    for run, drawn in zip(runs, some, strict=True):
        assert run.status().by_celery == {}
        run.get(timeout=120, propagate=False)
        assert_as_evaluated(run, drawn)
        # What is to be undone is undone after the run has ended.
        eventually(lambda run=run, drawn=drawn: is_undone(run, drawn, undone_of(app, run)), 30)
        assert_in_order(drawn, undone_of(app, run))


@settings(max_examples=3, **MANY)
@given(st.lists(workflows(), min_size=TOGETHER, max_size=TOGETHER), st.integers(0, 2**32))
def test_runs_that_are_cancelled_and_resumed_end_as_if_they_had_not_been(app, some, seed):
    drawn_times = random.Random(seed)
    runs = [started(app, drawn) for drawn in some]
    time.sleep(drawn_times.uniform(0, 1))  # the time of the cancellation is drawn, too
    cancelled = [run for run in runs if run.cancel()]
    for run, drawn in zip(runs, some, strict=True):
        if run in cancelled:
            eventually(lambda run=run: run.status().over)
            assert run.attempt == 0
            # All its nodes may have succeeded before the cancellation.
            assert run.resume() or run.query() == "SUCCESS", run.status()
            send_signals(run, drawn)  # a wait after a node that was undone waits again
    for run, drawn in zip(runs, some, strict=True):
        run.get(timeout=120, propagate=False)
        assert_as_evaluated(run, drawn)


@settings(max_examples=2, **MANY)
@given(st.lists(st.tuples(workflows(), st.integers(0, 7)), min_size=TOGETHER, max_size=TOGETHER))
def test_runs_whose_nodes_run_again_end_as_before(app, some):
    runs = [started(app, drawn) for drawn, _ in some]
    for run in runs:
        run.get(timeout=120, propagate=False)
    for run, (drawn, number) in zip(runs, some, strict=True):
        assert run.again(f"n{number % len(drawn)}"), run.status()
        send_signals(run, drawn)
    for run, (drawn, _) in zip(runs, some, strict=True):
        run.get(timeout=120, propagate=False)
        assert run.attempt == 1
        assert_as_evaluated(run, drawn)
