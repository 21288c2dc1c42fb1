"""``multi``, ``amqp``, ``list``, ``logtool`` and ``upgrade`` beside Celery's."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from celery.bin.celery import celery as celery_command
from celery.bin.multi import MultiTool
from click.testing import CliRunner
from kombu.transport import memory

from canvas.cli import main
from tests.ecosystem.running import celery, environment, until

APP = """
import os
from celery import Celery
app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])

@app.task
def add(x, y):
    return x + y
"""
LINES = [
    ("names", ["3"]), ("names", ["3", "--range-prefix=w"]), ("names", ["a", "b@there"]), ("names", ["a", "--hostname=h"]),
    ("names", ["2", "-n", "x.y"]), ("names", ["a", "b", "--prefix=p"]), ("names", ["a", "--suffix=s"]),
    ("expand", ["%n-%h.pid", "a", "b@there.net"]),
]  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command line of canvas here, in a folder of the test; its exit code and its output."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        done = CliRunner().invoke(main.canvas, list(words))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return run


@pytest.mark.parametrize(("command", "words"), LINES)
def test_nodes_have_celerys_names(run, command, words):
    files = ["--pidfile=%n.pid", "--logfile=%n.log"]
    theirs = io.StringIO()
    MultiTool(stdout=theirs).execute_from_commandline(["multi", command, *words, *files])
    assert run("multi", command, *words, *files) == (0, theirs.getvalue())


def test_options_of_single_nodes(run):
    words = [
        "a",
        "b",
        "c",
        "-c",
        "3",
        "-c:1-2",
        "10",
        "-Q:b",
        "fast",
        "--pidfile=%n.pid",
        "--logfile=%n%I.log",
        "-l",
        "INFO",
    ]
    code, shown = run("-A", "proj", "multi", "show", *words)
    assert code == 0
    for line, (places, queues) in zip(shown.splitlines(), [("10", False), ("10", True), ("3", False)], strict=True):
        assert f" -c {places} " in line
        assert ("-Q fast" in line) is queues
        assert "-m canvas -A proj worker --detach -n" in line
        assert "--logfile=%n%I.log" in line


def test_mistakes_of_a_line(run):
    code, text = run("multi", "show", "a", "-c:2", "3")
    assert (code, "names node 2; there are 1" in text) == (2, True)


CODES = [
    "multi", "multi begin a", "multi help", "multi names", "multi show", "multi get", "multi get a", "multi get a a", "multi expand",
    "multi start", "multi restart", "multi stop", "multi stopwait", "multi kill", "upgrade settings", "upgrade settings missing.py",
    "-A proj purge -f", "-A proj purge -f -Q a,b", "-A proj purge -f -X celery", "-A proj result --traceback nothing",
    "-A proj amqp", "-A proj list bindings", "-A proj list",
]  # fmt: skip
SAID = ("multi names", "multi show", "multi get a", "multi get a a", "-A proj purge -f", "-A proj purge -f -Q a,b",
        "-A proj purge -f -X celery", "-A proj result --traceback nothing", "-A proj list bindings")  # fmt: skip
"""Whose output is Celery's, but for the space in tables."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "proj.py").write_text(APP)
    monkeypatch.setenv("BROKER", "memory://codes")
    monkeypatch.setenv("RESULTS", "cache+memory://")
    memory.Transport.global_state.clear()
    memory.Channel.queues.clear()  # kombu's queues, in which other tests of this process have left messages
    yield
    sys.modules.pop("proj", None)


@pytest.mark.parametrize("line", CODES)
def test_exit_codes_are_celerys(run, project, monkeypatch, line):
    monkeypatch.setattr(sys, "argv", ["celery", *line.split()])
    theirs = CliRunner().invoke(celery_command, line.split())
    sys.modules.pop("proj", None)
    path = Path("proj.py")
    path.write_text(path.read_text().replace("from celery import Celery", "from canvas import Canvas as Celery"))
    ours = run(*line.split())
    assert ours[0] == theirs.exit_code, (ours, theirs.output)
    if line in SAID:
        assert ours[1].split() == [word for word in theirs.output.split() if not set(word) <= {"-"}]


