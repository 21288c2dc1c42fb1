"""The API with a fleet of both kinds of worker behind it."""

import re

import pytest

from canvas import Workflow
from tests.support import dashboards
from tests.support.apps import make
from tests.support.dashboards import eventually
from tests.support.process_signals import resume, suspend
from tests.worker.commands import invoked


@pytest.fixture(scope="module")
def fleet(bench):
    with dashboards.fleet(bench, result_extended=True) as page:
        yield page


def test_workers_of_both_libraries(fleet):
    fleet.app.send_task("t.add", (1, 2), queue="other").get(timeout=20)

    def both():
        found = {one["name"]: one for one in fleet.get("/workers")["workers"]}
        return (
            found
            if {"ours@h", "theirs@h"} <= {n for n, one in found.items() if one["pool"] and one["queues"]}
            else None
        )

    found = eventually(both)
    assert (found["ours@h"]["library"], found["ours@h"]["concurrency"]) == ("canvas", 1)
    assert (found["theirs@h"]["library"], found["theirs@h"]["queues"]) == ("celery", ["other"])
    # A worker that is busy gives no answer in time, and its last one is shown.
    eventually(lambda: "t.add" in fleet.get("/workers/theirs@h")["registered"])
    assert fleet.client.get("/api/v1/workers/nobody@h").status_code == 404
    eventually(lambda: "t.add" in fleet.get("/workers/ours@h")["registered"])
    suspend(fleet.ours.process.pid)
    try:
        stopped = fleet.get("/workers/ours@h")
    finally:
        resume(fleet.ours.process.pid)
    assert (stopped["silent"], "t.add" in stopped["registered"]) == (True, True)
    eventually(lambda: not fleet.get("/workers/ours@h")["silent"])


@pytest.mark.parametrize("name", ["ours@h", "theirs@h"])
def test_workers_are_steered(fleet, name):
    def consumes():
        return "more" in [one["name"] for one in fleet.get(f"/workers/{name}")["active_queues"]]

    def shown():
        return fleet.get(f"/workers/{name}"), fleet.theirs.log[-20:]

    assert fleet.post(f"/workers/{name}/add-consumer", queue="more")["done"]
    eventually(consumes, shown=shown)
    assert fleet.post(f"/workers/{name}/cancel-consumer", queue="more")["done"]
    eventually(lambda: not consumes(), shown=shown)
    assert fleet.post(f"/workers/{name}/rate-limit", task="t.add", rate="100/s")["done"]
    assert fleet.post(f"/workers/{name}/time-limit", task="t.add", soft=30, hard=60)["done"]
    limited = fleet.app.control.inspect([name], timeout=10, limit=1).registered("rate_limit")[name]
    assert "t.add [rate_limit=100/s]" in limited
    assert "expected a whole number" in fleet.post(f"/workers/{name}/grow", 400, n="x")["error"]
    assert "there is no action" in fleet.post(f"/workers/{name}/dance", 404)["error"]


def test_a_run_that_fails_is_found_looked_into_resumed_and_succeeds(fleet):
    flow, key = Workflow("nightly", fleet.app), fleet.bench.new_key()
    rows = flow.add(fleet.app.signature("t.ident", ([1, 2, 3],)), name="rows")
    each = flow.map(fleet.app.signature("t.ident"), rows, name="each")
    gate = flow.add(fleet.app.signature("t.needs_gate", (2, key, key)), name="gate", after=each)
    flow.add(fleet.app.signature("t.ident", (gate,)), name="last")
    run = flow.apply_async(labels={"customer": "acme"})
    eventually(lambda: run.status().over)
    for query in ({"name": "nightly"}, {"text": "ACME"}, {"text": run.id[:8]}, {"state": "FAILURE"}):
        assert run.id in [one["id"] for one in fleet.get("/workflows", **query)["runs"]]
    assert fleet.get("/workflows", text="nothing like it")["runs"] == []
    found = fleet.get(f"/workflows/{run.id}")
    nodes = {node["name"]: node for node in found["nodes"]}
    assert nodes["each"]["items"] == {"size": 3, "done": 3, "failed": 0, "running": 0}
    assert nodes["rows"]["ended"] <= nodes["each"]["started"] < nodes["each"]["ended"], "a map began with its input"
    assert (nodes["last"]["started"], nodes["last"]["seconds"]) == (None, None)
    assert (nodes["gate"]["state"], nodes["last"]["state"]) == ("FAILURE", "UPSTREAM_FAILED")
    assert (nodes["last"]["cause"], nodes["last"]["error"]) == ("gate", None)
    assert found["run"]["can"] == {
        "cancel": False, "signal": False, "resume": True, "force": False, "again": True, "retry": True,
    }  # fmt: skip
    assert "Traceback" in fleet.get(f"/workflows/{run.id}/nodes/gate")["traceback"]
    composed = {name: fleet.get(f"/workflows/{run.id}/nodes/{name}")["composed"] for name in ("rows", "each")}
    assert composed == {"rows": "[[[1, 2, 3]], {}]", "each": None}
    assert [box["label"] for box in fleet.get(f"/workflows/{run.id}/picture")["boxes"]] == [
        "rows",
        "each ×n",
        "gate",
        "last",
    ]
    fleet.bench.open(key)
    assert fleet.post(f"/workflows/{run.id}/resume")["done"]
    assert run.get(timeout=20) is not None
    assert eventually(lambda: fleet.get(f"/workflows/{run.id}")["run"]["state"] == "SUCCESS")
    again = fleet.post(f"/workflows/{run.id}/retry")["run"]
    assert fleet.app.workflow(again).get(timeout=20) is not None
    assert fleet.client.get("/api/v1/workflows/nothing").status_code == 404


