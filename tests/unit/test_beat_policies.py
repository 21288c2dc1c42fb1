"""Policies of entries: ticks that were missed, that overlap, or whose beat has died."""

import pytest

from canvas import chord, group
from canvas.integrations.beat_metrics import beat_metrics
from canvas.schedules import schedule
from canvas.telemetry import attach
from tests.support.beat_bench import Bench
from tests.worker.test_metrics import value


@pytest.fixture
def bench():
    return Bench()


@pytest.mark.parametrize(
    ("catch_up", "expected", "missed"),
    [("last", [1000.0], 0), ("none", [], 1), ("all", [1000.0] * 9, 0)],
)
def test_ticks_that_were_missed(bench, catch_up, expected, missed):
    bench.app.conf.beat_schedule = {
        "a": {"task": "add", "schedule": schedule(100), "args": (1, 2), "catch_up": catch_up}
    }
    assert len(bench.run(110)) == 1
    bench.clock.move(890)
    assert [at for at, _ in bench.run(0.5)] == expected
    assert bench.state("a").missed == missed
    following = bench.run(100)
    assert len(following) == 1


def test_metrics_count_what_became_of_ticks(bench, monkeypatch):
    ends = []
    monkeypatch.setattr("canvas.integrations.beat_metrics.attach", lambda *given: ends.append(attach(*given)))
    metrics = beat_metrics("beat@here")
    fields = {"task": "add", "args": (1, 2)}
    bench.app.conf.beat_schedule = {
        "skips": {**fields, "schedule": 10, "overlap": "skip"},
        "misses": {**fields, "schedule": 200, "catch_up": "none"},
        "late": {**fields, "schedule": 250},
    }
    try:
        assert len(bench.run(35)) == 1
        bench.clock.move(255)
        assert len(bench.run(0)) == 1
    finally:
        for end in ends:
            end()
    page = metrics.page().decode()
    found = {name: value(page, f"canvas_beat_{name}") for name in ("sent_total", "missed_total", "skipped_total")}
    # One of "skips" and one of "late"; the third is left out, and of "skips" two before the outage and one after it.
    assert found == {"sent_total": 2, "missed_total": 1, "skipped_total": 3}
    assert value(page, "canvas_beat_lag_seconds_sum") == 40


def test_ticks_that_overlap_are_skipped(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2), "overlap": "skip"}}
    assert len(bench.run(35)) == 1
    state = bench.state("a")
    assert (state.count, state.skipped) == (1, 2)
    bench.end(state.last["ids"][0])
    assert len(bench.run(10)) == 1


def test_ticks_that_overlap_wait(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2), "overlap": "queue"}}
    assert len(bench.run(35)) == 1
    assert bench.state("a").waiting == 2
    for left in (1, 0):
        bench.end(bench.state("a").last["ids"][0])
        assert len(bench.run(2)) == 1
        assert bench.state("a").waiting == left


def test_ticks_cancel_what_they_overlap(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2), "overlap": "cancel_previous"}}
    bench.run(11)
    first = bench.state("a").last["ids"][0]
    assert len(bench.run(10)) == 1
    assert any(first in entry for entry in bench.app.driver.coordination.revoked()[1])


def test_overlapping_runs_of_a_workflow_are_skipped_until_one_is_over(bench):
    def flow():
        made = bench.app.Workflow("w")
        made.add(bench.add.s(1, 2))
        return made

    bench.app.conf.beat_schedule = {"a": {"task": flow, "schedule": 10, "overlap": "skip"}}
    assert len(bench.run(35)) == 1
    bench.end(bench.state("a").last["run"])
    assert len(bench.run(10)) == 1


AFTER_AN_OUTAGE = {
    ("none", "allow"): (0, "missed", 1), ("last", "allow"): (1, "count", 2), ("all", "allow"): (10, "count", 11),
    ("none", "skip"): (0, "missed", 1), ("last", "skip"): (0, "skipped", 1), ("all", "skip"): (0, "skipped", 10),
    ("none", "queue"): (0, "missed", 1), ("last", "queue"): (0, "waiting", 1), ("all", "queue"): (0, "waiting", 10),
    ("none", "cancel_previous"): (0, "missed", 1), ("last", "cancel_previous"): (1, "count", 2),
    ("all", "cancel_previous"): (10, "count", 11),
}  # fmt: skip
"""By ``catch_up`` and ``overlap``: the ticks that are sent after 100 seconds without beat while the run before is not
over, and a number in the state of the entry."""


def composed(bench, kind):
    def flow():
        made = bench.app.Workflow("w")
        made.add(bench.add.s(1, 2))
        return made

    return {
        "workflow": flow,
        "chord": chord([bench.add.s(1, 2)], bench.total.s()),
        "chain": bench.add.s(1, 2) | bench.add.s(3),
        "group": group(bench.add.s(1, 2)),
    }[kind]