@pytest.mark.slow
def test_nodes_start_and_stop(redis_server, tmp_path):
    (tmp_path / "proj.py").write_text(APP)
    env = environment(redis_server, tmp_path)
    files = ["--pidfile=%n.pid", "--logfile=%n%I.log"]
    nodes = ["2", "--range-prefix=m", *files]
    started = celery("proj", "multi", "start", *nodes, "-c", "1", "-l", "INFO", env=env, cwd=tmp_path)
    try:
        assert started.count("OK") == 2
        until(lambda: len(list(tmp_path.glob("m?.pid"))) == 2)
        pids = [int((tmp_path / f"m{number}.pid").read_text()) for number in (1, 2)]
        assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
        restarted = celery("proj", "multi", "restart", *nodes, "-c", "1", "-l", "INFO", env=env, cwd=tmp_path)
        assert restarted.count("TERM ->") == 2
    finally:
        stopped = celery(None, "multi", "stopwait", *nodes, env=env, cwd=tmp_path)
    assert stopped.count("TERM ->") == stopped.count("OK") == 2
    assert not list(tmp_path.glob("*.pid"))
    assert "DOWN" in celery(None, "multi", "stop", *nodes, env=env, cwd=tmp_path)


LOG = """[2026-11-29 10:00:00,000: INFO/MainProcess] celery@h ready.
[2026-11-29 10:00:01,000: INFO/MainProcess] Task p.add[1] received
[2026-11-29 10:00:01,000: INFO/ForkPoolWorker-1] Task p.add[1] succeeded in 0.1s: 3
[2026-11-29 10:00:02,000: INFO/MainProcess] Task p.bad[2] received
[2026-11-29 10:00:02,000: ERROR/ForkPoolWorker-1] Task p.bad[2] raised unexpected: ValueError('x')
Traceback (most recent call last):
ValueError: x
[2026-11-29 10:00:03,000: INFO/MainProcess] Task p.add[3] received
"""


def test_log_files_are_read(run, tmp_path):
    (tmp_path / "w.log").write_text(LOG)
    found = {
        command: run("logtool", command, "w.log")[1] for command in ("stats", "errors", "traces", "incomplete", "debug")
    }
    assert "Task total: 3\nTask errors: 1\nTask success: 1\nTask completed: 2\n" in found["stats"]
    assert "p.add: 2\np.bad: 1\n" in found["stats"]
    assert found["errors"].count("\n") == 1
    assert "p.bad[2]" in found["errors"]
    assert found["traces"].endswith("ValueError: x\n")
    assert found["incomplete"] == "Did not complete: 3\n"
    assert found["debug"].endswith("celery@h ready.\n")


@pytest.mark.parametrize("options", [pytest.param([], marks=pytest.mark.slow), ["--django"]])
def test_settings_are_upgraded_as_by_celery(run, tmp_path, options):
    path, text = tmp_path / "settings.py", "BROKER_URL = 'redis://'\nCELERYD_CONCURRENCY = 4\nOTHER = 1\n"
    path.write_text(text)
    assert run("upgrade", "settings", "settings.py", *options)[0] == 0
    ours, kept = path.read_text(), (tmp_path / "settings.py.orig").read_text()
    path.write_text(text)
    subprocess.run(
        [sys.executable, "-m", "celery", "upgrade", "settings", "settings.py", *options], timeout=60, check=True
    )
    assert (ours, kept) == (path.read_text(), text)


def test_queues_by_kombu(run, redis_server):
    redis_server.client().flushall()
    broker = ["-b", redis_server.url(0)]

    def amqp(*words):
        code, text = run(*broker, "amqp", *words)
        assert code == 0, text
        return text

    amqp("exchange.declare", "news", "direct")
    assert "messages:0" in amqp("queue.declare", "readers")
    assert "keeps exchanges in memory" in run(*broker, "amqp", "queue.bind", "readers", "nowhere", "k")[1]
    amqp("basic.publish", "hello", "", "readers")
    assert "hello" in amqp("basic.get", "readers")
    assert "hello" in amqp("basic.get", "readers", "true")
    assert "EMPTY QUEUE" in amqp("basic.get", "readers")
    assert amqp("queue.purge", "readers").startswith("0")
    assert "celery" in run(*broker, "list", "bindings")[1]
