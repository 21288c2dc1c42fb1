"""Task and worker events: what monitors see of our worker is what they see of Celery's."""

import json
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from canvas.testing.contract import eventually
from tests.support.apps import make
from tests.support.flower import Flower
from tests.support.processes import ROOT, WorkerProcess

GOLDEN = Path(__file__).parent.parent / "golden" / "events"


class Listener:
    """Everything that Celery's own receiver hears."""

    def __init__(self, app, bench):
        self.heard = []
        self._app = app
        self._receivers = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        known = bench.subscriptions()
        self._thread.start()
        eventually(lambda: bench.subscriptions() > known)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for receiver in self._receivers:
            receiver.should_stop = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _listen(self):
        with self._app.connection() as connection:
            receiver = self._app.events.Receiver(connection, handlers={"*": self.heard.append})
            self._receivers.append(receiver)
            receiver.capture(limit=None, timeout=None, wakeup=False)

    def of(self, task_id):
        return [event for event in list(self.heard) if event.get("uuid") == task_id]

    def has_heard(self, kind, task_id):
        return kind in self.kinds(task_id)

    def kinds(self, task_id):
        return [event["type"] for event in self.of(task_id) if event["type"] != "task-sent"]


CALLS = {
    "success": ("t.add", (1, 2), {}, "task-succeeded"),
    "failure": ("t.fail", (), {}, "task-failed"),
    "retry": ("t.flaky", (1,), {}, "task-succeeded"),
    "rejection": ("t.rejected", (), {}, "task-rejected"),
    "expiry": ("t.add", (1, 1), {"expires": "2001-01-01T00:00:00+00:00"}, "task-revoked"),
    "unknown": ("t.nobody", (), {}, "task-failed"),
}
"""Task, arguments, options, and the last event of each."""


@pytest.fixture(scope="module")
def told(bench):
    """What each kind of worker told of the same calls: ``{library: {case: events}}``."""
    found = {}
    for library in ("celery", "canvas"):
        broker, backend, ledger = bench.urls()
        bench.empty()
        asking = make("celery", broker, backend, ledger=ledger, task_send_sent_event=True)
        with Listener(asking, bench) as listener:
            with WorkerProcess(
                library, broker, backend, "-P", "solo", "-E", "-n", "one@here", ledger=ledger, acks_late="1"
            ):
                ids = {name: asking.send_task(task, args, **o).id for name, (task, args, o, _) in CALLS.items()}
                for case, task_id in ids.items():
                    eventually(partial(listener.has_heard, CALLS[case][3], task_id))
            if library == "canvas":
                eventually(lambda: [e for e in listener.heard if e["type"] == "worker-offline"])
        # Clients tell what they have sent when they have: before or after a worker says something of it.
        found[library] = {
            case: [event for event in listener.of(task_id) if event["type"] != "task-sent"]
            for case, task_id in ids.items()
        }
        found[library]["worker"] = [event for event in listener.heard if event["type"].startswith("worker-")]
        asking.close()
    return found


@pytest.mark.parametrize("case", CALLS)
def test_the_same_events_as_celerys(told, case):
    kinds = {library: [event["type"] for event in told[library][case]] for library in told}
    assert kinds["canvas"] == kinds["celery"]
    for ours, theirs in zip(told["canvas"][case], told["celery"][case], strict=True):
        assert set(ours) == set(theirs), ours["type"]
        if ours["type"] in ("task-received", "task-succeeded", "task-revoked"):
            same = ("name", "args", "kwargs", "retries", "result", "terminated", "signum", "expired")
            assert [ours.get(name) for name in same] == [theirs.get(name) for name in same]
        if "exception" in ours and case != "rejection":
            assert ours["exception"].split("(")[0] == theirs["exception"].split("(")[0]


def test_worker_events_have_celerys_fields(told):
    heartbeat = json.loads((GOLDEN / "worker-heartbeat.json").read_text())["samples"][0]["event"]
    kinds = [event["type"] for event in told["canvas"]["worker"]]
    assert kinds[0] == "worker-online"
    assert kinds[-1] == "worker-offline"
    for event in told["canvas"]["worker"]:
        assert set(heartbeat) == set(event) - {"local_received"}
        assert event["hostname"] == "one@here"


def test_clients_tell_what_they_send(bench):
    broker, backend, ledger = bench.urls()
    sent = {}
    with Listener(make("celery", broker, backend, ledger=ledger), bench) as listener:
        for library in ("celery", "canvas"):
            app = make(library, broker, backend, ledger=ledger, task_send_sent_event=True)
            task_id = app.tasks["t.add"].apply_async((1, 2), countdown=60, queue="nowhere").id
            eventually(lambda task_id=task_id: listener.of(task_id))
            (sent[library],) = listener.of(task_id)
            app.close()
    assert set(sent["canvas"]) == set(sent["celery"])
    same = ("name", "args", "kwargs", "retries", "queue", "exchange", "routing_key", "type")
    assert [sent["canvas"][name] for name in same] == [sent["celery"][name] for name in same]


