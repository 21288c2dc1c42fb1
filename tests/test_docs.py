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


def test_the_readmes_first_workflow(tmp_path, servers):
    code = blocks("README.md", "python")[0]
    code = code.replace("redis://localhost:6379/0", servers[0]).replace("redis://localhost:6379/1", servers[1])
    (tmp_path / "shop.py").write_text(code)
    command = re.search(r"python -c '(.*)'", blocks("README.md", "console")[0])[1]
    with worker("shop", tmp_path, servers):
        assert python(tmp_path, "-c", command) == "11\n"
    assert "\n11\n" in blocks("README.md", "console")[0]


def test_the_tutorial(tmp_path, servers):
    code = blocks("docs/tutorial/first-workflow.md", "python")[0]
    code = code.replace("redis://localhost:6379/0", servers[0]).replace("redis://localhost:6379/1", servers[1])
    (tmp_path / "words.py").write_text(code)
    (tmp_path / "hamlet.txt").write_text("to be\nor not\n")
    calls = "".join(blocks("docs/tutorial/first-workflow.md", "python")[1:])
    calls += "\nprint(count.delay('to be or not').get(timeout=10))"
    calls += "\nprint(chord([count.s('to be'), count.s('or not')], total.s()).delay().get(timeout=10))"
    with worker("words", tmp_path, servers) as running:
        assert python(tmp_path, "-c", calls) == "4\n4\n"
        running.wait_for("failed:")


def test_the_tutorial_of_workflows(tmp_path, servers):
    code, *calls = blocks("docs/tutorial/any-graph.md", "python")
    code = code.replace("redis://localhost:6379/0", servers[0]).replace("redis://localhost:6379/1", servers[1])
    (tmp_path / "shop.py").write_text(code)
    with worker("shop", tmp_path, servers):
        shown = python(tmp_path, "-c", "\n".join(calls))
    assert shown == "".join(blocks("docs/tutorial/any-graph.md", "text"))


@pytest.mark.parametrize(
    ("page", "modules"), [("approval", ["invoices"]), ("crawl", ["crawler", "tree"])], ids=["approval", "crawl"]
)
def test_the_tutorials_of_waits_and_loops(tmp_path, servers, page, modules):
    code = blocks(f"docs/tutorial/{page}.md", "python")
    calls = []
    for block in code:
        name = re.match(r"# (\w+)\.py\n", block)
        text = block.replace("redis://localhost:6379/0", servers[0]).replace("redis://localhost:6379/1", servers[1])
        if name:
            (tmp_path / f"{name[1]}.py").write_text(text)
        else:
            calls.append(text)
    with worker(modules[-1] if page == "crawl" else modules[0], tmp_path, servers):
        shown = python(tmp_path, "-c", "\n".join(calls))
    wanted = [line for text in blocks(f"docs/tutorial/{page}.md", "text") for line in text.splitlines()]
    assert [line for line in shown.splitlines() if not line.startswith(("please", "invoice "))] == wanted


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
