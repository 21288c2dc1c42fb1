"""The pytest plugin: a test suite written with Celery's fixtures, unchanged, and canvas' own fixtures."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

from tests.ecosystem.running import PROJECTS

INSTALLED = any(entry.value == "canvas.testing.pytest_plugin" for entry in entry_points(group="pytest11"))


def run(file, **environment):
    """pytest's last lines for a file of the project ``tested``."""
    plugin = [] if INSTALLED else ["-p", "canvas.testing.pytest_plugin"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *plugin,
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir=.",
        file,
    ]
    done = subprocess.run(
        command, cwd=PROJECTS / "tested", env={**os.environ, **environment}, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_celerys_fixtures():
    assert "5 passed" in run("check_tasks.py", CANVAS_AS_CELERY="1")


def test_canvas_fixtures():
    assert "2 passed" in run("check_canvas.py", CANVAS_AS_CELERY="1")