@pytest.mark.parametrize(
    "pool",
    [
        ("prefork", "-c", "2"),
        pytest.param(("threads", "-c", "2"), marks=pytest.mark.slow),
        pytest.param(("asyncio", "-c", "2"), marks=pytest.mark.slow),
    ],
)
def test_events_are_switched_from_afar_in_every_pool(bench, pool):
    broker, backend, ledger = bench.urls()
    bench.empty()
    app = make("canvas", broker, backend, ledger=ledger)
    reply = {"reply": True, "timeout": 5, "destination": ["one@here"]}
    with (
        Listener(make("celery", broker, backend, ledger=ledger), bench) as listener,
        WorkerProcess("canvas", broker, backend, "-P", *pool, "-n", "one@here", ledger=ledger),
    ):
        silent = app.tasks["t.add"].delay(1, 1)
        assert silent.get(timeout=20) == 2
        assert app.control.enable_events(**reply) == [{"one@here": {"ok": "task events enabled"}}]
        assert app.control.enable_events(**reply) == [{"one@here": {"ok": "task events already enabled"}}]
        told = app.tasks["t.add"].delay(1, 1)
        eventually(lambda: "task-succeeded" in listener.kinds(told.id))
        assert listener.kinds(told.id) == ["task-received", "task-started", "task-succeeded"]
        assert listener.kinds(silent.id) == []
        beats = [event for event in listener.heard if event["type"] == "worker-heartbeat"]
        eventually(lambda: any(e["processed"] == 2 for e in listener.heard if e["type"] == "worker-heartbeat"))
        assert app.control.disable_events(**reply) == [{"one@here": {"ok": "task events disabled"}}]
        assert all(event["active"] in (0, 1) for event in beats)
    app.close()


def test_the_events_command(bench):
    broker, backend, ledger = bench.urls()
    bench.empty()
    command = [sys.executable, "-m", "canvas", "-b", broker, "events", "--json", "--type", "task-succeeded", "-n", "1"]
    with WorkerProcess("canvas", broker, backend, "-P", "solo", "-E", ledger=ledger):
        app = make("canvas", broker, backend, ledger=ledger)
        known = bench.subscriptions()
        watching = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        eventually(lambda: bench.subscriptions() > known)
        result = app.tasks["t.add"].delay(2, 2)
        out, _ = watching.communicate(timeout=30)
        assert json.loads(out)["uuid"] == result.id
        app.close()


@pytest.mark.timeout(180)
def test_flower_shows_and_steers_our_worker(bench):
    broker, backend, ledger = bench.urls()
    bench.empty()
    app = make("canvas", broker, backend, ledger=ledger)
    arguments = ("-P", "prefork", "-c", "2", "-E", "-n", "one@here")
    with WorkerProcess("canvas", broker, backend, *arguments, ledger=ledger), Flower(broker) as flower:
        eventually(lambda: "one@here" in flower.ask("/api/workers?refresh=1"), 60)
        worker = flower.ask("/api/workers?refresh=1")["one@here"]
        assert worker["stats"]["pool"]["max-concurrency"] == 2
        assert "t.add" in worker["registered"]
        assert [queue["name"] for queue in worker["active_queues"]] == ["celery"]

        done = app.tasks["t.add"].delay(20, 22)
        assert done.get(timeout=20) == 42
        eventually(lambda: flower.ask("/api/tasks").get(done.id, {}).get("state") == "SUCCESS")
        info = flower.ask(f"/api/task/info/{done.id}")
        assert (info["name"], info["args"], info["result"], info["worker"]) == ("t.add", "(20, 22)", "42", "one@here")

        key = bench.new_key()
        long = app.tasks["t.slow_then"].delay(60, key)
        bench.ledger(key, 1)
        flower.ask(f"/api/task/revoke/{long.id}?terminate=1", b"")
        assert bench.wait_state(app, long.id) == "REVOKED"
        eventually(lambda: flower.ask("/api/tasks").get(long.id, {}).get("state") == "REVOKED")

        flower.ask("/api/worker/pool/grow/one@here?n=1", b"")
        asked = app.control.inspect(destination=["one@here"], timeout=20)
        eventually(lambda: len(asked.stats()["one@here"]["pool"]["processes"]) == 3)
    app.close()
