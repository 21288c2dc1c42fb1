"""What ``canvas worker`` shows in a terminal, and its flags that are Celery's."""

import os
import signal
import subprocess
import sys
import time

import pytest

from canvas import Canvas
from tests.support import forked
from tests.support.processes import WorkerProcess

MODULE = """
import os, time
from canvas import Canvas
app = Canvas("shown", broker={broker!r}, backend={backend!r}, task_routes={{"shown.*": "high"}})

@app.task(name="shown.sleep", queue="celery")
def sleep(seconds):
    time.sleep(seconds)
    return seconds

@app.task(name="shown.about", queue="celery")
def about():
    umask = os.umask(0)
    os.umask(umask)
    return os.getppid(), os.getsid(0), umask, os.getuid()
"""


@pytest.fixture
def folder(tmp_path, redis_url, result_url):
    (tmp_path / "shown.py").write_text(MODULE.format(broker=redis_url, backend=result_url))
    (tmp_path / "green.py").write_text("from shown import app\n\napp.conf.worker_pool = 'gevent'\n")
    (tmp_path / "idle.py").write_text(f"from canvas import Canvas\napp = Canvas('idle', broker={redis_url!r})\n")
    return tmp_path


@pytest.fixture
def client(redis_url, result_url):
    with Canvas("client", broker=redis_url, backend=result_url, set_as_current=False) as app:
        yield app


def start(folder, *arguments, app="shown"):
    return WorkerProcess("canvas", "", "", *arguments, app=app, cwd=folder)


def canvas(folder, *arguments):
    """A command, as a Python program of its own."""
    command = [sys.executable, "-m", "canvas", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_stops_say_what_runs_and_what_is_returned(folder, client, pool):
    worker = start(folder, "-P", pool, "-c", "2", "-l", "WARNING", "--prefetch-multiplier", "10", "--without-mingle")
    try:
        worker.wait_for("celery@")
        worker.wait_for(" ready.")
        assert "canvas 0." in "".join(worker.log)
        results = [client.send_task("shown.sleep", [60]) for _ in range(3)]
        deadline = time.monotonic() + 30
        while len(client.control.inspect(timeout=1).active() or [[]]) == 0 or _running(client) < 2:
            assert time.monotonic() < deadline
        worker.signal(signal.SIGINT)
        worker.wait_for("Warm shutdown")
        worker.wait_for("Waiting for shown.sleep[")
        assert "Ctrl+C again" in "".join(worker.log)
        worker.signal(signal.SIGINT)
        worker.wait_for("Returned to the queue: shown.sleep[")
        assert worker.wait() == 1
        said = "".join(line for line in worker.log if "Returned" in line)
        assert sum(result.id in said for result in results) == 2
    finally:
        worker.stop()


def _running(client):
    found = client.control.inspect(timeout=1).active() or {}
    return sum(len(tasks) for tasks in found.values())


def test_slips_are_warned_of(folder):
    worker = start(folder, "-P", "solo", "-Q", "hihg,high2,other", "-l", "WARNING", app="shown")
    try:
        worker.ready()
        said = "".join(worker.log)
        assert "Queue 'hihg' is in no setting" in said
        assert "did you mean 'high'?" in said
        assert said.count("is in no setting") == 1
    finally:
        worker.stop()
    with start(folder, "-P", "solo", "-l", "WARNING", app="idle") as worker:
        assert "No tasks are registered" in "".join(worker.log)


def test_a_detached_worker(folder, client):
    flags = ("-P", "solo", "-l", "INFO", "-n", "w1@%h", "-f", "%n.log", "--pidfile", "%n.pid", "--umask", "027")
    started = canvas(folder, "--workdir", str(folder), "-A", "shown", "worker", "-DE", *flags)
    assert (started.returncode, started.stderr) == (0, "")
    pid_file = folder / "w1.pid"
    try:
        _, session, umask, _ = client.send_task("shown.about").get(timeout=30)
        pid = int(pid_file.read_text())
        assert session not in (os.getsid(0), pid)
        assert umask == 0o27
        assert "w1@" in (folder / "w1.log").read_text()
        again = canvas(folder, "-A", "shown", "worker", "-D", *flags)
        assert (again.returncode, "w1.pid" in again.stderr) == (2, True)
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + 20
    while pid_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["beat"], "canvas -A proj beat"),
        (["flower", "--address", "0.0.0.0"], "--basic-auth"),
        (["worker"], "canvas -A proj worker"),
        (["-A", "shown", "worker", "-P", "gevent"], "-P asyncio"),
        (["-A", "shown", "worker", "-P", "eventlet"], "-P threads"),
        (["-A", "shown", "worker", "-P", "celery.concurrency.gevent:TaskPool"], "-P asyncio"),
        (["-A", "green", "worker"], "there is no gevent pool: use -P asyncio"),
        (["-A", "shown", "worker", "-c", "many"], "expected a number, or auto"),
        (["-A", "shown", "worker", "--pool-start-method", "spawn"], "-P threads"),
        (["-A", "shown", "worker", "--uid", "no-such-user"], "no such user"),
        (["-A", "shown", "worker", "--umask", "rwx"], "such as 022"),
        (["-A", "shown", "worker", "-D", "-f", "nowhere/w.log"], "nowhere/w.log"),
        (["--loader", "x", "report"], "--config"),
    ],
)
def test_what_is_refused_says_what_to_do_instead(folder, arguments, said):
    refused = forked.run("canvas", *arguments, environment=dict(os.environ), folder=folder)
    assert refused.returncode == 2
    assert said in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


def test_celerys_flags_are_taken(folder, client):
    flags = ["-S", "state.db", "-s", "schedule", "--events", "--optimization", "fair", "--pool-start-method", "fork",
             "-c", "auto", "--without-gossip"]  # fmt: skip
    with start(folder, *flags) as worker:
        assert client.send_task("shown.sleep", [0]).get(timeout=30) == 0
        assert "task events: ON" in "".join(worker.log)
