"""``canvas demo``: ends well, checks itself, leaves nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from canvas.testing.contract import eventually


@pytest.fixture
def place():
    """The folder of temporary files of a demo; its path is short, because a Unix socket's is limited."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        yield folder


def environment(place):
    return {**os.environ, "TMPDIR": place}


def processes(place):
    """The processes whose temporary files lie there."""
    return [
        path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if f"TMPDIR={place}".encode() in read(path)
    ]


def read(path):
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []  # it ended meanwhile


@pytest.mark.timeout(300)
def test_it_counts_words_and_says_so(place):
    done = subprocess.run(
        [sys.executable, "-m", "canvas", "demo", "--files", "60", "--page"],
        stdin=subprocess.DEVNULL,
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The same as a plain loop's answer" in done.stdout
    assert "… 13 more" in done.stdout
    assert "The dashboard shows this run: http://127.0.0.1:" in done.stdout
    assert os.listdir(place) == []


def test_an_interrupt_leaves_nothing_behind(place):
    demo = subprocess.Popen(
        [sys.executable, "-m", "canvas", "demo"],
        stdin=subprocess.DEVNULL,
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in demo.stdout:
        if "compiled" in line:
            break
    assert os.listdir(place) and processes(place)
    demo.send_signal(signal.SIGINT)
    demo.wait(30)
    eventually(lambda: os.listdir(place) + processes(place) == [])
