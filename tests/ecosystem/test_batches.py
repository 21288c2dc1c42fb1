"""celery-batches: calls that a worker collects, and runs together."""

import os
import signal
import subprocess
import sys

import pytest

from tests.ecosystem.running import PROJECTS, environment, until, worker
from tests.support.process_signals import resume, suspend

CALLS = """
import sys
from batched import app, count, fails, plain, rare
"""


@pytest.fixture
def project(redis_server, tmp_path):
    redis_server.client().flushall()
    return environment(redis_server, tmp_path)


def send(env, program):
    """The output of a program that calls the project's tasks."""
    done = subprocess.run(
        [sys.executable, "-c", CALLS + program], cwd=PROJECTS, env={**env, "PYTHONPATH": str(PROJECTS)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def notes(folder):
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("pool", ["threads", "solo", pytest.param("prefork", marks=pytest.mark.slow)])
def test_calls_are_run_when_there_are_enough_or_when_they_are_due(project, tmp_path, pool):
    with worker("batched", "-P", pool, "-c", "1", env=project, folder=tmp_path) as log:
        told = send(project, """
sent = [count.delay(number, more=100) for number in range(24)]
print([plain.delay(number).get(timeout=20) for number in range(3)])
print([one.get(timeout=20) for one in sent] == [100 + number for number in range(24)])
[fails.delay(number) for number in range(2)]
print(plain.delay(1).get(timeout=20))
""")  # fmt: skip
        assert told.split("\n") == ["[0, 1, 2]", "True", "1", ""]
        until(lambda: "A batch of 2 calls of batched.fails failed: ValueError('the shelf is full')" in log.read_text())
        assert "Task batched.count[" in log.read_text()
    batches = [list(map(int, line[7:-1].split(", "))) for line in notes(tmp_path) if line.startswith("count")]
    assert sorted(number for one in batches for number in one) == list(range(24))
    assert [len(one) for one in batches] == [10, 10, 4]
    assert [line for line in notes(tmp_path) if line.startswith("postrun")] == [
        "postrun 10 SUCCESS", "postrun 10 SUCCESS", "postrun 4 SUCCESS",
    ]  # fmt: skip


def test_kept_calls_return_to_the_queue_at_a_stop_and_run_when_a_worker_dies(project, redis_server, tmp_path):
    project["CANVAS_WORKER_LEASE_TTL"] = "4"
    send(project, "[rare.delay(number) for number in range(2)]")
    with worker("batched", "-P", "threads", "-c", "1", env=project, folder=tmp_path) as log:
        until(lambda: log.read_text().count("received") == 2, log)
    assert redis_server.client().llen("celery") == 2
    line = [sys.executable, "-m", "canvas", "celery", "-A", "batched", "worker", "-l", "INFO", "-P", "solo"]
    with (tmp_path / "dies.log").open("w") as output:
        dies = subprocess.Popen(line, cwd=PROJECTS, env=project, stdout=output, stderr=subprocess.STDOUT)
    until(lambda: (tmp_path / "dies.log").read_text().count("received") == 2, tmp_path / "dies.log")
    os.kill(dies.pid, signal.SIGKILL)
    dies.wait()
    send(project, "rare.delay(2)")
    with worker("batched", "-P", "threads", "-c", "1", env=project, folder=tmp_path) as log:
        until(lambda: notes(tmp_path), log)
    assert notes(tmp_path) == ["rare [0, 1, 2]"], log.read_text()


@pytest.mark.slow
def test_kept_calls_do_not_run_when_their_worker_was_stopped_for_long(project, redis_server, tmp_path):
    project["CANVAS_WORKER_LEASE_TTL"] = "4"
    send(project, "[rare.delay(number) for number in range(2)]")
    for name in ("stopped", "other"):
        (tmp_path / name).mkdir()
    with worker("batched", "-P", "threads", "-c", "1", env=project, folder=tmp_path / "stopped") as log:
        until(lambda: log.read_text().count("received") == 2, log)
        stopped = int(redis_server.client().hkeys("canvas:workers")[0].split(b".")[-2])
        suspend(stopped)
        try:
            with worker("batched", "-P", "threads", "-c", "1", env=project, folder=tmp_path / "other") as other:
                until(lambda: other.read_text().count("received") == 2, other)
                send(project, "rare.delay(2)")
                until(lambda: notes(tmp_path) == ["rare [0, 1, 2]"], other)
        finally:
            resume(stopped)
        send(project, "rare.delay(3)")
        until(lambda: "rare [3]" in notes(tmp_path), log)
        assert log.read_text().count("Lost the lease") == 2
    assert notes(tmp_path) == ["rare [0, 1, 2]", "rare [3]"]


def test_revoked_calls_do_not_run_and_calls_of_one_id_run_each(project, tmp_path):
    with worker("batched", "-P", "threads", "-c", "1", env=project, folder=tmp_path) as log:
        send(project, """
first = rare.delay(1)
rare.apply_async((2,), task_id="twice")
first.revoke()
""")  # fmt: skip
        until(lambda: log.read_text().count("received") == 2, log)
        send(project, """
rare.apply_async((3,), task_id="twice")
rare.delay(4)
rare.delay(5)
rare.delay(6)
""")  # fmt: skip
        until(lambda: len(notes(tmp_path)) == 2, log)
    assert notes(tmp_path) == ["rare [3, 4]", "rare [2, 5, 6]"]


OVERRIDES = """
from celery import Celery
from celery_batches import Batches

app = Celery("overrides", broker="memory://")


class Own(Batches):
    def flush(self, requests):
        return None


@app.task(base=Own)
def own(requests):
    return None
"""


@pytest.mark.parametrize(
    ("text", "pool", "said"),
    [
        (OVERRIDES, "solo", "task overrides.own: its class overrides flush of celery-batches"),
        (OVERRIDES.replace("base=Own", "base=Batches"), "asyncio", "the pool asyncio does not run batches"),
    ],
)
def test_what_a_worker_cannot_do_is_refused_at_its_start(tmp_path, text, pool, said):
    (tmp_path / "overrides.py").write_text(text)
    line = [sys.executable, "-m", "canvas", "celery", "-A", "overrides", "worker", "-P", pool]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