def test_a_run_that_a_worker_of_celery_has_stopped_names_it(fleet):
    flow = Workflow("mixed", fleet.app)
    first = flow.add(fleet.app.signature("t.ident", (1,), queue="other"), name="first")
    flow.add(fleet.app.signature("t.ident", (first,)), name="second")
    run = flow.apply_async()
    about = eventually(lambda: [one for one in [fleet.get(f"/workflows/{run.id}")["run"]] if one["stopped_by"]])[0]
    assert (about["stopped_by"], about["can"]["force"], about["state"]) == (["theirs@h"], True, "STARTED")
    page = ["workflows", run.id]

    def named():
        return [one["text"] for one in fleet.get("/overview")["problems"] if one["page"] == page]

    assert eventually(named, 20) == ["Run mixed has stopped: the Celery worker theirs@h ran tasks of it"]
    assert run.cancel()
    assert eventually(lambda: not named(), 20)


def test_a_node_that_runs_is_shown_as_running(fleet):
    key = fleet.bench.new_key()
    flow = Workflow("waits", fleet.app)
    flow.add(fleet.app.signature("t.until_open", (key,)), name="open")
    run = flow.apply_async()
    fleet.bench.ledger(key, 1)
    assert eventually(lambda: fleet.get(f"/workflows/{run.id}")["nodes"][0]["state"] == "STARTED")
    shown = invoked(fleet.app, "workflow", "show", run.id).stdout
    assert "open STARTED" in shown
    screen = eventually(
        lambda: [one for one in [invoked(fleet.app, "top", "--once", "1.8").stdout] if "celery" in one]
    )[0]
    assert "ours@h" in screen
    assert re.search(r"│ celery .* 1 │", screen), "queues are shown once their consumers are known"
    fleet.bench.open(key)
    assert run.get(timeout=20) == key


def test_tasks_are_found_and_sent_again(fleet):
    done = fleet.app.send_task("t.add", (20, 3))
    assert done.get(timeout=20) == 23
    eventually(lambda: done.id in [one["id"] for one in fleet.get("/tasks", name="t.add", state="SUCCESS")["tasks"]])
    assert fleet.get("/tasks", text="(20, 3)", worker="ours@h")["total"] == 1
    assert fleet.get("/tasks", text="no such text")["tasks"] == []
    found = fleet.get(f"/tasks/{done.id}")
    assert (found["record"]["result"], found["can"]["send-again"]) == ("23", True)
    again = fleet.post(f"/tasks/{done.id}/send-again")["task"]
    assert fleet.app.AsyncResult(again).get(timeout=20) == 23
    assert "has failed" in fleet.post(f"/tasks/{done.id}/retry", 409)["error"]
    failed = fleet.app.send_task("t.fail", (1,))
    failed.get(timeout=20, propagate=False)
    eventually(lambda: fleet.get(f"/tasks/{failed.id}")["can"]["retry"])
    assert fleet.post(f"/tasks/{failed.id}/retry")["task"] == failed.id
    assert fleet.client.get("/api/v1/tasks/nothing").status_code == 404


def test_children_are_below_their_parents(fleet):
    sent = fleet.app.send_task("t.sends_one", (7,))
    sent.get(timeout=20)
    rows = eventually(lambda: [r for r in [fleet.get(f"/tasks/{sent.id}")["tree"]] if len(r) == 2])[0]
    assert [(row["name"], row["depth"]) for row in rows] == [("t.sends_one", 0), ("t.ident", 1)]


@pytest.mark.parametrize("library", ["canvas", "celery"])
def test_chains_groups_and_chords_of_both_libraries(fleet, library):
    broker, backend, _ = fleet.bench.urls()
    client = make(library, broker, backend)
    add, total = client.tasks["t.add"], client.tasks["t.tsum"]
    signature = client.signature
    pair = [add.s(1, 2), add.s(3, 4)]
    kinds = {"chain": add.s(1, 2) | add.s(3) | add.s(4), "chord": signature({
        "task": "celery.chord", "args": [], "options": {}, "subtask_type": "chord",
        "kwargs": {"header": {"task": "celery.group", "args": [], "kwargs": {"tasks": [dict(one) for one in pair]},
                              "options": {}, "subtask_type": "group", "immutable": False},
                   "body": dict(total.s()), "kwargs": {}}, "immutable": False})}  # fmt: skip
    for kind, composite in kinds.items():
        sent = composite.apply_async()
        assert sent.get(timeout=30)

        def found(wanted=sent.id):
            listed = [one["id"] for one in fleet.get("/composites")["composites"]]
            trees = [fleet.get(f"/tasks/{one}")["tree"] for one in listed[:3]]
            return [tree for tree in trees if wanted in [row["id"] for row in tree] and len(tree) == 3]

        (tree,) = eventually(found)
        summary = {one["id"]: one for one in fleet.get("/composites")["composites"]}
        (about,) = [one for one in summary.values() if one["id"] in [row["id"] for row in tree]]
        assert (about["kind"], about["tasks"], about["done"], about["state"]) == (kind, 3, 3, "SUCCESS")
    if library == "canvas":
        client.close()


