"""The sentences that lead a person on call to the cause."""

from types import SimpleNamespace

from canvas import Canvas, Workflow
from canvas.beat.schedule import EntryInfo
from canvas.dashboard.collecting.memory import MemoryGrowth
from canvas.dashboard.collecting.problems import (
    Problem,
    of_memory,
    of_queues,
    of_refusals,
    of_runs,
    of_schedule,
    of_slow_workers,
    of_tasks,
    of_workers,
)
from canvas.dashboard.collecting.queues import QueueState
from canvas.dashboard.collecting.stopped_runs import StoppedRun, StoppedRuns
from canvas.dashboard.collecting.workers import Answers
from canvas.remote.cluster_entries import Task, Worker

NOW = 1_000_000.0


def worker(name, *heartbeats):
    found = Worker(name, freq=1e9 if heartbeats and heartbeats[-1] > NOW - 60 else 1)
    found.heartbeats = list(heartbeats)
    return found


def queue(name, waiting=0, dead=0, oldest=None, consumers=()):
    return QueueState(name, waiting, dead, 0.0, None, None, oldest, name == "late", list(consumers))


def test_workers_that_are_lost_or_silent_are_named_and_those_that_left_are_not():
    workers = [worker("lost@h", NOW - 300), worker("silent@h", NOW), worker("good@h", NOW), worker("left@h")]
    found = of_workers(workers, {"silent@h": NOW - 90, "good@h": NOW - 5, "left@h": NOW - 900}, NOW)
    assert [(one.text, one.page) for one in found] == [
        ("Worker lost@h has sent no heartbeat for 5 min", ("workers", "lost@h")),
        ("Worker silent@h sends heartbeats, but has answered no question for 2 min", ("workers", "silent@h")),
    ]


def test_servers_that_store_nothing_are_named_once():
    full, alarm = "Redis at h:6379: OOM command not allowed", "RabbitMQ at h:5672, vhost '/' takes no messages: memory"
    assert [one.text for one in of_refusals({"messages": full, "results": full})] == [
        f"No messages and no results can be stored: {full}"
    ]
    assert [one.text for one in of_refusals({"messages": alarm, "results": full})] == [
        f"No messages can be stored: {alarm}", f"No results can be stored: {full}",
    ]  # fmt: skip


def test_queues_without_consumers_come_before_slow_ones_and_dead_letters():
    queues = [
        queue("busy", waiting=9, oldest=3.0, consumers=["w@h"]), queue("a", dead=1),
        queue("slow", waiting=1, dead=1_200, oldest=7_300.0, consumers=["w@h"]), queue("unserved", waiting=3_000),
        queue("idle"), queue("late", waiting=1, oldest=130.0, consumers=["w@h"]),
    ]  # fmt: skip
    assert [one.text for one in of_queues(queues)] == [
        "In slow 1 message waits, the next one for 2 h", "No worker consumes unserved, where 3,000 messages wait",
        "In late 1 message waits, the next one for at least 2 min",
        "1 dead letter in a", "1,200 dead letters in slow",
    ]  # fmt: skip


def test_the_tasks_that_fail_most_often_are_named_with_the_list_of_their_failures():
    tasks = [Task(str(at), name=name, state=state, timestamp=NOW - age) for at, (name, state, age) in enumerate([
        ("a", "FAILURE", 1), ("b", "FAILURE", 1), ("b", "FAILURE", 200), ("b", "SUCCESS", 1), ("c", "FAILURE", 900),
        ("d", "REVOKED", 5), ("d", "REVOKED", 900), (None, "REVOKED", 1), (None, "REVOKED", 1),
    ])]  # fmt: skip
    found = of_tasks(tasks, NOW)
    assert [one.text for one in found] == [
        "b has failed 2 times in the last 5 min", "a has failed once in the last 5 min",
        "A task of unknown name was revoked or expired 2 times in the last 5 min",
        "d was revoked or expired once in the last 5 min",
    ]  # fmt: skip
    assert (found[0].page, found[0].query) == (("tasks",), {"state": "FAILURE", "name": "b"})
    assert found[2].query == {"state": "REVOKED"}


def ran(name, worker, *runtimes, age=1):
    return [Task(f"{worker}{at}", name=name, state="SUCCESS", timestamp=NOW - age, runtime=each, worker=Worker(worker))
            for at, each in enumerate(runtimes)]  # fmt: skip


