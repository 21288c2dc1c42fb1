"""``app.events.State`` beside Celery's: both are given the same events."""

import pickle
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


def described(module, events, left=None):
    """What a state shows after ``events``; ``left``: takes the workers that leave."""
    joined, leave = [], None if left is None else left.append
    state = module.State(on_node_join=lambda worker: joined.append(worker.hostname), on_node_leave=leave)
    for one in events:
        state.event(dict(one))
    return {**shown(state), "joined": joined}


def shown(state):
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
        "types": (list(state.task_types()), sorted(state._seen_types)),
        "by type": {name: [uuid for uuid, _ in state.tasks_by_type(name)] for name in state.task_types()},
        "by worker": [uuid for uuid, _ in state.tasks_by_worker("w@h")],
        "by time": [uuid for uuid, _ in state.tasks_by_time()],
        "alive": sorted(worker.hostname for worker in state.alive_workers()),
        "counts": (state.event_count, state.task_count),
    }  # fmt: skip


class Ours:
    State = cluster_state.State


@pytest.mark.parametrize("stream", STREAMS)
def test_the_same_events_give_the_same_state(stream):
    left = [[], []]
    expected = described(theirs, STREAMS[stream], left[0])
    assert described(Ours, STREAMS[stream], left[1]) == expected
    assert [worker.hostname for worker in left[1]] == [worker.hostname for worker in left[0]]


def test_without_a_callback_a_worker_that_leaves_stays_listed():
    events = STREAMS["workers come and go"]
    found = described(Ours, [*events, event("worker-offline", hostname="unknown@h", pid=9)])
    assert found == described(theirs, [*events, event("worker-offline", hostname="unknown@h", pid=9)])
    assert list(found["workers"]) == ["w@h", "v@h"]
    assert "v@h" not in found["alive"]
    state = cluster_state.State()
    for one in events:
        state.event(dict(one))
    assert state.workers["v@h"].timestamp == NOW


def test_a_subclass_clears_more():
    class More(cluster_state.State):
        cleared = 0

        def _clear_tasks(self, ready=True):
            super()._clear_tasks(ready)
            self.cleared += 1

    state = More()
    state.clear_tasks()
    state.clear()
    state.freeze_while(list, clear_after=True)
    assert state.cleared == 3


def test_a_smaller_limit_holds_after_an_update():
    state = cluster_state.State(max_tasks_in_memory=4)
    for number in range(4):
        state.event({**RECEIVED, "uuid": str(number)})
    state.tasks.limit = 2
    state.tasks.update()
    assert list(state.tasks) == ["2", "3"]


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


def copied(module, stream):
    state = module.State(max_tasks_in_memory=7)
    for one in [*STREAMS[stream], event("task-received", **{**TASK, "uuid": "2"}, name="sub", parent_id="1")]:
        state.event(dict(one))
    return pickle.loads(pickle.dumps(state))


@pytest.mark.parametrize("stream", STREAMS)
def test_a_copy_by_pickle_is_celerys_copy(stream):
    """A program that keeps its state in a file reads back what Celery's would, and the names of the tasks besides."""
    found, expected = (shown(copied(module, stream)) for module in (cluster_state, theirs))
    kept = ("tasks", "workers", "of", "origin", "info", "alive", "counts")
    assert {name: found[name] for name in kept} == {name: expected[name] for name in kept}
    assert (found["by type"]["sub"], set(found["by worker"])) == (["2"], set(found["tasks"]))


def test_a_copy_takes_events():
    copy = copied(cluster_state, "a task that succeeds")
    copy.event(event("task-received", uuid="3", hostname="w@h", pid=7, name="sub", parent_id="2", root_id="1"))
    assert (copy.tasks["3"].parent.id, copy.tasks["3"].parent.parent.id, copy.max_tasks_in_memory) == ("2", "1", 7)
    assert [[one.id for one in copy.tasks[uuid].children] for uuid in ("1", "2", "3")] == [["2"], ["3"], []]
    assert [uuid for uuid, _ in copy.tasks_by_type("sub")] in (["2", "3"], ["3", "2"])


def test_an_event_is_made_as_celerys():
    from celery.events import Event as real

    from canvas.celery_names.parts.apps import Event

    def now():
        return 5.0

    for args, fields in [(("task-sent",), {"uuid": "1"}), (("x", {"timestamp": 3}), {"a": 1}), (("y", {}), {})]:
        assert Event(*args, __now__=now, **fields) == real(*args, __now__=now, **fields)
