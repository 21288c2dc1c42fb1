"""Runs the projects in ``projects`` as their users do: their files unchanged, under ``canvas celery``."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

PROJECTS = Path(__file__).parent / "projects"


def environment(redis_server, folder, **more):
    found = {**os.environ, "BROKER": redis_server.url(0), "RESULTS": redis_server.url(1), "FOLDER": str(folder), **more}
    found.pop("CANVAS_AS_CELERY", None)
    return found


def celery(project, *words, env, cwd=PROJECTS):
    """The output of a command of ``celery``'s command line."""
    done = subprocess.run(
        [sys.executable, "-m", "canvas", "celery", *(["-A", project] if project else []), *words],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def client(script, env, as_celery=True, cwd=PROJECTS, python=sys.executable):
    """The output of a program that sends tasks, served by canvas or with Celery itself."""
    switch = {"CANVAS_AS_CELERY": "1"} if as_celery else {}
    program = (
        f"import canvas, runpy; runpy.run_path({script!r})"
        if as_celery
        else f"import runpy; runpy.run_path({script!r})"
    )
    done = subprocess.run(
        [python, "-c", program], cwd=cwd, env={**env, **switch, "PYTHONPATH": str(cwd)}, capture_output=True,
        text=True, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(project, command, *words, env, folder, ready, cwd=PROJECTS, python=sys.executable, library="canvas"):
    """A command of a project that runs until the block has ended: a worker, or beat. Its log has ``ready`` once it has
    started. Gives the path of the log."""
    path = folder / f"{project}.log"
    program = ["canvas", "celery"] if library == "canvas" else ["celery"]
    line = [python, "-m", *program, "-A", project, command, "-l", "INFO", *words]
    with path.open("w") as log:
        process = subprocess.Popen(line, cwd=cwd, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: process.poll() is not None or ready in path.read_text(), path)
        assert process.poll() is None, path.read_text()
        yield path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def worker(project, *words, **how):
    """A worker of a project, ready; it ends warmly."""
    return running(project, "worker", *words, ready=" ready.", **how)


def until(condition, path=None, timeout=60):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, path.read_text() if path else ""
        time.sleep(0.02)