def test_a_waiting_task_is_revoked(fleet):
    waits = fleet.app.send_task("t.add", (1, 1), queue="without-consumers")
    assert fleet.post(f"/tasks/{waits.id}/revoke")["done"]
    assert any(waits.id in entry for entry in fleet.app.driver.coordination.revoked()[1])


def test_a_task_that_runs_goes_on_when_it_is_revoked(fleet):
    key = fleet.bench.new_key()
    runs = fleet.app.send_task("t.until_open", (key,))
    eventually(lambda: runs.id in [one["id"] for one in fleet.get("/tasks", state="STARTED")["tasks"]])
    assert "runs already and goes on" in fleet.post(f"/tasks/{runs.id}/revoke")["message"]
    fleet.bench.open(key)
    assert fleet.bench.ledger(key, 2) == ["start", "end"]


def test_dead_letters_are_put_back_or_deleted(fleet):
    for number in range(3):
        fleet.app.send_task(f"t.unheard_of_{number}", ("<b>x</b>",))
    letters = eventually(lambda: [one for one in [fleet.get("/queues/celery/dead-letters")] if one["total"] == 3])[0]
    first, second, _ = letters["letters"]
    assert first["args"] == "('<b>x</b>',)"
    assert "t.unheard_of" in first["task"]
    assert fleet.post("/queues/celery/delete", keys=[first["key"]])["count"] == 1
    assert fleet.post("/queues/celery/requeue", keys=[second["key"]])["count"] == 1
    eventually(lambda: fleet.get("/queues/celery/dead-letters")["letters"][0]["key"] != second["key"])
    assert "expected the keys" in fleet.post("/queues/celery/delete", 400)["error"]
    eventually(lambda: fleet.get("/queues/celery/dead-letters")["total"] == 2)
    assert fleet.post("/queues/celery/delete", keys="all")["count"] == 2


def test_queues_show_how_long_their_next_message_waits(fleet):
    fleet.post("/workers/ours@h/add-consumer", queue="slow")
    eventually(lambda: "slow" in [one["name"] for one in fleet.get("/queues")["queues"]])
    key = fleet.bench.new_key()
    runs = [fleet.app.send_task("t.until_open", (key,), queue="slow") for _ in range(200)]
    waiting = eventually(
        lambda: [q for q in fleet.get("/queues")["queues"] if q["name"] == "slow" and (q["oldest"] or 0) > 1]
    )[0]
    assert (waiting["consumers"], waiting["oldest_at_least"]) == (["ours@h"], not fleet.app.conf.task_send_sent_event)
    fleet.bench.open(key)
    runs[-1].get(timeout=30)
    fleet.post("/workers/ours@h/cancel-consumer", queue="slow")


def test_the_stream_gives_the_figures_once_a_second(fleet):
    with fleet.client.stream("GET", "/api/v1/stream") as answer:
        lines = answer.iter_lines()
        found = [next(line for line in lines if line.startswith("data: ")) for _ in range(2)]
    assert all('"workers"' in line for line in found)


def test_the_description_names_every_operation(fleet):
    described = fleet.client.get("/api/openapi.json").json()
    assert described["paths"]["/api/v1/workflows/{run}/{action}"]["post"]["responses"]["403"]
    assert len(described["paths"]) >= 20


def test_an_entry_that_no_beat_has_seen_is_paused_and_run_now(fleet):
    fleet.app.conf.beat_schedule = {"nightly": {"task": "t.add", "schedule": 3600.0, "args": (1, 2)}}

    def entry():
        return {one["name"]: one for one in fleet.get("/schedules")["entries"]}["nightly"]

    assert not entry()["paused"]
    (sent,) = fleet.post("/schedules/nightly/run")["sent"]["ids"]
    assert fleet.app.AsyncResult(sent).get(timeout=20) == 3
    assert fleet.post("/schedules/nightly/pause")["done"]
    assert entry()["paused"]
    assert fleet.post("/schedules/nightly/resume")["done"]
    assert (entry()["paused"], entry()["due"] is not None) == (False, True)
    assert "there is no schedule entry" in fleet.post("/schedules/unknown/pause", 409)["error"]
    assert fleet.post("/schedules/nightly/dance", 404)
