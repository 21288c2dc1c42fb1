"""What README, tutorial and examples show does what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import WorkerProcess

ROOT = Path(__file__).parent.parent


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(), re.S)


def python(folder, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def servers(bench):
    broker, backend, _ = bench.urls()
    bench.server.client().flushall()
    return broker, backend


def worker(app, folder, servers):
    return WorkerProcess("canvas", *servers, "-P", "threads", "-c", "2", app=app, cwd=folder)


def test_the_readmes_first_workflow(servers):
    folder = ROOT / "docs" / "examples"
    assert blocks("README.md", "python")[0] in (folder / "day_end.py").read_text()
    command = re.search(r"python -c '(.*)'", blocks("README.md", "console")[0])[1]
    environment = {"BROKER": servers[0], "BACKEND": servers[1]}
    os.environ.update(environment)
    with worker("day_end", folder, servers):
        shown = python(folder, "-c", command, **environment)
    assert shown == "sold for 15\n"
    assert shown in blocks("README.md", "console")[0]


def test_the_examples(servers):
    folder = ROOT / "docs" / "examples"
    environment = {"BROKER": servers[0], "BACKEND": servers[1]}
    os.environ.update(environment)
    with worker("etl", folder, servers):
        assert python(folder, "etl.py", **environment) == "9 EUR\n[1, 2]\n"
        assert python(folder, "awaited.py", **environment) == "3 ['9 EUR', '9 EUR', '9 EUR']\n"
    with WorkerProcess("canvas", *servers, "-P", "threads", "-c", "2", "-B", app="nightly", cwd=folder):
        assert python(folder, "nightly.py", **environment) == "totals 7\n"
    drawn = python(folder, "-m", "canvas", "graph", "etl:report", **environment)
    assert drawn.count("etl.load(") == 3