def test_a_worker_that_is_slower_than_others_is_named():
    tasks = [
        *ran("a", "one@h", *[0.2] * 5), *ran("a", "two@h", *[0.3] * 5), *ran("a", "slow@h", *[2.0] * 4, 0.1),
        *ran("b", "one@h", *[0.2] * 5), *ran("b", "few@h", 9.0), *ran("b", "long@h", *[9.0] * 5, age=900),
        *ran("short", "one@h", *[0.001] * 5), *ran("short", "two@h", *[0.05] * 5), *ran("alone", "one@h", *[9.0] * 5),
        *ran("two", "one@h", *[0.2] * 5), *ran("two", "slow@h", *[0.5] * 5),
    ]  # fmt: skip
    assert of_slow_workers(tasks, NOW) == [
        Problem("Worker slow@h takes 7 times as long for a as others", ("workers", "slow@h"), {})
    ]


def test_a_process_that_grows_is_named():
    growth, mib = MemoryGrowth(), 1024
    for second, size in ((0, 150), (60, 100), (120, 120), (3_060, 420)):
        growth.take("leaks@h", {"memory": {"1": 900 * mib, "2": size * mib}}, NOW + second)
        growth.take("steady@h", {"memory": {"1": 400 * mib, str(second): 400 * mib}}, NOW + second)
        growth.take("small@h", {"memory": {"1": size // 3 * mib}}, NOW + second)
        growth.take("theirs@h", {"rusage": {}}, NOW + second)
    assert of_memory(growth.grown()) == [
        Problem("A process of worker leaks@h takes 420 MiB, and 100 MiB 50 min ago", ("workers", "leaks@h"), {})
    ]
    for minute in range(60):
        growth.take("leaks@h", {"memory": {"2": 400 * mib}}, NOW + 3_120 + 60 * minute)
    assert "leaks@h" not in growth.grown(), "it was as large an hour ago"
    growth.forget("leaks@h")


def test_runs_that_celery_workers_have_stopped_are_named():
    stopped = [StoppedRun("r-1", "nightly", "theirs@h"), StoppedRun("r-2", "weekly", "theirs@h")]
    assert of_runs([]) == []
    assert of_runs(stopped[:1])[0].text == "Run nightly has stopped: the Celery worker theirs@h ran tasks of it"
    assert of_runs(stopped) == [
        Problem(
            "Run nightly and 1 more have stopped: the Celery worker theirs@h ran tasks of it", ("workflows", "r-1"), {}
        )
    ]


def test_a_stopped_run_is_found_among_many_that_are_over():
    app = Canvas("stopped", broker="memory://stopped-runs", backend="memory://stopped-runs", set_as_current=False)
    flow = Workflow("nightly", app)
    flow.add(app.task(name="stopped.first")(lambda: 1).s(), name="first")
    run = flow.apply_async()
    theirs = Worker("theirs@h", sw_ident="py-celery")
    over = [f"over{number}.0.1" for number in range(50)]
    tasks = [Task(uuid, worker=theirs, state="SUCCESS") for uuid in (*over[:25], run["first"].id, *over[25:])]
    stopped = StoppedRuns(app, Answers(app, 1.0))
    stopped.take([*tasks, Task(f"{run.id}.0.1.w.2.0", worker=Worker("inner@h"), state="FAILURE")])
    assert stopped.workers_of_celery(run.id, "0") == ["theirs@h"]
    assert stopped.workers_of_celery(f"{run.id}.0.1.w", "2") == ["inner@h"]
    assert stopped.look() == []  # one look reads a part of them, the latest first
    assert [stopped.look(), stopped.look()] == [[StoppedRun(run.id, "nightly", "theirs@h")]] * 2
    run.cancel()
    assert stopped.look() == []
    app.close()


def test_entries_that_no_beat_has_sent_are_named():
    dues = {"late": NOW - 7_200, "later": NOW - 90, "soon": NOW + 5, "paused": None, "just": NOW - 2}
    entries = [EntryInfo(name, "t", "", "settings", SimpleNamespace(), due) for name, due in dues.items()]
    (found,) = of_schedule(entries, NOW)
    assert found.text == "Entry late of the schedule (and 1 more) was due 2 h ago: no beat runs, or it is stuck"
    assert of_schedule(entries[2:], NOW) == []
