"""``app.events.State`` beside Celery's: both are given the same events."""

import time

import pytest
from celery.events import state as theirs

from canvas.remote import cluster_entries, cluster_state

NOW = time.time()


def event(kind, **fields):
    return {"type": kind, "timestamp": NOW, "local_received": NOW, "clock": 1, **fields}


TASK = {"uuid": "1", "hostname": "w@h", "pid": 7}
RECEIVED = event("task-received", **TASK, name="add", args="(1, 2)", kwargs="{}", retries=0, eta=None, expires=None,
                 root_id="1", parent_id=None)  # fmt: skip
STREAMS = {
    "a task that succeeds": [
        event("task-sent", uuid="1", hostname="client@h", name="add", args="(1, 2)", kwargs="{}", queue="celery", exchange="",
              routing_key="celery", root_id="1", parent_id=None, retries=0, eta=None, expires=None, pid=1),
        RECEIVED, event("task-started", **TASK), event("task-succeeded", **TASK, result="3", runtime=0.1),
    ],
    "events out of order": [event("task-succeeded", **TASK, result="3", runtime=0.1), RECEIVED, event("task-started", **TASK)],
    "a failure after a retry": [
        RECEIVED, event("task-retried", **TASK, exception="E", traceback="T"), event("task-started", **TASK),
        event("task-failed", **TASK, exception="E", traceback="T"),
    ],
    "a state of its own": [RECEIVED, event("task-progress", **TASK, percent=5)],
    "workers come and go": [
        event("worker-online", hostname="w@h", pid=7, freq=2, sw_ident="x", sw_ver="1", sw_sys="Linux", active=0, processed=0),
        event("worker-heartbeat", hostname="w@h", pid=7, freq=2, active=1, processed=2, loadavg=[1, 2, 3]),
        event("worker-online", hostname="v@h", pid=8, freq=2), event("worker-offline", hostname="v@h", pid=8),
    ],
}  # fmt: skip


def described(module, events, left):
    joined = []
    state = module.State(on_node_join=lambda worker: joined.append(worker.hostname), on_node_leave=left.append)
    for one in events:
        state.event(dict(one))
    fields = [name for name in theirs.Task._fields if name not in ("root", "parent", "worker", "children", "clock")]
    return {
        "tasks": {uuid: {name: getattr(task, name, None) for name in fields} for uuid, task in state.tasks.items()},
        "workers": {
            name: (worker.alive, worker.status_string, worker.id, worker.active, worker.processed, worker.freq)
            for name, worker in state.workers.items()
        },
        "of": {uuid: task.worker.hostname for uuid, task in state.tasks.items() if task.worker},
        "origin": {uuid: task.origin for uuid, task in state.tasks.items()},
        "info": {uuid: task.info() for uuid, task in state.tasks.items()},
        "types": list(state.task_types()),
        "by type": {name: [uuid for uuid, _ in state.tasks_by_type(name)] for name in state.task_types()},
        "by worker": [uuid for uuid, _ in state.tasks_by_worker("w@h")],
        "by time": [uuid for uuid, _ in state.tasks_by_time()],
        "alive": sorted(worker.hostname for worker in state.alive_workers()),
        "counts": (state.event_count, state.task_count), "joined": joined,
    }  # fmt: skip


class Ours:
    State = cluster_state.State


@pytest.mark.parametrize("stream", STREAMS)
def test_the_same_events_give_the_same_state(stream):
    left = [[], []]
    expected = described(theirs, STREAMS[stream], left[0])
    assert described(Ours, STREAMS[stream], left[1]) == expected
    assert [worker.hostname for worker in left[1]] == [worker.hostname for worker in left[0]]


def test_the_oldest_tasks_are_forgotten():
    state = cluster_state.State(max_tasks_in_memory=2)
    for number in range(4):
        state.event({**RECEIVED, "uuid": str(number)})
    assert list(state.tasks) == ["2", "3"]
    assert {task.uuid for task in state.tasks_by_type["add"]} == {"2", "3"}
    state.event(event("task-succeeded", uuid="3", hostname="w@h", result="1", runtime=1))
    state.clear_tasks()
    assert list(state.tasks) == ["2"]


def test_when_a_heartbeat_expires():
    assert cluster_entries.heartbeat_expires(100, 2, 200) == theirs.heartbeat_expires(100, 2, 200)
