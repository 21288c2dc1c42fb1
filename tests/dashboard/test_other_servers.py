"""The dashboard on a Redis Cluster, and on RabbitMQ with state and results in PostgreSQL."""

import pytest

from canvas import Workflow
from tests.support.apps import make
from tests.support.cluster_bench import ClusterBench
from tests.support.dashboards import eventually, served
from tests.support.postgres import PostgresServer
from tests.support.processes import WorkerProcess
from tests.support.rabbitmq import SharedRabbitMQ
from tests.support.redis_cluster import RedisCluster
from tests.support.sql_bench import SqlBench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", params=["cluster", "rabbitmq"])
def fleet(request, redis_server):
    """A dashboard and a worker."""
    if request.param == "cluster":
        with RedisCluster() as cluster:
            yield from _served(ClusterBench(cluster, redis_server))
    else:
        with SharedRabbitMQ() as rabbit, PostgresServer() as postgres:
            bench = SqlBench(rabbit.url(), postgres.url(), redis_server)
            yield from _served(bench)
            bench.close()


def _served(bench):
    broker, backend, ledger = bench.urls()
    app = make("canvas", broker, backend, ledger=ledger)
    app.conf.beat_schedule = {"nightly": {"task": "t.add", "schedule": 3600.0, "args": (1, 2)}}
    arguments = ("-E", "-c", "1", "-P", "threads", "-n", "ours@h", "--prefetch-multiplier", "1")
    with (
        WorkerProcess("canvas", broker, backend, *arguments, ledger=ledger) as ours,
        served(app, inspect_timeout=1.0) as page,
    ):
        ours.ready()
        page.app, page.bench = app, bench
        eventually(lambda: all_answer(page), 60)
        yield page
    app.close()


def all_answer(page):
    sources = page.get("/overview")["sources"]
    return {"events", "queues", "workers", "runs"} <= set(sources) and all(one["ok"] for one in sources.values())


def test_tasks_and_workers_are_shown(fleet):
    done = fleet.app.send_task("t.add", (20, 3))
    assert done.get(timeout=60) == 23
    eventually(lambda: done.id in [one["id"] for one in fleet.get("/tasks", state="SUCCESS")["tasks"]], 60)
    assert fleet.get(f"/tasks/{done.id}")["record"]["result"] == "23"
    assert [one["name"] for one in fleet.get("/workers")["workers"]] == ["ours@h"]
    assert eventually(lambda: fleet.get("/workers/ours@h")["active_queues"], 60)
    assert all_answer(fleet)


def test_a_run_that_fails_is_looked_into_and_resumed(fleet):
    flow, key = Workflow("nightly", fleet.app), fleet.bench.new_key()
    gate = flow.add(fleet.app.signature("t.needs_gate", (2, key, key)), name="gate")
    flow.add(fleet.app.signature("t.ident", (gate,)), name="last")
    run = flow.apply_async()
    eventually(lambda: run.status().over, 60)
    assert run.id in [one["id"] for one in fleet.get("/workflows", state="FAILURE")["runs"]]
    states = {node["name"]: node["state"] for node in fleet.get(f"/workflows/{run.id}")["nodes"]}
    assert states == {"gate": "FAILURE", "last": "UPSTREAM_FAILED"}
    assert "closed" in fleet.get(f"/workflows/{run.id}/nodes/gate")["traceback"]
    fleet.bench.open(key)
    assert fleet.post(f"/workflows/{run.id}/resume")["done"]
    assert run.get(timeout=60) is not None


def test_queues_show_their_rates_and_their_oldest_message(fleet):
    key = fleet.bench.new_key()
    sent = [fleet.app.send_task("t.until_open", (key,)) for _ in range(40)]

    def queue():
        return next(one for one in fleet.get("/queues")["queues"] if one["name"] == "celery")

    found = eventually(lambda: [one for one in [queue()] if one["waiting"] > 10 and (one["oldest"] or 0) > 2], 60)[0]
    assert (found["consumers"], found["oldest_at_least"]) == (["ours@h"], not fleet.app.conf.task_send_sent_event)
    assert eventually(lambda: (queue()["incoming"] or 0) > 0, 60)
    fleet.bench.open(key)
    sent[-1].get(timeout=60)
    assert eventually(lambda: (queue()["outgoing"] or 0) > 0, 60)


def test_dead_letters_are_put_back_or_deleted(fleet):
    for number in range(3):
        fleet.app.send_task(f"t.unheard_of_{number}")
    letters = eventually(lambda: [one for one in [fleet.get("/queues/celery/dead-letters")] if one["total"] == 3], 60)[
        0
    ]["letters"]
    assert fleet.post("/queues/celery/delete", keys=[letters[0]["key"]])["count"] == 1
    assert fleet.post("/queues/celery/requeue", keys=[letters[1]["key"]])["count"] == 1
    eventually(lambda: fleet.get("/queues/celery/dead-letters")["total"] == 2, 60)
    assert fleet.post("/queues/celery/delete", keys="all")["count"] == 2


def test_schedules_are_paused_and_run_now(fleet):
    def paused():
        return {one["name"]: one["paused"] for one in fleet.get("/schedules")["entries"]}["nightly"]

    assert not paused()
    assert fleet.post("/schedules/nightly/pause")["done"]
    assert paused()
    assert fleet.post("/schedules/nightly/resume")["done"]
    assert not paused()
    (sent,) = fleet.post("/schedules/nightly/run")["sent"]["ids"]
    assert fleet.app.AsyncResult(sent).get(timeout=60) == 3
