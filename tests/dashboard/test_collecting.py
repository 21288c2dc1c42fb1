"""What is kept of events: bounded, whatever they have in them."""

import gc
import json
import sys
import time
from collections import Counter

import pytest

from canvas import Canvas
from canvas.dashboard.collecting.cluster import Cluster
from canvas.dashboard.collecting.collector import Collector
from canvas.dashboard.collecting.series import SLOTS, Series, Slot, bucket_of, percentile
from canvas.dashboard.options import DashboardOptions
from canvas.integrations import dashboard_metrics
from canvas.remote.cluster_entries import Task


def event(kind, uuid="one", **fields):
    return {"type": f"task-{kind}", "uuid": uuid, "hostname": "w@h", "timestamp": time.time(), **fields}


@pytest.fixture
def collector():
    app = Canvas("collected", broker="memory://", backend="memory://", set_as_current=False)
    return Collector(app, DashboardOptions(max_tasks=100))


HOSTILE = [
    {}, {"type": 3}, {"type": "task-received"}, {"type": "task-received", "uuid": 5, "hostname": "w"},
    {"type": "task-received", "uuid": "x", "hostname": None}, {"type": "worker-online"}, {"type": "odd", "hostname": "w"},
]  # fmt: skip


@pytest.mark.parametrize("odd", HOSTILE)
def test_an_event_that_is_none_is_counted_and_left_out(collector, odd):
    collector.take([odd, event("received", name="t.add")])
    assert collector.cluster.malformed == 1
    assert [task.uuid for task in collector.cluster.tasks_now()] == ["one"]


def test_fields_are_of_their_types_and_bounded(collector):
    odd = {"runtime": float("nan"), "event": "x", "as_dict": 1, "args": "x" * 1_000_000, "kwargs": {"a": 1},
           "timestamp": "now", "retries": [1], "root_id": 7, "name": None}  # fmt: skip
    collector.take([event("received", **odd), event("succeeded", runtime=float("inf"))])
    task = collector.cluster.task("one")
    assert len(task.args) < 3_000
    assert task.kwargs == "{'a': 1}"
    assert task.runtime is None
    assert task.root_id == "7"
    json.dumps(task.as_dict(), allow_nan=False, default=str)
    assert collector.overview()["totals"]["succeeded"] == 1


def test_the_oldest_tasks_are_forgotten_with_all_that_is_known_of_them():
    cluster = Cluster(10, 10)
    for number in range(5_000):
        cluster.take([event("received", f"t{number}", name=f"n{number}", root_id="t0", parent_id=f"t{number - 1}")])
        cluster.take([{"type": "worker-heartbeat", "hostname": f"w{number}", "timestamp": time.time()}])
    assert {task.uuid for task in cluster.tasks_now()} == {f"t{number}" for number in range(4_990, 5_000)}
    assert sum(map(len, cluster.by_root.values())) == 10
    assert cluster.by_run == {}
    assert len(cluster.workers_now()) == 10
    assert len(cluster.tasks_by_type) < 2_100
    assert sum(map(len, cluster.tasks_by_type.values())) == sum(map(len, cluster.tasks_by_worker.values())) == 10
    assert len(cluster._homes) == 10
    assert sum(len(task.children) for task in cluster.tasks_now()) == 9


def test_ten_thousand_events_a_second_do_not_grow_the_memory():
    """After the first ten thousand events no more memory is in use than before, however many events come."""
    app = Canvas("busy", broker="memory://", backend="memory://", set_as_current=False)
    collector = Collector(app, DashboardOptions(max_tasks=2_000))

    def second(number):
        for batch in range(0, 3_334, 24):
            uuids = [f"{number}-{batch + at}" for at in range(24)]
            collector.take([event("received", uuid, name="t.add", args="(1, 2)") for uuid in uuids])
            collector.take([event("started", uuid) for uuid in uuids])
            collector.take([event("succeeded", uuid, runtime=0.01, result="3") for uuid in uuids])

    second(0)
    before = _blocks()
    for number in range(1, 6):
        second(number)
    assert _blocks() - before < 3_000
    assert collector.overview()["totals"]["succeeded"] >= 20_000
    assert len(collector.cluster.tasks_now()) == 2_000


