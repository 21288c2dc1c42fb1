"""Worker commands on a test's own server."""

import os
import subprocess

import pytest
from click.testing import CliRunner

from canvas.cli import main
from canvas.testing.contract import eventually
from tests.support import forked
from tests.support.apps import make
from tests.support.processes import WorkerProcess

POOLS = [("solo",), ("threads", "-c", "4"), ("prefork", "-c", "2")]
SAMPLED = [*(pytest.param(pool, marks=pytest.mark.slow) for pool in POOLS[:2]), POOLS[2]]
"""One by default, all with the slow ones: where the pool matters little and the test takes long."""


def start(bench, *arguments, library="canvas", **options):
    broker, backend, ledger = bench.urls()
    return WorkerProcess(library, broker, backend, *arguments, ledger=ledger, **{**bench.settings, **options})


def served_app(*arguments, **options):
    """A fixture of a module: the app of an emptied server, with one worker for the tests of the module."""

    @pytest.fixture(scope="module")
    def app(bench):
        broker, backend, ledger = bench.urls()
        bench.empty()
        with make("canvas", broker, backend, ledger=ledger) as app, start(bench, *arguments, **options):
            yield app

    return app


def workers(bench):
    """The names of the workers that the broker knows."""
    return [name.decode() for name in bench.broker.hkeys("canvas:workers")]


def task(app, name):
    return app.tasks[f"t.{name}"]


def canvas(bench, *arguments, check=True):
    """A command of canvas on that server."""
    broker, backend, ledger = bench.urls()
    environment = {
        **os.environ, "APP_LIBRARY": "canvas", "APP_BROKER": broker, "APP_BACKEND": backend, "APP_LEDGER": ledger,
        "COLUMNS": "200",
    }  # fmt: skip
    done = forked.run("canvas", "-A", "tests.support.apps:app", *arguments, environment=environment)
    assert not check or done.returncode == 0, done.stderr
    return done


def invoked(app, *arguments, check=True):
    """``canvas`` in this process, for ``app``."""
    done = CliRunner(env={"COLUMNS": "200"}).invoke(main.canvas, arguments, obj=app)
    assert not check or done.exit_code == 0, done.output
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def named(app, flow, name, *args, **options):
    """A node whose value shows what it was given."""
    return flow.add(task(app, "rec").s(name, *args), name=name, **options)


def states(run):
    return {node.name: node.state for node in run.status().nodes}


def reached(run, name, state):
    """Wait until a node is in this state."""
    eventually(lambda: states(run)[name] == state)


def ran(bench, *keys):
    """How often each of these keys was noted."""
    return [bench.ledgers.llen(f"ledger:{key}") for key in keys]


def line(app, flow, *keys):
    """Nodes one after the other, each of which notes a key."""
    handle = 1
    for at, key in enumerate(keys):
        handle = flow.add(task(app, "noted").s(handle, key), name="abcdef"[at])
    return handle
