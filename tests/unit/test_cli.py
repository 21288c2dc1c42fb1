"""The command line: finding apps, sending, purging, drawing; exit codes."""

import os
import subprocess
import sys

import pytest

MODULE = """
from canvas import Canvas
app = Canvas("proj", broker={broker!r}, backend={backend!r})
other = Canvas("second", broker="memory://")

@app.task(name="proj.add")
def add(x, y):
    return x + y

flow = add.s(1, 2) | add.s(3)
number = 3
"""


@pytest.fixture
def run(tmp_path, redis_url, result_url):
    (tmp_path / "proj.py").write_text(MODULE.format(broker=redis_url, backend=result_url))
    (tmp_path / "dead.py").write_text(MODULE.format(broker="redis://127.0.0.1:1/0", backend="disabled://"))

    def call(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "canvas", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={**os.environ, **environment},
        )  # fmt: skip

    return call


def test_call_result_and_purge(run, redis_server):
    sent = run("-A", "proj", "call", "proj.add", "-a", "[1, 2]", "-k", "{}", "--countdown", "0")
    assert (sent.returncode, len(sent.stdout.strip())) == (0, 36)
    assert redis_server.client().llen("celery") == 1
    waiting = run("-A", "proj", "result", sent.stdout.strip(), "--timeout", "0.1")
    assert waiting.returncode == 1
    assert "timed out" in waiting.stderr
    assert run("-A", "proj", "purge", "-f").stdout.startswith("Purged 1 messages")
    assert run("-A", "proj", "purge", "-f").stdout.startswith("No messages")
    assert run("-A", "proj", "purge").returncode == 1


def test_graph_and_report(run):
    drawn = run("graph", "proj:flow")
    assert drawn.stdout.count("proj.add") == 2
    assert "flowchart" in run("graph", "proj:flow", "--format", "mermaid").stdout
    assert run("graph", "proj:number").returncode == 2
    assert "canvas:" in run("-A", "proj", "report").stdout


@pytest.mark.parametrize("name", ["proj", "proj:app", "proj.app"])
def test_apps_are_found(run, name):
    assert run("-A", name, "report").returncode == 0


@pytest.mark.parametrize("name", ["nothing", "proj:nothing", "proj:number", "proj.nothing"])
def test_apps_that_are_not_there(run, name):
    found = run("-A", name, "report")
    assert (found.returncode, "Error" in found.stderr) == (2, True)


def test_slips_of_the_hand(run):
    late = run("report", "-A", "proj")
    assert (late.returncode, "before the command" in late.stderr) == (2, True)
    typo = run("wroker")
    assert (typo.returncode, "worker" in typo.stderr) == (2, True)
    assert run("-A", "proj", "call", "x", "-a", "{}").returncode == 2
    short = run("-A", "proj", "call", "proj.add", "-a", "[1]")
    assert (short.returncode, "argument" in short.stderr, "Traceback" in short.stderr) == (1, True, False)


def test_the_environment_names_the_app(run):
    assert run("report", CANVAS_APP="proj").returncode == 0
    assert run("--version").stdout.startswith("canvas, version")


def test_an_unreachable_broker(run):
    found = run("-A", "dead", "call", "proj.add", "-a", "[1, 2]")
    assert found.returncode == 69
    assert "127.0.0.1:1" in found.stderr
