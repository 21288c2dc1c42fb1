"""Entries of beat that start workflows with labels and keys."""

from datetime import UTC

import pytest

from canvas.beat import BeatLazyFunc
from canvas.beat.overlap import is_running
from tests.support.beat_bench import Bench


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.app.close()


def entry(bench, value=1, **options):
    def flow():
        made = bench.app.Workflow("nightly")
        made.add(bench.add.s(value, 2))
        return made

    return {"task": flow, "schedule": 10, "options": options}


def test_the_labels_of_an_entry_are_those_of_its_runs(bench):
    lazy = BeatLazyFunc(lambda: bench.app.now().astimezone(UTC).date())
    bench.app.conf.beat_schedule = {"a": entry(bench, labels={"customer": 42, "day": lazy})}
    bench.run(11)
    (run,) = bench.app.runs(name="nightly", label={"customer": "42"})
    assert run.id == bench.state("a").last["run"]
    assert run.labels["day"] == bench.app.now().astimezone(UTC).date()


def test_ticks_of_one_key_start_one_run(bench):
    keys = iter(["monday", "monday", "monday", "tuesday"])
    options = {"run_key": BeatLazyFunc(lambda: next(keys))}
    bench.app.conf.beat_schedule = {"a": entry(bench, **options)}
    sent = bench.run(41)
    assert len(sent) == 2
    assert [run.key for run in bench.app.runs(name="nightly")] == ["tuesday", "monday"]
    state = bench.state("a")
    assert state.last["run"] == bench.app.runs.of_key("nightly", "tuesday").id
    assert is_running(bench.app, state, bench.clock.time())


def test_a_key_that_others_have_used_gives_their_run(bench):
    run = entry(bench)["task"]().apply_async(run_key="monday")
    bench.take()
    bench.app.conf.beat_schedule = {"a": entry(bench, run_key="monday")}
    assert bench.run(11) == []
    assert bench.state("a").last["run"] == run.id


def test_another_graph_under_a_key_is_logged_with_the_entry(bench, caplog):
    entry(bench)["task"]().apply_async(run_key="monday")
    bench.take()
    bench.app.conf.beat_schedule = {"a": entry(bench, 5, run_key="monday", run_key_mismatch="error")}
    assert bench.run(11) == []
    assert "was started with run_key 'monday' and another graph or other arguments" in caplog.text


def test_options_that_runs_do_not_have(bench, caplog):
    bench.app.conf.beat_schedule = {"a": entry(bench, queue="high"), "b": entry(bench, labels={"a b": 1})}
    assert bench.run(11) == []
    assert "options of a workflow are expires, timeout, target, inputs, labels, concurrency, run_key" in caplog.text
    assert "expected a name of 1 to 64 letters" in caplog.text