@pytest.mark.parametrize("kind", ["chain", "group", "chord", "workflow"])
@pytest.mark.parametrize(("policies", "expected"), AFTER_AN_OUTAGE.items(), ids=lambda one: "-".join(map(str, one)))
def test_policies_hold_together_for_composites(bench, kind, policies, expected):
    catch_up, overlap = policies
    entry = {"task": composed(bench, kind), "schedule": 10, "overlap": overlap, "catch_up": catch_up}
    bench.app.conf.beat_schedule = {"a": entry}
    assert len(bench.run(11)) == 1
    first = bench.state("a").last
    bench.clock.move(100)
    sent, name, number = expected
    assert [task for _, task in bench.run(0)] == ["add"] * sent
    assert getattr(bench.state("a"), name) == number
    cancelled = f"{first['run']}:0" if kind == "workflow" else first["ids"][-1]
    assert (cancelled in str(bench.app.driver.coordination.revoked())) is (overlap == "cancel_previous" and sent > 0)
    if overlap == "queue" and name == "waiting":
        bench.end(cancelled.removesuffix(":0"))
        assert len(bench.run(1.5)) == 1
        assert bench.state("a").waiting == number - 1


@pytest.mark.parametrize("kind", ["chain", "group", "chord"])
def test_all_tasks_of_a_composite_are_cancelled(bench, kind):
    two = {"chain": bench.add.s(1, 2) | bench.add.s(3), "group": group(bench.add.si(1, 2), bench.add.si(1, 2))}
    sig = two.get(kind) or chord([bench.add.si(1, 2), bench.add.si(3, 4)], bench.total.s())
    bench.app.conf.beat_schedule = {"a": {"task": sig, "schedule": 10, "overlap": "cancel_previous"}}
    bench.service.tick()
    bench.clock.move(10)
    bench.service.tick()
    messages = bench.take()
    stamp = bench.state("a").last["stamp"]
    assert {one.headers["stamps"]["canvas_beat_tick"] for one in messages} == {stamp}
    following = [
        one for message in messages for one in (*(message.embed.get("chain") or ()), message.embed.get("chord")) if one
    ]
    unstamped = [one["options"]["task_id"] for one in following if one["options"].get("canvas_beat_tick") != stamp]
    bench.run(10)
    revoked = str(bench.app.driver.coordination.revoked())
    assert all(one in revoked for one in (stamp, *unstamped))
    assert "stamp" not in bench.state("a").history[0]


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_chain_whose_task_failed_is_over(bench, overlap):
    sig = bench.add.s(1, 2) | bench.add.s(3) | bench.add.s(4)
    bench.app.conf.beat_schedule = {"a": {"task": sig, "schedule": 10, "overlap": overlap}}
    assert len(bench.run(11)) == 1
    (before,) = bench.state("a").last["before"].values()
    assert bench.run(10) == []
    bench.app.backend.store_result(before[0], 3, "SUCCESS")
    assert bench.run(10) == []
    bench.app.backend.store_result(before[1], ValueError("x"), "FAILURE")
    assert len(bench.run(10)) == 1


def test_overlap_needs_a_result(caplog):
    bench = Bench()
    bench.app.task(lambda: None, name="silent", ignore_result=True)
    bench.app.conf.beat_schedule = {"a": {"task": "silent", "schedule": 10, "overlap": "skip"}}
    assert bench.run(11) == []
    assert "overlap='skip' needs the task's result, and silent has ignore_result" in caplog.text


def test_a_task_that_sends_itself_is_sent_again_when_its_beat_died(bench):
    class Own(type(bench.add)):
        def apply_async(self, *args, **options):
            calls.append(options["task_id"])
            return super().apply_async(*args, **options)

    calls = []
    bench.app.task(lambda: None, name="own", base=Own)
    bench.app.conf.beat_schedule = {"a": {"task": "own", "schedule": 10}}
    assert len(bench.run(15)) == 1

    class Killed(KeyboardInterrupt):
        pass

    def die(**_):
        raise Killed

    bench.clock.move(5)
    detach = attach(die, "beat.claimed")
    try:
        bench.service.tick()
    except Killed:
        pass
    finally:
        detach()
    claimed = bench.state("a")
    assert (len(calls), bench.take(), bool(claimed.sending)) == (1, [], True)
    sent = bench.run(65, bench.beat())
    assert sent[0] == (80.0, "own")
    assert [calls[1]] == claimed.last["ids"] and len(calls) == len(set(calls))


def test_a_unique_task_under_way_is_not_sent_twice(bench):
    bench.app.task(lambda: None, name="alone", unique_for=3600)
    bench.app.conf.beat_schedule = {"a": {"task": "alone", "schedule": 10}}
    assert len(bench.run(35)) == 1
    assert bench.state("a").count == 3


def test_many_beats_send_each_tick_once(bench):
    bench.app.conf.beat_schedule = {"a": {"task": "add", "schedule": 10, "args": (1, 2)}}
    beats = [bench.beat() for _ in range(3)]
    sent = 0
    for _ in range(50):
        for beat in beats:
            beat.tick()
        sent += len(bench.take())
        bench.clock.move(1)
    assert sent == bench.state("a").count == 4
