"""A project with the set-ups of many public ones: what comes back on canvas is what comes back on Celery."""

import json
import subprocess
import sys

import pytest

from tests.ecosystem.running import PROJECTS, client, environment, until, worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def on_celery(env, folder):
    path = folder / "celery.log"
    command = [sys.executable, "-m", "celery", "-A", "portal", "worker", "-l", "INFO", "-c", "2", "--portal-option"]
    with path.open("w") as log:
        process = subprocess.Popen(command, cwd=PROJECTS, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: process.poll() is not None or " ready." in path.read_text(), path)
        return client("portal_client.py", env, as_celery=False)
    finally:
        process.terminate()
        process.wait(30)


def test_what_comes_back(redis_server, tmp_path):
    found = {}
    for library in ("canvas", "celery"):
        redis_server.client().flushall()
        folder = tmp_path / library
        folder.mkdir()
        env = environment(redis_server, folder)
        if library == "canvas":
            with worker("portal", "-c", "2", "--portal-option", env=env, folder=folder):
                printed = client("portal_client.py", env)
        else:
            printed = on_celery(env, folder)
        found[library] = json.loads(printed.splitlines()[-1])
        assert (folder / "failed").read_text() == "KeyError"
        assert (folder / "alive").read_text() == "True"
    assert found["canvas"] == found["celery"]