def test_combinations_of_labels_are_bounded_and_all_events_are_counted(monkeypatch):
    monkeypatch.setattr(dashboard_metrics, "_CHILDREN", 50)
    counted = dashboard_metrics.DashboardMetrics()
    for number in range(100):
        failed = event("failed", f"t{number}", hostname=f"w{number}@h", exception=f"E{number}()")
        counted.take([(failed, Task(failed["uuid"], name="t.add"))])
    text = counted.page([]).decode()
    values = [
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("celery_task_failed_total")
    ]
    assert sum(values) == 100
    assert len(values) <= 51
    assert 'celery_task_failed_total{exception="other",hostname="other",name="other",queue_name="other"}' in text


def _blocks():
    gc.collect()
    return sys.getallocatedblocks()


def test_a_wait_is_known_where_an_event_says_when_the_task_was_sent(collector):
    now = time.time()
    collector.take([event("received", name="t.add"), event("started", timestamp=now + 5)])
    assert collector.overview()["latency"]["wait"]["p50"] is None
    collector.take([event("sent", "two", timestamp=now), event("started", "two", timestamp=now + 5)])
    assert collector.overview()["latency"]["wait"]["p50"] == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize(
    ("ends", "named", "kind"),
    [
        (("succeeded", "succeeded"), {}, "group"), (("succeeded", "failed"), {}, "group or chord"),
        (("succeeded", "failed"), {"group_id": "g"}, "group"),
        (("succeeded", "failed"), {"group_id": "g", "chord": "body"}, "chord"),
        (("succeeded", "succeeded"), {"group_id": "g", "chord": ""}, "chord"),
    ],
)  # fmt: skip
def test_a_group_with_a_failure_is_a_chord_where_events_say_so(collector, ends, named, kind):
    """Events of Celery's workers do not name groups; records do."""
    for uuid, end in zip(("one", "two"), ends, strict=True):
        collector.take([event("received", uuid, root_id=uuid, **named), event(end, uuid)])
        if not named:
            collector.cluster.groups[uuid] = "g"
    (family,) = collector.families.all()
    assert family.kind(collector.cluster.groups) == kind


def test_the_tasks_of_a_run_are_found_without_a_look_at_the_others(collector):
    cluster = collector.cluster
    for uuid in ("r1.0.1", "r1.0.2.7", "r1.0.3.w.0.1", "r2.0.1", "other"):
        collector.take([event("received", uuid)])
    assert [task.uuid for task in cluster.of_run("r1")] == ["r1.0.1", "r1.0.2.7", "r1.0.3.w.0.1"]
    assert [task.uuid for task in cluster.of_run("r1.0.3.w")] == ["r1.0.3.w.0.1"]
    for number in range(collector.options.max_tasks):
        collector.take([event("received", f"t{number}")])
    assert (cluster.of_run("r1"), cluster.by_run) == ([], {})


def test_a_queue_that_no_worker_consumes_is_shown_once_an_event_names_it(collector):
    collector.take([event("sent", name="t.add", queue="unserved")])
    collector._look_at_queues()
    found = {one["name"]: one for one in collector.overview()["queues"]}
    assert (found["unserved"]["waiting"], found["unserved"]["consumers"]) == (0, [])


def test_a_queue_that_no_worker_consumes_is_found_by_its_messages(collector):
    collector.app.send_task("t.add", queue="unnamed")
    collector._look_at_queues()
    assert [one["waiting"] for one in collector.overview()["queues"] if one["name"] == "unnamed"] == [1]


def test_percentiles_are_a_tenth_exact():
    times = [number / 1_000 for number in range(1, 1_001)]
    buckets = Counter(map(bucket_of, times))
    for share in (0.5, 0.95, 0.99):
        assert percentile(buckets, share) == pytest.approx(share, rel=0.1)
    assert percentile(Counter(), 0.5) is None


def test_the_last_hour_has_a_value_or_none_for_each_step():
    series = Series()
    series.count(Counter(received=10, succeeded=5), [0.1] * 5, [0.2])
    series.sample({"waiting": 3.0, **{f"queue:q{number}": 1.0 for number in range(100)}})
    columns = series.columns()
    assert {len(column) for column in columns.values()} == {SLOTS - 1}
    assert sum(name.startswith("queue:") for name in columns) == 64
    assert series.rates(10)["received"] == 1.0
    (slot,) = series._slots
    assert Slot.of(slot.number, json.loads(json.dumps(slot.as_dict()))).as_dict() == json.loads(json.dumps(slot.as_dict())) | {
        "runtimes": sorted(slot.runtimes.items()), "waits": sorted(slot.waits.items()),
    }  # fmt: skip
