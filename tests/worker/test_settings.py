"""Settings and flags of Celery's that change how a worker starts, holds, ends and stops."""

import signal

import pytest
from celery.utils.nodenames import worker_direct

from canvas import Canvas
from canvas.errors import WorkerLostError
from canvas.testing.contract import eventually
from canvas.worker.node import plan_node
from tests.support.apps import make
from tests.support.processes import WorkerProcess
from tests.support.redis_server import RedisServer, free_port
from tests.worker.commands import start, task


def test_settings_without_effect_are_told(bench, app):
    with start(bench, "-P", "solo", env={"CANVAS_BROKER_POOL_LIMIT": "3"}) as worker:
        worker.wait_for("broker_pool_limit: connections are opened as they are needed")
    with start(bench, "-P", "solo") as worker:
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        assert not any("no effect" in line for line in worker.log)


def test_a_task_that_its_limit_ended_runs_again_but_not_for_ever(bench, app):
    key = bench.new_key()
    settings = {"CANVAS_TASK_ACKS_ON_TIMEOUT": "false", "CANVAS_TASK_MAX_DELIVERIES": "2"}
    with start(bench, "-P", "prefork", "-c", "1", env=settings) as worker:
        result = task(app, "slow_then").apply_async((60, key), time_limit=0.5)
        with pytest.raises(WorkerLostError, match="delivered 2 times"):
            result.get(timeout=30)
        assert bench.ledger(key, 2) == ["start", "start"]
        (letter,) = app.driver.admin.dead_letters("celery")
        assert "its time was over" in letter.reason
        worker.wait_for("Hard time limit (0.5s) exceeded")
        app.driver.admin.delete_dead_letter("celery", letter)


def test_failures_and_timeouts_are_acked_apart(bench, app):
    with start(bench, "-P", "prefork", "-c", "1", env={"CANVAS_TASK_ACKS_ON_FAILURE": "false"}):
        slow = task(app, "sleep").apply_async((60,), time_limit=0.5)
        assert bench.wait_state(app, slow.id) == "FAILURE"
        failed = task(app, "fail").delay()
        assert bench.wait_state(app, failed.id) == "FAILURE"
        (letter,) = eventually(lambda: app.driver.admin.dead_letters("celery"))
        assert failed.id.encode() in letter.payload
        app.driver.admin.delete_dead_letter("celery", letter)


@pytest.mark.parametrize("library", ["canvas", "celery"])
def test_a_queue_of_its_own(bench, app, library):
    broker, backend, _ = bench.urls()
    client = app if library == "canvas" else make("celery", broker, backend)
    with start(bench, "-P", "solo", "-n", "own@host", "-Q", "elsewhere", env={"CANVAS_WORKER_DIRECT": "true"}):
        queue = "own@host.dq2" if library == "canvas" else worker_direct("own@host")
        assert task(client, "add").apply_async((1, 2), queue=queue).get(timeout=20) == 3
        assert task(client, "add").apply_async((1, 3), queue="elsewhere").get(timeout=20) == 4


def test_nothing_is_held_beyond_what_runs():
    app = Canvas("p", broker="memory://p", worker_disable_prefetch=True)
    assert plan_node(app, pool="threads", concurrency=4).prefetch_limit == 0
    app.conf.worker_disable_prefetch = False
    assert plan_node(app, pool="threads", concurrency=4).prefetch_limit > 0


def test_prefetch_is_switched_off_by_its_flag(bench, app):
    with start(bench, "-P", "solo", "--disable-prefetch"):
        key = bench.new_key()
        sent = [task(app, "until_open").delay(key), task(app, "add").delay(1, 1), task(app, "add").delay(1, 2)]
        bench.ledger(key, 1)
        assert bench.broker.llen("celery") == 2
        bench.open(key)
        assert [result.get(timeout=20) for result in sent] == [key, 2, 3]


def test_a_worker_waits_for_a_server_that_is_not_there_yet():
    """When it is there, it is a replica, which answers and takes nothing."""
    server = RedisServer("--replicaof", "127.0.0.1", "1")
    urls = server.url(0), server.url(1)
    worker = WorkerProcess("canvas", *urls, "-P", "solo")
    try:
        worker.wait_for("Trying again in 2.00 seconds... (1/100)")
        server.start()
        worker.wait_for("READONLY")
        server.client().execute_command("REPLICAOF", "NO", "ONE")
        worker.ready()
        app = make("canvas", *urls)
        assert task(app, "add").delay(1, 1).get(timeout=20) == 2
        app.close()
    finally:
        worker.stop()
        server.stop()


@pytest.mark.parametrize(
    "setting",
    [
        {"CANVAS_BROKER_CONNECTION_RETRY_ON_STARTUP": "false"},
        pytest.param({"CANVAS_BROKER_CONNECTION_RETRY": "false"}, marks=pytest.mark.slow),
    ],
)
def test_or_does_not(setting):
    nobody = f"redis://127.0.0.1:{free_port()}"
    worker = WorkerProcess("canvas", nobody, nobody, "-P", "solo", env=setting)
    assert worker.wait(30) == 69
    assert any("Connection refused" in line for line in worker.log)


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param(("-P", "threads", "-c", "2"), id="threads", marks=pytest.mark.slow),
        pytest.param(("-P", "prefork", "-c", "2"), id="prefork"),
    ],
)
def test_what_runs_may_end_in_a_soft_shutdown(bench, app, pool):
    key = bench.new_key()
    with start(bench, *pool, env={"CANVAS_WORKER_SOFT_SHUTDOWN_TIMEOUT": "20"}) as worker:
        result = task(app, "until_open").delay(key)
        bench.ledger(key, 1)
        worker.signal(signal.SIGQUIT)
        worker.wait_for("Soft shutdown")
        bench.open(key)
        assert result.get(timeout=20) == key
        assert worker.wait() == 0
    assert bench.ledger(key, 2) == ["start", "end"]


@pytest.mark.parametrize("quits", [1, 2])
def test_what_does_not_end_is_given_back(bench, app, quits):
    """When its time is over, or at a second signal."""
    key = bench.new_key()
    patience = "0.5" if quits == 1 else "60"
    with start(bench, "-P", "threads", "-c", "2", env={"CANVAS_WORKER_SOFT_SHUTDOWN_TIMEOUT": patience}) as worker:
        task(app, "slow_then").delay(60, key)
        bench.ledger(key, 1)
        worker.signal(signal.SIGQUIT)
        worker.wait_for("Soft shutdown")
        if quits == 2:
            worker.signal(signal.SIGQUIT)
        worker.wait()
    assert bench.broker.llen("celery") == 1
    assert not bench.broker.hlen("unacked")
    bench.broker.delete("celery")
