"""Workers that are Python programs of their own, with the tasks of tests.support.forking."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from canvas import Canvas
from canvas.testing.contract import eventually
from tests.support.processes import ROOT, WorkerProcess

NAME = "tests.support.forking"


@contextmanager
def client(bench):
    broker, backend, _ = bench.urls()
    app = Canvas("client", broker=broker, backend=backend)
    yield lambda name, *args: app.send_task(f"{NAME}.{name}", args)
    app.close()


def new_program(broker, backend, *arguments, **options):
    return WorkerProcess("canvas", broker, backend, *arguments, app=f"{NAME}:app", new_program=True, **options)


def start(bench, *arguments, **options):
    broker, backend, _ = bench.urls()
    return new_program(broker, backend, *arguments, **options)


def project_worker(bench, folder, source, *arguments, library="canvas", **environment):
    """A worker of the app in ``source``, the text of a module, which is written into ``folder``."""
    module = f"project_{uuid4().hex}"
    (folder / f"{module}.py").write_text(source)
    broker, backend, _ = bench.urls()
    env = {"PYTHONPATH": f"{ROOT}:{folder}", **environment}
    return WorkerProcess(library, broker, backend, *arguments, app=f"{module}:app", new_program=True, env=env)


@contextmanager
def plain_worker(bench, log, *arguments, **popen):
    """A worker whose standard output is not the log's; it is ready when the block begins."""
    broker, backend, _ = bench.urls()
    command = [sys.executable, "-m", "canvas", "-A", f"{NAME}:app", "worker", "-l", "INFO", *arguments]
    environment = {**os.environ, "APP_BROKER": broker, "APP_BACKEND": backend}
    environment.pop("PYTHONUNBUFFERED", None)
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=stream, start_new_session=True, **popen)
    try:
        eventually(lambda: " ready." in log.read_text() or process.poll() is not None)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ends_with(process, number=signal.SIGTERM, within=20):
    process.send_signal(number)
    return process.wait(within)


def noted(folder, name):
    """The process id that a task has noted."""
    path = folder / name
    eventually(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def alive(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def embed(bench, script):
    """Run a program that has a worker in it; what it prints."""
    broker, backend, _ = bench.urls()
    environment = {**os.environ, "APP_BROKER": broker, "APP_BACKEND": backend}
    head = f"import io, os, signal, sys, threading, time\nfrom {NAME} import app, identity\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
