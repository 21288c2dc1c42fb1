"""``canvas demo``: ends well, checks itself, leaves nothing behind."""

import glob
import signal
import subprocess
import sys
import time

import pytest


def leftovers():
    return set(glob.glob("/tmp/canvas-redis-*") + glob.glob("/tmp/canvas-demo-*"))


@pytest.mark.timeout(300)
def test_it_counts_words_and_says_so():
    before = leftovers()
    done = subprocess.run(
        [sys.executable, "-m", "canvas", "demo", "--files", "60", "--page"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The same as a plain loop's answer" in done.stdout
    assert "… 13 more" in done.stdout
    assert "The dashboard shows this run: http://127.0.0.1:" in done.stdout
    assert leftovers() <= before


def test_an_interrupt_leaves_nothing_behind():
    before = leftovers()
    demo = subprocess.Popen(
        [sys.executable, "-m", "canvas", "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in demo.stdout:
        if "compiled" in line:
            break
    demo.send_signal(signal.SIGINT)
    demo.wait(30)
    deadline = time.monotonic() + 10
    while (
        leftovers() - before
        or b"demo.tasks" in subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout
    ):
        assert time.monotonic() < deadline, leftovers() - before
        time.sleep(0.05)
